"""Sources of image files, of their paths or their bytes."""

import concurrent.futures
import io
import os
import pathlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from kft.data import image_file, text_labels
from kft.data.source import Finding, Source

IMAGE_MISSING, OUTSIDE = "image missing", "path outside the data root"


def source_of_files(
    name: str,
    paths: Sequence[str],
    label_names: Sequence[str] = (),
    labels: Sequence[int] | np.ndarray | None = None,
    *,
    targets: np.ndarray | None = None,
    keys: Sequence[str] | None = None,
    problems: Sequence[Finding] = (),
    warnings: Sequence[Finding] = (),
) -> Source:
    """A source of image files. Only their headers are read here.

    Args:
      name, label_names, labels, targets, problems, warnings: as of Source; labels None for none.
      paths: of the files; "" for one that a problem tells about.
      keys: what the examples are called, where not by their paths.
    """
    import tensorflow as tf

    paths = tuple(paths)
    with concurrent.futures.ThreadPoolExecutor() as pool:
        headers = list(pool.map(image_file.read_header, paths))
    with tf.init_scope(), tf.device("CPU:0"):
        files = tf.constant([os.fsencode(path) for path in paths], tf.string, shape=(len(paths),))

    def content(index: int) -> bytes:
        return pathlib.Path(paths[index]).read_bytes() if paths[index] else b""

    return _source(
        name,
        lambda index: tf.io.read_file(tf.gather(files, index)),
        content,
        headers,
        paths if keys is None else tuple(keys),
        (label_names, labels, targets),
        problems=problems,
        warnings=warnings,
    )


def source_of_bytes(
    name: str,
    read: Callable[[int], bytes],
    keys: Sequence[str],
    label_names: Sequence[str] = (),
    labels: Sequence[int] | np.ndarray | None = None,
    *,
    targets: np.ndarray | None = None,
    problems: Sequence[Finding] = (),
    warnings: Sequence[Finding] = (),
) -> Source:
    """A source of image files that are parts of something else. Only their headers are read here.

    Args:
      name, keys, label_names, labels, targets, problems, warnings: as of Source; labels None for none.
      read: index -> the bytes of the file; several threads call it at once.
    """
    import tensorflow as tf

    with concurrent.futures.ThreadPoolExecutor() as pool:
        headers = list(pool.map(lambda index: image_file.header_of(io.BytesIO(read(index))), range(len(keys))))

    def load(index):
        return tf.ensure_shape(tf.numpy_function(lambda place: read(int(place)), [index], tf.string, False), ())

    return _source(
        name, load, read, headers, keys, (label_names, labels, targets), problems=problems, warnings=warnings
    )


def labels_of(
    values: Sequence[Any] | None,
    num_examples: int,
    *,
    kind: str,
    label_names: Sequence[str] | None,
    key: Callable[[int], str],
) -> text_labels.Labels:
    """Labels as a file has them; -1 for all where it has none.

    Args:
      values: a column, or None.
      num_examples: how many examples there are.
      kind: "classes", "sets" or "numbers".
      label_names: of the training data, or None.
      key: index -> what the example is called.
    """
    if values is None:
        return text_labels.Labels(tuple(label_names or ()), np.full(num_examples, -1, np.int64), None, ())
    return text_labels.READERS[kind](values, label_names, key)


def _source(name, load_bytes, content, headers, keys, labelled, *, problems, warnings) -> Source:
    import tensorflow as tf

    label_names, labels, targets = labelled
    largest = [max((header[side] for header in headers), default=0) for side in (0, 1)]
    bounds = np.array([*largest, not all(header.is_jpeg for header in headers)], np.int32)
    turned = _turned_files(keys, headers)
    with tf.init_scope(), tf.device("CPU:0"):
        sizes = tf.constant([header[:3] for header in headers], tf.int32, shape=(len(keys), 3))
        orientations = tf.constant([header.orientation for header in headers], tf.int32, shape=(len(keys),))

    def load(index):
        raw = {
            "image_bytes": load_bytes(index),
            "image_header": tf.gather(sizes, index),
            "image_bounds": tf.constant(bounds),
        }
        return raw | {"orientation": tf.gather(orientations, index)} if turned else raw

    told = {finding.index for finding in problems if "label" not in finding.kind}
    return Source(
        name=name,
        num_examples=len(keys),
        label_names=tuple(label_names),
        labels=np.full(len(keys), -1, np.int64) if labels is None else np.array(labels, np.int64),
        load=load,
        keys=keys,
        content=content,
        inspect=lambda index, content: (
            None if index in told else image_file.inspect(keys[index], content, headers[index])
        ),
        problems=tuple(problems),
        warnings=(*warnings, *turned),
        targets=targets,
    )


def _turned_files(keys, headers) -> tuple[Finding, ...]:
    turned = [key for key, header in zip(keys, headers, strict=True) if header.orientation != 1]
    if not turned:
        return ()
    reason = f"Got {len(turned)} images that EXIF says to turn or mirror, which is done."
    return (Finding("EXIF rotation applied", turned[0], reason, "Nothing has to be done.", count=len(turned)),)
