import numpy as np
import pytest

from kft import data, errors

pytest.importorskip("sklearn", reason="scikit-learn is not installed: pip install kft[test]")


def test_the_digits():
    """1,797 digits, ten classes of 174 to 183, after the data set's own description."""
    source = data.load("digits:")
    counts = source.num_examples_per_class()
    assert source.num_examples == 1797
    assert list(counts) == [str(digit) for digit in range(10)]
    assert min(counts.values()) >= 174 and max(counts.values()) <= 183
    images = np.stack([source.load(index)["image"] for index in range(50)])
    assert images.shape == (50, 8, 8, 1) and images.dtype == np.uint8
    assert images.min() == 0 and images.max() == 255


def test_digits_take_no_place_and_no_other_names():
    with pytest.raises(errors.InputError, match="Expected 'digits:' alone"):
        data.load("digits:mnist")
    with pytest.raises(errors.InputError, match="Expected 'digits:' alone"):
        data.load("digits:", label_names=("a", "b"))
