"""Images in TFRecord files of tf.train.Example."""

import io
from collections.abc import Sequence
from typing import Any

from kft.data import image_file, image_source, record_files, record_index, table_rows
from kft.data.image_format import ImageFormat
from kft.data.record_files import RecordSet
from kft.data.record_index import Index
from kft.data.source import Finding, Source, fingerprint


def tfrecord_files(pattern: str, *, label_names: Sequence[str] | None = None, images: ImageFormat) -> Source:
    """Image files in tf.train.Examples, with random access: all records are read once to find where each one is.

    Args:
      pattern: a file, or a pattern such as "photos/train-*.tfrecord"; the files are taken in the order of their names.
        Compressed ones are refused.
      label_names: of the training data, or None.
      images: names the features: image_column with the bytes of an image file; label_column with a whole number or a
        name, several of them for sets, or a number.

    Raises: InputError if no file fits, one is compressed, or no record has the features.
    """
    files = record_files.matching_files(pattern)
    records = record_files.record_set([(file, 0, None) for file in files])
    return source_of_examples(f"tfrecord:{pattern}", records, label_names=label_names, images=images)


def source_of_examples(
    name: str,
    records: RecordSet,
    *,
    images: ImageFormat,
    label_names: Sequence[str] | None = None,
    class_names: Sequence[str] = (),
) -> Source:
    """A source of records that hold tf.train.Examples.

    Args:
      name: of the source.
      records: gone through once; not at all where `images.cache` has an index of them.
      images: names the features.
      label_names: of the training data, or None.
      class_names: what whole numbers in the label feature are called; () for themselves.
    """
    how = repr((name, images.image, images.label, images.labels, tuple(class_names)))
    kept = record_index.KeptIndex(images.cache, how, records.files)
    problems: list[Finding] = []
    index = kept.load()
    if index is None:
        index = _read_all(records, images, class_names, problems)
        if not problems:  # what is bad is told at each start
            kept.save(index)
    if index.places:
        table_rows.check_columns(name, index.features, images.required, what="feature")
    keys = tuple(map(str, index.places))
    labels = image_source.labels_of(
        index.labels if images.label in index.features else None,
        len(keys),
        kind=images.labels,
        label_names=label_names if label_names is not None else class_names or None,
        key=keys.__getitem__,
    )

    def read_image(number: int) -> bytes:
        image = parsed(records.read(index.places[number])).get(images.image, ())
        return image[0] if _is_file(image) else b""

    def stamp(number: int) -> bytes:
        return fingerprint(records.stamp(index.places[number]) + images.image.encode())

    wrong = {finding.index for finding in problems if finding.index is not None}
    return image_source.source_of_bytes(
        name,
        read_image,
        keys,
        labels.label_names,
        labels.labels,
        stamp=stamp,
        headers=index.headers,
        targets=labels.targets,
        problems=[*problems, *(finding for finding in labels.problems if finding.index not in wrong)],
    )


def _read_all(records: RecordSet, images: ImageFormat, class_names: Sequence[str], problems: list[Finding]) -> Index:
    places, headers, labels, features = [], [], [], set()
    for place, record in records.each(problems):
        example = parsed(record)
        features.update(example)
        image = example.get(images.image, ())
        if _is_file(image):
            headers.append(image_file.header_of(io.BytesIO(image[0])))
        else:
            reason = f"Got {_told(image)} in the feature {images.image!r}. Expected the bytes of one image file."
            remedy = "Write it again, or leave it out."
            problems.append(Finding(image_source.IMAGE_MISSING, str(place), reason, remedy, index=len(places)))
            headers.append(image_file.NO_HEADER)
        labels.append(label_of(example.get(images.label, ()), images.labels, class_names))
        places.append(place)
    return Index(places, headers, labels, sorted(features))


def _is_file(values: Sequence[Any]) -> bool:
    return len(values) == 1 and isinstance(values[0], bytes)


def parsed(record: bytes) -> dict[str, Sequence[Any]]:
    """The features of a tf.train.Example by name, each a sequence of bytes, of float or of int; {} for what is none."""
    from google.protobuf.message import DecodeError
    from tensorflow.core.example import example_pb2

    try:
        features = example_pb2.Example.FromString(record).features.feature
    except DecodeError:
        return {}
    return {name: getattr(value, kind).value for name, value in features.items() if (kind := value.WhichOneof("kind"))}


def label_of(values: Sequence[Any], kind: str, class_names: Sequence[str]) -> Any:
    texts = [value.decode("utf-8", "replace") if isinstance(value, bytes) else value for value in values]
    texts = [
        class_names[value] if isinstance(value, int) and 0 <= value < len(class_names) else value for value in texts
    ]
    if kind == "sets":
        return texts
    return texts[0] if len(texts) == 1 else None


def _told(values: Sequence[Any]) -> str:
    kinds = {type(value).__name__ for value in values}
    return f"{len(values)} values of type {', '.join(kinds)}" if kinds else "nothing"
