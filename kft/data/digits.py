"""scikit-learn's 1,797 handwritten digits of 8 x 8 pixels, for tests and first tries."""

from collections.abc import Sequence

import numpy as np

from kft import errors
from kft.data.arrays import from_arrays
from kft.data.source import Source


def digits(place: str = "", *, label_names: Sequence[str] | None = None) -> Source:
    """The digits 0 to 9 as grey images, (8, 8, 1) uint8, their 17 levels scaled to 0 to 255.

    Args:
      place: nothing; they come with scikit-learn.
      label_names: those of the training data; they have to be "0" to "9".

    Raises: InputError if there is a place, the names are others, or scikit-learn is not installed.
    Reference: UCI "Optical recognition of handwritten digits", test part.
    """
    names = tuple(str(digit) for digit in range(10))
    if place or tuple(label_names or names) != names:
        raise errors.InputError(
            f"Got 'digits:{place}', labels {label_names}. Expected 'digits:' alone. Remove the rest."
        )
    try:
        from sklearn import datasets
    except ImportError as error:
        raise errors.InputError(
            "Got 'digits:' without scikit-learn. Expected the extra 'digits'. Run pip install 'kft[digits]'."
        ) from error
    loaded = datasets.load_digits()
    images = np.rint(loaded.images * (255 / 16)).astype(np.uint8)
    return from_arrays(images, loaded.target, label_names=names, name="digits:")
