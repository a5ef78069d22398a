"""Data sets of tensorflow-datasets, as they are prepared on disk, with random access."""

import dataclasses
import os
import re
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from kft import errors
from kft.data import check_memory, progress, record_files, table_rows, tfrecord
from kft.data.image_format import ImageFormat
from kft.data.record_files import Place, RecordSet
from kft.data.records import RowKeys
from kft.data.source import Finding, Source
from kft.data.text_format import TextFormat
from kft.data.texts import from_columns

# NAME, NAME/CONFIG or a folder; perhaps a version; perhaps a split.
_PLACE = re.compile(r"(?P<name>[^:\[\]]+(?::\d[\d.*]*)?)(?::(?P<split>[^:].*))?")
_DEFAULT_SPLIT = "train"


class _Split(NamedTuple):
    """A part of a prepared data set: its records, one after the other and by index, and its features."""

    name: str
    records: RecordSet
    features: dict[str, Any]
    supervised_keys: tuple[str, ...]


def tfds_images(place: str, *, label_names: Sequence[str] | None = None, images: ImageFormat) -> Source:
    """Images of a data set of tensorflow-datasets; it is prepared first, with a download, where it is not there yet.

    Args:
      place: NAME[/CONFIG][:VERSION][:SPLIT], such as "mnist", "mnist:train[:80%]" or "cifar10:3.*.*:test"; or
        FOLDER[:SPLIT], a folder of one version. The split is "train" where none is given, and written as there.
      label_names: of the training data, or None.
      images: image_column and label_column name the features; "" for the only image, and the one to be learned from it.
        data_root is the folder of the prepared data sets; "" for tensorflow-datasets' own.

    Raises: InputError without tensorflow-datasets, for a name or split that it does not know, a data set that cannot be
      prepared, and features that are not there.
    """
    split = _split(place, images.data_root)
    import tensorflow_datasets as tfds  # there, or `_split` had said so

    image = images.image_column or _only(split, tfds.features.Image, place)
    label = images.label_column or _learned(split)
    wanted = {"image_column": (image,), "label_column": (images.label_column,) * bool(images.label_column)}
    table_rows.check_columns(split.name, split.features, wanted, what="feature")
    return tfrecord.source_of_examples(
        split.name,
        split.records,
        images=dataclasses.replace(images, image_column=image, label_column="" if label == "label" else label),
        label_names=label_names,
        class_names=_class_names(split.features.get(label)),
    )


def tfds_texts(place: str, *, label_names: Sequence[str] | None = None, text: TextFormat) -> Source:
    """Texts of a data set of tensorflow-datasets, read into memory.

    Args:
      place: as of `tfds_images`.
      label_names: of the training data, or None.
      text: names the features.

    Raises: as `tfds_images`.
    """
    split = _split(place, text.data_root)
    label = text.label_column or _learned(split)
    wanted = {"text_columns": text.texts, "label_column": (text.label_column,) * bool(text.label_column)}
    table_rows.check_columns(split.name, split.features, wanted, what="feature")
    class_names = _class_names(split.features.get(label))
    columns: list[list[Any]] = [[] for _ in text.texts]
    labels = []
    problems: list[Finding] = []
    for _, record in split.records.each(problems):
        example = tfrecord.parsed(record)
        for column, name in zip(columns, text.texts, strict=True):
            value = example.get(name, ())
            column.append(value[0].decode("utf-8", "replace") if len(value) == 1 else None)
        labels.append(tfrecord.label_of(example.get(label, ()), text.labels, class_names))
    if label_names is None and text.labels == "classes" and class_names:
        label_names = class_names
    return from_columns(
        columns,
        labels if label in split.features else None,
        keys=RowKeys(split.name, "example", np.arange(len(labels))),
        name=split.name,
        label_names=label_names,
        label_kind=text.labels,
        problems=problems,
    )


