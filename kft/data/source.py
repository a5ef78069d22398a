"""What every kind of data gives: examples by index, their labels, and what they are called."""

import dataclasses
import hashlib
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from kft import errors
from kft.data.records import Records


@dataclasses.dataclass(frozen=True)
class Finding:
    """One thing that is wrong, or worth knowing, about the data.

    Args:
      kind: what it is, in one word or two, such as "truncated"; findings are counted by kind.
      where: the file or the row.
      reason: what was got, and what is expected.
      remedy: what to do.
      count: how many examples or files it stands for.
      index: of the example in its source, where it is one example that is wrong; that can be skipped.
    """

    kind: str
    where: str
    reason: str
    remedy: str
    count: int = 1
    index: int | None = None

    def __str__(self) -> str:
        return f"{self.where}: {self.reason} {self.remedy}"


class Examined(NamedTuple):
    """What one example is found to be.

    Args:
      bad: what is wrong with it, or None; then the rest is not looked at.
      content, pixels: 16 bytes each; equal ones are equal bytes and equal decoded pixels; zeros are equal to nothing.
      look: 16 bytes of which few bits differ between images that look alike; zeros are like nothing.
      remarks: what is worth knowing, in the words of `kft.data.image_file.REMARKS`.
      stamp: 16 bytes that change when the file does; see `kft.data.check_memory`.
    """

    bad: Finding | None = None
    content: bytes = bytes(16)
    pixels: bytes = bytes(16)
    look: bytes = bytes(16)
    remarks: tuple[str, ...] = ()
    stamp: bytes = b""


NOTHING = Examined()


def _nothing_to_find(index: int, content: bytes) -> Finding | None:
    del index, content
    return None


@dataclasses.dataclass(frozen=True, eq=False)
class Source:
    """Examples by index.

    `load` is a graph function from an index to a raw example, a dict. For images it is one of

        {"image": (height, width, channels) uint8 or float32, values 0 to 255}
        {"image_bytes": () string, the file as it is;
         "image_header": (3,) int32, the stored height and width, and whether it is a JPEG;
         "image_bounds": (3,) int32, a constant: the largest height and width of the source, and whether some file is no
           JPEG; what no file needs is then left out of the graph;
         "orientation": () int32, EXIF's 1 to 8, absent where all files of the source have 1}

    which `image_encoder` turns into an array. Files come as bytes, so that the encoder can decode only what it needs.
    Text has no `load` but `records`, which a task turns into tokens, all at once:

        {"texts": (text,) or (first, second)}
        {"words": [...], "tags": [...]}, tags None where there are none
        {"id": str, "question": str, "context": str, "answers": [(start, text), ...]}

    Args:
      name: the specification it was loaded from, such as "folder:photos/train".
      num_examples: int >= 0.
      label_names: names of the classes in the order of the labels; () where nothing is labelled.
      labels: (num_examples,) int64 in [0, number of classes); -1 where there is none or it cannot be used.
      load: index tensor, () int64 -> raw example; None for text.
      keys: what each example is called in messages: a path, or "row 17".
      content: index -> the bytes of the example; equal bytes are the same example.
      inspect: (index, content) -> what is wrong with the example, or None. Called once each by the pre-flight.
      examine: (index, memory, most pixels) -> what the example is, instead of `content` and `inspect`; memory is a
        `kft.data.check_memory.Memory`.
      problems: what was found wrong while loading.
      warnings: what was found remarkable while loading.
      lengths: (num_examples,) int64, for data whose examples differ in length.
      records: the raw examples of text, by index.
      targets: what is learned where it is not one class: (num_examples, number of classes) float32, 0 or 1 for each
        class; or (num_examples,) float32, a number.
      normalized: index -> bytes; equal ones are the same example although their content differs, as in case. None:
        as `content`.
    """

    name: str
    num_examples: int
    label_names: tuple[str, ...]
    labels: np.ndarray
    load: Callable[[Any], dict[str, Any]] | None
    keys: Sequence[str]
    content: Callable[[int], bytes]
    inspect: Callable[[int, bytes], Finding | None] = _nothing_to_find
    examine: Callable[[int, Any, int], Examined] | None = None
    problems: tuple[Finding, ...] = ()
    warnings: tuple[Finding, ...] = ()
    lengths: np.ndarray | None = None
    records: Records | None = None
    targets: np.ndarray | None = None
    normalized: Callable[[int], bytes] | None = None

    def num_examples_per_class(self) -> dict[str, int]:
        """The number of examples of each class, in the order of `label_names`; of tagged words, that of words."""
        counts = None if self.records is None else self.records.class_counts(self.label_names)
        if counts is None and self.targets is not None and self.label_names:
            counts = np.sum(self.targets > 0, axis=0)
        if counts is None:
            counts = np.bincount(self.labels[self.labels >= 0], minlength=len(self.label_names))
        return dict(zip(self.label_names, counts.tolist(), strict=True))

    def digest(self) -> str:
        """32 hexadecimal digits that change with any byte of any example, a label, a class name or the order."""
        digest = hashlib.blake2b(repr(self.label_names).encode(), digest_size=16)
        digest.update(self.labels.tobytes())
        if self.targets is not None:
            digest.update(self.targets.tobytes())
        for index in range(self.num_examples):
            digest.update(fingerprint(self.content(index)))
        return digest.hexdigest()


