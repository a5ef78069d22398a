"""Every example of a source, examined once: by all cores, with what is found in arrays."""

import concurrent.futures
import contextlib
import dataclasses
import os
from collections.abc import Iterator, Sequence

import numpy as np

from kft.data import image_file, progress
from kft.data.check_memory import Memory
from kft.data.native_words import NativeWords
from kft.data.source import Examined, Finding, Source, fingerprint

_EXAMPLES_AT_ONCE = 64
_WORDS = np.dtype([("high", np.uint64), ("low", np.uint64)])


@dataclasses.dataclass(frozen=True)
class Examination:
    """What the examples of a source were found to be.

    Args:
      content, pixels, look: (num_examples,) of 16 bytes each, as of `Examined`; zeros for bad ones.
      bad: what is wrong, with the index of the example.
      remarks: one finding for each kind, with its count.
    """

    content: np.ndarray
    pixels: np.ndarray
    look: np.ndarray
    bad: list[Finding]
    remarks: list[Finding]

    def without(self, indices: list[int]) -> "Examination":
        """Less the examples at these indices."""
        arrays = {name: np.delete(getattr(self, name), indices) for name in ("content", "pixels", "look")}
        return dataclasses.replace(self, **arrays)


def examine(source: Source, memory: Memory, *, most_pixels: int) -> Examination:
    """Reads and decodes every example of a source that `memory` does not know.

    While it does, what libraries write to standard error is kept back, as libjpeg tells there what is wrong with data
    that it decodes all the same.

    Args:
      source: any source.
      memory: takes what is found.
      most_pixels: images with more are refused.
    """
    parts = np.zeros((3, source.num_examples), _WORDS)
    bad: list[Finding] = []
    remarked: dict[str, list[int]] = {}

    def take(index: int, found: Examined) -> None:
        if found.bad:
            bad.append(dataclasses.replace(found.bad, index=index))
        for part, value in zip(parts, (found.content, found.pixels, found.look), strict=True):
            part[index] = np.frombuffer(value, _WORDS)[0]
        for name in found.remarks:
            remarked.setdefault(name, []).append(index)

    with contextlib.ExitStack() as stack:
        words = stack.enter_context(NativeWords()) if source.examine else None
        told = progress.Progress(
            f"Checking {source.name}", "examples", source.num_examples, stream=words and words.stream
        )
        stack.enter_context(told)
        if source.records is not None:
            wrong = {finding.index for finding in source.problems}
            for index in range(source.num_examples):
                if index not in wrong:
                    take(index, Examined(content=fingerprint(source.normalized(index))))
                told.update(index + 1)
        else:
            written = []
            for index, (found, was_written) in enumerate(_in_threads(source, memory, most_pixels, words)):
                take(index, found)
                written += [index] * was_written
                told.update(index + 1)
            for index, key in _noisy(source, written, most_pixels, words):
                memory.remark(key, image_file.NOISY)
                remarked.setdefault(image_file.NOISY, []).append(index)
    return Examination(*parts, bad, _remarks(source, remarked))


def _in_threads(
    source: Source, memory: Memory, most_pixels: int, words: NativeWords | None
) -> Iterator[tuple[Examined, bool]]:
    """What each example is, and whether something was written meanwhile, by its decoder or that of another thread."""

    def one(index: int) -> tuple[Examined, bool]:
        before = words.size() if words else 0
        try:
            if source.examine:
                found = source.examine(index, memory, most_pixels)
            else:
                content = source.content(index)
                wrong = source.inspect(index, content)
                found = Examined(wrong) if wrong else Examined(content=fingerprint(content))
        except OSError as error:
            reason = f"Got {error.strerror or error!r} on reading it. Expected a file."
            remedy = "Correct its path or its permissions, or leave it out."
            found = Examined(Finding("unreadable", source.keys[index], reason, remedy))
        return found, words is not None and not found.bad and words.size() > before

    def some(first: int) -> list[tuple[Examined, bool]]:
        return [one(index) for index in range(first, min(first + _EXAMPLES_AT_ONCE, source.num_examples))]

    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for part in pool.map(some, range(0, source.num_examples, _EXAMPLES_AT_ONCE)):
            yield from part


def _noisy(
    source: Source, indices: Sequence[int], most_pixels: int, words: NativeWords | None
) -> Iterator[tuple[int, bytes]]:
    """Those whose data libjpeg calls corrupt, with their stamps; each is decoded alone, once more."""
    for index in indices:
        before = words.size()
        found = source.examine(index, Memory(None, ""), most_pixels)
        if words.is_about_jpeg(before, words.size()):
            yield index, found.stamp


def _remarks(source: Source, remarked: dict[str, list[int]]) -> list[Finding]:
    findings = []
    for kind, (reason, remedy) in image_file.REMARKS.items():
        if indices := remarked.get(kind):
            where = source.keys[min(indices)]
            findings.append(Finding(kind, where, f"Got {len(indices)} {reason}", remedy, count=len(indices)))
    return findings