def _split(place: str, data_dir: str) -> _Split:
    match = _PLACE.fullmatch(place)
    if not match:
        raise errors.InputError(
            f"Got 'tfds:{place}'. Expected tfds:NAME, NAME/CONFIG, perhaps with :VERSION, and perhaps with :SPLIT. Use "
            "'tfds:mnist:train[:80%]'."
        )
    split = match["split"] or _DEFAULT_SPLIT
    builder = _prepared(match["name"], data_dir)
    try:
        part = builder.info.splits[split]
        instructions = part.file_instructions
    except (KeyError, ValueError, AssertionError) as error:
        known = ", ".join(map(repr, builder.info.splits))
        raise errors.InputError(
            f"Got the split {split!r} of {match['name']!r}: {error}. Expected one of: {known}; or a part such as "
            "'train[:80%]'. Correct it."
        ) from error
    name = f"tfds:{place}"
    if builder.info.file_format.value == "array_record":
        records = _of_array_records(builder, split, name)
    elif builder.info.file_format.value == "tfrecord":
        parts = [(os.fspath(part.filename), part.skip, part.skip + part.take) for part in instructions]
        records = record_files.record_set(parts)
    else:
        raise errors.InputError(
            f"Got 'tfds:{place}' in files of the format {builder.info.file_format.value!r}. Expected 'array_record' or "
            "'tfrecord', in which each record can be found. Prepare it with file_format='array_record'."
        )
    keys = tuple(builder.info.supervised_keys or ())
    return _Split(name, records, dict(builder.info.features.items()), keys)


def _prepared(name: str, data_dir: str) -> Any:
    try:
        import tensorflow_datasets as tfds
    except ImportError as error:
        raise errors.InputError(
            "Got no tensorflow-datasets. Expected the extra 'tfds'. Run pip install 'kft[tfds]'."
        ) from error
    try:
        if os.path.isdir(name):
            return tfds.builder_from_directory(name)
        builder = tfds.builder(name, data_dir=data_dir or None)
    except (tfds.core.DatasetNotFoundError, ValueError, OSError) as error:
        said = str(error).strip().splitlines()[0] if str(error).strip() else repr(error)
        raise errors.InputError(
            f"Got 'tfds:{name}': {said}. Expected a data set that tensorflow-datasets knows, or one that is prepared "
            "in data_root. Correct it."
        ) from error
    if not builder.is_prepared():
        try:
            builder.download_and_prepare()
        except Exception as error:  # of the network, the disk or the data set's own code
            raise errors.InputError(
                f"Got 'tfds:{name}', which could not be downloaded and prepared: {error}. Expected it in "
                f"{builder.data_dir!r}. Prepare it there with tensorflow-datasets, or name its folder with data_root."
            ) from error
    return builder


def _of_array_records(builder: Any, split: str, name: str) -> RecordSet:
    source = builder.as_data_source(split).data_source
    info = os.path.join(os.fspath(builder.data_path), "dataset_info.json")

    def each(problems: list[Finding]) -> Iterator[tuple[Place, bytes]]:
        del problems
        with progress.Progress(f"Reading {name}", "records", len(source)) as told:
            for number in range(len(source)):
                yield Place(info, number, number, 0), source[number]
                told.update(number + 1)

    return RecordSet(
        [info],
        each,
        read=lambda place: source[place.number],
        stamp=lambda place: check_memory.stamp(place.file, f"{split}\0{place.number}"),
    )


def _only(split: _Split, kind: type, place: str) -> str:
    names = [name for name, feature in split.features.items() if isinstance(feature, kind)]
    if len(names) == 1:
        return names[0]
    known = ", ".join(map(repr, split.features))
    raise errors.InputError(
        f"Got 'tfds:{place}' with {len(names)} features that are images. Expected one. Name one of {known} with "
        "image_column."
    )


def _learned(split: _Split) -> str:
    """The feature that the data set says is to be learned."""
    return split.supervised_keys[1] if len(split.supervised_keys) == 2 else "label"


def _class_names(feature: Any) -> tuple[str, ...]:
    """Those of a class, or of a sequence of classes; () for what has none."""
    names = getattr(feature, "names", None) or getattr(getattr(feature, "feature", None), "names", None)
    return tuple(names or ())
