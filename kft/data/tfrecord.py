"""Images in TFRecord files of tf.train.Example."""

import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from kft import errors
from kft.data import check_memory, image_file, image_source, record_files
from kft.data.image_format import ImageFormat
from kft.data.record_files import Place
from kft.data.source import Finding, Source


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
    problems: list[Finding] = []
    places: list[Place] = []

    def records() -> Iterator[tuple[str, bytes]]:
        for place, record in record_files.records(record_files.matching_files(pattern), problems):
            places.append(place)
            yield str(place), record

    return source_of_examples(
        f"tfrecord:{pattern}",
        records(),
        read=lambda index: record_files.read_record(places[index]),
        stamp=lambda index: check_memory.stamp(places[index].file, f"{images.image}\0{places[index].start}"),
        problems=problems,
        label_names=label_names,
        images=images,
    )


def source_of_examples(
    name: str,
    records: Iterable[tuple[str, bytes]],
    *,
    read: Callable[[int], bytes],
    stamp: Callable[[int], bytes],
    images: ImageFormat,
    label_names: Sequence[str] | None = None,
    class_names: Sequence[str] = (),
    problems: Sequence[Finding] = (),
) -> Source:
    """A source of records that hold tf.train.Examples.

    Args:
      name: of the source.
      records: what each is called, and its bytes; gone through once.
      read: index -> the bytes of a record; several threads call it at once.
      stamp: as of `kft.data.image_source.source_of_bytes`.
      images: names the features.
      label_names: of the training data, or None.
      class_names: what whole numbers in the label feature are called; () for themselves.
      problems: of reading; may grow while `records` are gone through.
    """
    keys, headers, labels, features, missing = [], [], [], set(), []
    for key, record in records:
        example = parsed(record)
        features.update(example)
        image = example.get(images.image, ())
        if _is_file(image):
            headers.append(image_file.header_of(io.BytesIO(image[0])))
        else:
            reason = f"Got {_told(image)} in the feature {images.image!r}. Expected the bytes of one image file."
            remedy = "Write it again, or leave it out."
            missing.append(Finding(image_source.IMAGE_MISSING, key, reason, remedy, index=len(keys)))
            headers.append(image_file.NO_HEADER)
        labels.append(label_of(example.get(images.label, ()), images.labels, class_names))
        keys.append(key)
    if keys:
        _check_features(name, features, images)
    read_labels = image_source.labels_of(
        labels if images.label in features else None,
        len(keys),
        kind=images.labels,
        label_names=label_names if label_names is not None else class_names or None,
        key=keys.__getitem__,
    )

    def read_image(index: int) -> bytes:
        image = parsed(read(index)).get(images.image, ())
        return image[0] if _is_file(image) else b""

    wrong = {finding.index for finding in missing}
    return image_source.source_of_bytes(
        name,
        read_image,
        tuple(keys),
        read_labels.label_names,
        read_labels.labels,
        stamp=stamp,
        headers=headers,
        targets=read_labels.targets,
        problems=[*problems, *missing, *(finding for finding in read_labels.problems if finding.index not in wrong)],
    )


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


def _check_features(name: str, features: set[str], images: ImageFormat) -> None:
    for setting, names in images.required.items():
        for feature in names:
            if feature not in features:
                error = errors.unknown_name("feature", feature, features)
                raise errors.InputError(f"{name}: {error} Name it with --{setting}.")
