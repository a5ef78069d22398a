import numpy as np
import pytest

from kft import data, errors


def arrays(num_examples, num_classes=2, first=0):
    x = (np.arange(first, first + num_examples, dtype=np.uint16)).view(np.uint8).reshape(num_examples, 1, 2)
    return data.from_arrays(x, np.arange(num_examples) % num_classes)


def contents(source):
    return {source.content(index) for index in range(source.num_examples)}


def test_parts_share_no_example_and_lose_none():
    whole = arrays(1000)
    train, evaluation = data.split(whole)
    assert contents(train) | contents(evaluation) == contents(whole)
    assert train.num_examples + evaluation.num_examples == 1000
    assert train.label_names == evaluation.label_names == whole.label_names


@pytest.mark.parametrize("fraction", [0.1, 0.2, 0.5])
def test_the_fraction_is_met_on_average(fraction):
    _, evaluation = data.split(arrays(5000), fraction=fraction)
    assert abs(evaluation.num_examples / 5000 - fraction) < 4 * np.sqrt(fraction * (1 - fraction) / 5000)


def test_examples_stay_on_their_side_when_others_come():
    before, after = data.split(arrays(500)), data.split(arrays(1000))
    assert contents(before[0]) <= contents(after[0])
    assert contents(before[1]) <= contents(after[1])


def test_equal_examples_are_on_the_same_side():
    x = np.repeat(np.random.default_rng(0).integers(0, 256, (50, 4, 4), np.uint8), 2, axis=0)
    train, evaluation = data.split(data.from_arrays(x, np.arange(100) // 2 % 2))
    assert not contents(train) & contents(evaluation)


def test_a_class_that_would_vanish_is_an_error():
    x = np.random.default_rng(0).integers(0, 256, (101, 4, 4), np.uint8)
    source = data.from_arrays(x, [0] * 100 + [1], label_names=("many", "one"))
    with pytest.raises(errors.InputError, match="no example of 'one'.*--eval_data"):
        data.split(source)


def test_renamed_files_stay_on_their_side(photos):
    labels = {}
    for name in ("before", "after"):
        source = data.image_files([str(photos)])
        sides = data.split(source, fraction=0.5)
        labels[name] = [contents(side) for side in sides]
        (photos / "cat").rename(photos / "zebra") if name == "before" else None
    assert labels["before"] == labels["after"]


def test_a_fraction_out_of_range():
    with pytest.raises(errors.InputError, match="fraction=1.0"):
        data.split(arrays(10), fraction=1.0)
