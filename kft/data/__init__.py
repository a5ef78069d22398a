"""Data: sources of examples, their pre-flight, their order, and batches of them."""

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from kft import errors, tables

# Functions of the same name as their file are imported at once, or the file would hide them; no file imports TensorFlow
# outside of its functions but those behind _PUBLIC.
from kft.data.batches import batches as batches
from kft.data.check import check as check
from kft.data.in_memory import in_memory as in_memory
from kft.data.split import split as split
from kft.data.token_batches import token_batches as token_batches

if TYPE_CHECKING:
    from kft.data.image_format import ImageFormat
    from kft.data.source import Source
    from kft.data.text_format import TextFormat

SOURCES = {
    "arrays": "kft.data.arrays:arrays",
    "digits": "kft.data.digits:digits",
    "folder": "kft.data.image_folder:image_folder",
}
# Files that hold images or their paths in columns; the name may be in TEXT_SOURCES too.
IMAGE_SOURCES = {
    "csv": "kft.data.image_table:csv_file",
    "jsonl": "kft.data.image_table:jsonl_file",
    "parquet": "kft.data.image_table:parquet_file",
    "tfds": "kft.data.tfds:tfds_images",
    "tfrecord": "kft.data.tfrecord:tfrecord_files",
    "tsv": "kft.data.image_table:tsv_file",
}
TEXT_SOURCES = {
    "conll": "kft.data.conll:conll_file",
    "csv": "kft.data.text_files:csv_file",
    "jsonl": "kft.data.text_files:jsonl_file",
    "lines": "kft.data.text_files:line_file",
    "parquet": "kft.data.text_files:parquet_file",
    "squad": "kft.data.squad:squad_file",
    "tfds": "kft.data.tfds:tfds_texts",
    "tsv": "kft.data.text_files:tsv_file",
}

_PUBLIC = {
    "AUGMENTATIONS": "kft.data.augment:AUGMENTATIONS",
    "AUGMENTATION_OPTIONS": "kft.data.augment:OPTIONS",
    "ImageFormat": "kft.data.image_format:ImageFormat",
    "FEW_EXAMPLES": "kft.data.few_examples:FEW_EXAMPLES",
    "InMemory": "kft.data.in_memory:InMemory",
    "Mixing": "kft.data.mixing:Mixing",
    "Finding": "kft.data.source:Finding",
    "Progress": "kft.data.progress:Progress",
    "Report": "kft.data.check:Report",
    "Source": "kft.data.source:Source",
    "epoch_order": "kft.data.order:epoch_order",
    "TOKEN_INPUTS": "kft.data.token_batches:INPUTS",
    "TextFormat": "kft.data.text_format:TextFormat",
    "TokenTable": "kft.data.token_table:TokenTable",
    "few_shot": "kft.data.few_examples:few_shot",
    "from_arrays": "kft.data.arrays:from_arrays",
    "from_texts": "kft.data.texts:from_texts",
    "check_channels": "kft.data.encode:check_channels",
    "image_encoder": "kft.data.encode:image_encoder",
    "image_files": "kft.data.image_folder:image_files",
    "partners": "kft.data.order:partners",
    "preflight_cache": "kft.data.check_memory:default_folder",
    "raw_lines": "kft.data.text_files:raw_lines",
    "safe_path": "kft.data.data_root:safe_path",
    "subset": "kft.data.source:subset",
    "unlabelled": "kft.data.source:unlabelled",
    "without": "kft.data.source:without",
}


def load(
    spec: str,
    *,
    label_names: Sequence[str] | None = None,
    text_format: "TextFormat | None" = None,
    image_format: "ImageFormat | None" = None,
) -> "Source":
    """Loads a source of examples.

    Args:
      spec: KIND:PLACE, with a kind of SOURCES ("folder:photos/train", "arrays:photos.npz", "digits:"), of
        TEXT_SOURCES ("csv:train.csv", "lines:train.txt") or of IMAGE_SOURCES ("csv:photos.csv", "tfrecord:train-*").
      label_names: for all data but that for training, the label names of the training data, so that the labels of both
        mean the same.
      text_format: of a file of text: its encoding and columns; the default TextFormat if None.
      image_format: of a file of images or their paths. A kind that may be text too, such as csv, is read as images if
        it is given; tfds also if neither is.

    Returns: a Source. Bad examples in it are not found here but by `check`.
    Raises: InputError for an unknown kind, and for a place that is not there.
    """
    kind, colon, place = spec.partition(":")
    kinds = {**SOURCES, **IMAGE_SOURCES, **TEXT_SOURCES}
    if not colon:
        hint = f"'folder:{spec}'" if os.path.isdir(spec) else "'folder:DIR'"
        raise errors.InputError(f"Got data {spec!r}. Expected KIND:PLACE, KIND one of {sorted(kinds)}. Use {hint}.")
    either = kind in IMAGE_SOURCES and kind in TEXT_SOURCES
    images_unless_told = not either or (kind == "tfds" and text_format is None)
    if kind in IMAGE_SOURCES and (image_format is not None or images_unless_told):
        image_format = image_format or tables.load_place("kft.data.image_format:ImageFormat")()
        return tables.load_place(IMAGE_SOURCES[kind])(place, label_names=label_names, images=image_format)
    make = tables.lookup(kinds, kind, what="kind of data")
    if kind in TEXT_SOURCES:
        text_format = text_format or tables.load_place("kft.data.text_format:TextFormat")()
        return make(place, label_names=label_names, text=text_format)
    how = image_format or text_format
    labels = {"labels": how.labels} if kind == "arrays" and how is not None else {}
    return make(place, label_names=label_names, **labels)


__getattr__ = tables.lazy_attributes(__name__, _PUBLIC)