def fingerprint(content: bytes, *more: Any) -> bytes:
    """16 bytes that tell contents apart; more of it may be arrays."""
    digest = hashlib.blake2b(content, digest_size=16)
    for part in more:
        digest.update(np.ascontiguousarray(part).reshape(-1).view(np.uint8))
    return digest.digest()


def subset(source: Source, indices: Sequence[int] | np.ndarray) -> Source:
    """The examples of a source at these indices, in this order.

    Args:
      source: any source.
      indices: ints in [0, num_examples).

    Returns: a source with the same label names, and with what was found about these examples and the whole.
    Raises: InputError for an index out of range.
    """
    indices = np.asarray(indices, np.int64).reshape(-1)
    wrong = indices[(indices < 0) | (indices >= source.num_examples)]
    if wrong.size:
        raise errors.InputError(
            f"Got index {wrong[0]} for {source.name!r}. Expected 0 <= index < {source.num_examples}. Correct it."
        )
    take = getattr(source.keys, "take", None)
    return dataclasses.replace(
        source,
        num_examples=len(indices),
        labels=source.labels[indices],
        load=None if source.load is None else _load_of(source.load, indices),
        keys=take(indices) if take else tuple(source.keys[index] for index in indices),
        content=lambda index: source.content(int(indices[index])),
        inspect=lambda index, content: source.inspect(int(indices[index]), content),
        examine=source.examine and (lambda index, *how: source.examine(int(indices[index]), *how)),
        problems=_of_these(source.problems, indices),
        warnings=_of_these(source.warnings, indices),
        lengths=None if source.lengths is None else source.lengths[indices],
        records=None if source.records is None else source.records.take(indices),
        targets=None if source.targets is None else source.targets[indices],
        normalized=source.normalized and (lambda index: source.normalized(int(indices[index]))),
    )


def _load_of(load: Callable[[Any], dict[str, Any]], indices: np.ndarray) -> Callable[[Any], dict[str, Any]]:
    import tensorflow as tf

    with tf.init_scope(), tf.device("CPU:0"):
        rows = tf.constant(indices)
    return lambda index: load(tf.gather(rows, index))


def _of_these(findings: Iterable[Finding], indices: np.ndarray) -> tuple[Finding, ...]:
    places = {int(index): place for place, index in enumerate(indices)}
    return tuple(
        finding if finding.index is None else dataclasses.replace(finding, index=places[finding.index])
        for finding in findings
        if finding.index is None or finding.index in places
    )


def without(source: Source, indices: Sequence[int]) -> Source:
    """The source less the examples at these indices, such as those that the pre-flight skips."""
    return subset(source, np.setdiff1d(np.arange(source.num_examples), np.asarray(indices, np.int64)))


def unlabelled(source: Source) -> Source:
    """The examples of a source to predict, without their labels and what was found wrong with these."""
    return dataclasses.replace(
        source,
        label_names=(),
        labels=np.full(source.num_examples, -1, np.int64),
        targets=None,
        records=None if source.records is None else source.records.unlabelled(),
        problems=tuple(finding for finding in source.problems if "label" not in finding.kind),
    )
