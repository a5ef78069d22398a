"""TFRecord files with random access: where each record is in its file, found by reading them once."""

import glob
import os
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from kft import errors
from kft.data import check_memory, progress
from kft.data.source import Finding

# Each record stands between its length (8 bytes) with a checksum (4), and the checksum of its own (4).
_BEFORE, _AFTER = 12, 4
_COMPRESSED = {b"\x1f\x8b": "GZIP", b"\x78\x01": "ZLIB", b"\x78\x5e": "ZLIB", b"\x78\x9c": "ZLIB", b"\x78\xda": "ZLIB"}


class Place(NamedTuple):
    """Where a record is: its file, its number there from 0, where it begins and how long it is, in bytes."""

    file: str
    number: int
    start: int
    length: int

    def __str__(self) -> str:
        return f"{self.file}, record {self.number}"


class RecordSet(NamedTuple):
    """Records that are read one after the other once, and then by their places.

    Args:
      files: that change when the records do.
      each: gives all records with their places; takes a list for what is wrong.
      read: place -> the bytes of the record; several threads call it at once.
      stamp: place -> 16 bytes that change with the record's file, as of `kft.data.check_memory`.
    """

    files: Sequence[str]
    each: Callable[[list[Finding]], Iterator[tuple[Place, bytes]]]
    read: Callable[[Place], bytes]
    stamp: Callable[[Place], bytes]


def record_set(parts: Sequence[tuple[str, int, int | None]]) -> RecordSet:
    """The records of TFRecord files.

    Args:
      parts: for each the file, the number of its first record and the one after its last; None for all to the end.
    """

    def each(problems: list[Finding]) -> Iterator[tuple[Place, bytes]]:
        for file, first, end in parts:
            for place, record in records([file], problems):
                if end is not None and place.number >= end:
                    break
                if place.number >= first:
                    yield place, record

    def stamp(place: Place) -> bytes:
        return check_memory.stamp(place.file, str(place.start))

    return RecordSet([file for file, _, _ in parts], each, read_record, stamp)


def matching_files(pattern: str) -> list[str]:
    """The files that a pattern of names such as "photos/train-*.tfrecord" fits, sorted.

    Raises: InputError if there is none.
    """
    files = sorted(path for path in glob.glob(pattern) if os.path.isfile(path))
    if not files:
        raise errors.InputError(
            f"Got {pattern!r}, which no file fits. Expected a file, or a pattern of files such as 'photos/train-*'. "
            "Correct it, and quote it, so that the shell leaves it as it is."
        )
    return files


def records(files: Sequence[str], problems: list[Finding]) -> Iterator[tuple[Place, bytes]]:
    """All records of some files in their order, each with its place. Both checksums of each are compared.

    Args:
      files: that are there, not compressed.
      problems: takes what ends a file too early; the next one is gone on with.

    Raises: InputError for a compressed file.
    """
    import tensorflow as tf

    with progress.Progress(f"Reading {files[0]}" + f" and {len(files) - 1} more" * (len(files) > 1), "records") as told:
        count = 0
        for file in files:
            start = number = 0
            iterator = iter(tf.data.TFRecordDataset(file).as_numpy_iterator())
            while True:
                try:
                    record = next(iterator)
                except StopIteration:
                    break
                except tf.errors.OpError as error:
                    problems.append(_broken(file, number, start, error))
                    break
                yield Place(file, number, start + _BEFORE, len(record)), record
                start, number, count = start + _BEFORE + len(record) + _AFTER, number + 1, count + 1
                told.update(count)


def read_record(place: Place) -> bytes:
    """The bytes of a record.

    Raises: OSError if the file does not have them any more.
    """
    with open(place.file, "rb", buffering=0) as stream:
        content = os.pread(stream.fileno(), place.length, place.start)
    if len(content) < place.length:
        raise OSError(f"{place.file} is shorter than it was")
    return content


def _broken(file: str, number: int, start: int, error: Exception) -> Finding:
    with open(file, "rb") as stream:
        first = stream.read(2)
    if number == 0 and first in _COMPRESSED:
        raise errors.InputError(
            f"Got {file!r}, which is compressed ({_COMPRESSED[first]}). Expected TFRecord files that are not, as no "
            "record in it can be found without reading all before it. Write it again: "
            f"tf.data.TFRecordDataset(FILE, {_COMPRESSED[first]!r}), tf.io.TFRecordWriter(NEW_FILE)."
        ) from error
    size = os.path.getsize(file)
    kind = "truncated" if "truncated" in str(error).lower() else "corrupt"
    reason = f"Got a record, the one of number {number}, that does not read: {str(error).splitlines()[0]}; "
    rest = f"the file has {size - start} bytes from there on. Expected whole records with their checksums."
    return Finding(f"{kind} record", f"{file}, byte {start}", reason + rest, "Copy or write the file again.")
