"""Data: sources of examples, their pre-flight, their order, and batches of them."""

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from kft import errors, tables

# Functions of the same name as their file are imported at once, or the file would hide them; no file imports TensorFlow
# outside of its functions but those behind _PUBLIC.
from kft.data.batches import batches as batches
from kft.data.check import check as check
from kft.data.split import split as split

if TYPE_CHECKING:
    from kft.data.source import Source

SOURCES = {
    "arrays": "kft.data.arrays:arrays",
    "digits": "kft.data.digits:digits",
    "folder": "kft.data.image_folder:image_folder",
}

_PUBLIC = {
    "Finding": "kft.data.source:Finding",
    "Report": "kft.data.check:Report",
    "Source": "kft.data.source:Source",
    "epoch_order": "kft.data.order:epoch_order",
    "from_arrays": "kft.data.arrays:from_arrays",
    "image_encoder": "kft.data.encode:image_encoder",
    "image_files": "kft.data.image_folder:image_files",
    "subset": "kft.data.source:subset",
    "without": "kft.data.source:without",
}


def load(spec: str, *, label_names: Sequence[str] | None = None) -> "Source":
    """Loads a source of examples.

    Args:
      spec: KIND:PLACE, with a kind of SOURCES: "folder:photos/train", "arrays:photos.npz", "digits:".
      label_names: for all data but that for training, the label names of the training data, so that the labels of both
        mean the same.

    Returns: a Source. Bad examples in it are not found here but by `check`.
    Raises: InputError for an unknown kind, and for a place that is not there.
    """
    kind, colon, place = spec.partition(":")
    if not colon:
        hint = f"'folder:{spec}'" if os.path.isdir(spec) else "'folder:DIR'"
        raise errors.InputError(f"Got data {spec!r}. Expected KIND:PLACE, KIND one of {sorted(SOURCES)}. Use {hint}.")
    return tables.lookup(SOURCES, kind, what="kind of data")(place, label_names=label_names)


__getattr__ = tables.lazy_attributes(__name__, _PUBLIC)
