"""How often the examples of each class are drawn."""

import numpy as np

from kft import errors
from kft.data.source import Source

SAMPLINGS = ("all", "balanced")


def labels_to_balance(source: Source, sampling: str, *, shuffle: bool) -> np.ndarray | None:
    """The labels of a source that a plan of batches balances; None where every example comes once.

    Raises: InputError for an unknown sampling; and for "balanced" in a fixed order, or where examples do not have one
      class each.
    """
    if sampling not in SAMPLINGS:
        raise errors.unknown_name("sampling", sampling, SAMPLINGS)
    if sampling == "all":
        return None
    if not shuffle:
        raise errors.InputError("Got sampling='balanced' without shuffle. Expected both. Use sampling='all'.")
    if source.targets is not None or not np.all(source.labels >= 0):
        raise errors.InputError(
            f"Got sampling='balanced' for {source.name!r}. Expected examples that have one class each. Use 'all'."
        )
    return source.labels
