"""Sources of image files, of their paths or their bytes."""

import concurrent.futures
import io
import os
import pathlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from kft.data import check_memory, image_file, text_labels
from kft.data.image_file import Header
from kft.data.source import NOTHING, Examined, Finding, Source

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
    """A source of image files. None is read here; their headers are read by the pre-flight, or when one is loaded.

    Args:
      name, label_names, labels, targets, problems, warnings: as of Source; labels None for none.
      paths: of the files; "" for one that a problem tells about.
      keys: what the examples are called, where not by their paths.
    """
    import tensorflow as tf

    paths = tuple(paths)
    with tf.init_scope(), tf.device("CPU:0"):
        files = tf.constant([os.fsencode(path) for path in paths], tf.string, shape=(len(paths),))
    return _source(
        name,
        load_bytes=lambda index: tf.io.read_file(tf.gather(files, index)),
        content=lambda index: pathlib.Path(paths[index]).read_bytes() if paths[index] else b"",
        headers=_Headers(len(paths), lambda index: image_file.read_header(paths[index])),
        stamp=lambda index: check_memory.stamp(paths[index]),
        keys=paths if keys is None else tuple(keys),
        label_names=label_names,
        labels=labels,
        targets=targets,
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
    stamp: Callable[[int], bytes],
    headers: Sequence[Header] | None = None,
    targets: np.ndarray | None = None,
    problems: Sequence[Finding] = (),
    warnings: Sequence[Finding] = (),
) -> Source:
    """A source of image files that are parts of something else.

    Args:
      name, keys, label_names, labels, targets, problems, warnings: as of Source; labels None for none.
      read: index -> the bytes of the file; several threads call it at once.
      stamp: index -> 16 bytes that change with the file, as of `kft.data.check_memory`.
      headers: of the files, where they are known already.
    """
    import tensorflow as tf

    known = _Headers(len(keys), lambda index: image_file.header_of(io.BytesIO(read(index))))
    for index, header in enumerate(headers or ()):
        known.set(index, header)

    def load(index):
        return tf.ensure_shape(tf.numpy_function(lambda place: read(int(place)), [index], tf.string, False), ())

    return _source(
        name,
        load_bytes=load,
        content=read,
        headers=known,
        stamp=stamp,
        keys=keys,
        label_names=label_names,
        labels=labels,
        targets=targets,
        problems=problems,
        warnings=warnings,
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


class _Headers:
    """Height, width, whether a JPEG, and orientation of each image; read in threads when first asked for."""

    def __init__(self, num_images: int, read: Callable[[int], Header]):
        self._rows = np.tile(np.array(image_file.NO_HEADER[:4], np.int32), (num_images, 1))
        self._known = np.zeros(num_images, bool)
        self._read = read
        self._tensors: Any = None

    def set(self, index: int, header: Header) -> None:
        self._rows[index] = header[:4]
        self._known[index] = True

    def rows(self) -> np.ndarray:
        """(images, 4) int32."""
        missing = np.flatnonzero(~self._known)
        if len(missing):
            with concurrent.futures.ThreadPoolExecutor() as pool:
                for index, header in zip(missing, pool.map(self._read, missing.tolist()), strict=True):
                    self.set(index, header)
        return self._rows

    def tensors(self) -> tuple[Any, Any, np.ndarray]:
        """Those of `image_header`, of `orientation` or None where all are as they are to be seen, and the bounds."""
        import tensorflow as tf

        if self._tensors is None:
            rows = self.rows()
            bounds = np.array([*rows[:, :2].max(axis=0, initial=0), not rows[:, 2].all()], np.int32)
            with tf.init_scope(), tf.device("CPU:0"):
                turned = tf.constant(rows[:, 3]) if (rows[:, 3] != 1).any() else None
                self._tensors = tf.constant(rows[:, :3]), turned, bounds
        return self._tensors


def _source(
    name, *, load_bytes, content, headers: _Headers, stamp, keys, label_names, labels, targets, problems, warnings
) -> Source:
    import tensorflow as tf

    def load(index):
        # It may read files in threads, which are not to be rewritten as a graph.
        sizes, orientations, bounds = tf.autograph.experimental.do_not_convert(headers.tensors)()
        raw = {
            "image_bytes": load_bytes(index),
            "image_header": tf.gather(sizes, index),
            "image_bounds": tf.constant(bounds),
        }
        return raw if orientations is None else raw | {"orientation": tf.gather(orientations, index)}

    told = {finding.index for finding in problems if "label" not in finding.kind}

    def examine(index: int, memory: check_memory.Memory, most_pixels: int) -> Examined:
        if index in told:
            return NOTHING
        key = stamp(index)
        known = memory.get(key)
        if known is None or known[1].height * known[1].width > most_pixels:
            read = content(index)
            header = image_file.header_of(io.BytesIO(read))
            found = image_file.examine(keys[index], read, header, most_pixels=most_pixels)
            if not found.bad:
                memory.put(key, found, header)
        else:
            found, header = known
        headers.set(index, header)
        return found._replace(stamp=key)

    return Source(
        name=name,
        num_examples=len(keys),
        label_names=tuple(label_names),
        labels=np.full(len(keys), -1, np.int64) if labels is None else np.array(labels, np.int64),
        load=load,
        keys=keys,
        content=content,
        examine=examine,
        problems=tuple(problems),
        warnings=tuple(warnings),
        targets=targets,
    )
