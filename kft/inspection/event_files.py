"""TensorBoard's event files, with what was written too late taken out."""

import pathlib
import struct
from collections.abc import Iterator, Mapping

from tensorflow.core.util import event_pb2

from kft import files


def keep_until(log_dir: pathlib.Path, last_steps: Mapping[tuple[str, str], int]) -> None:
    """Takes the points after the last step of each tag out of all event files; what has no such step goes too.

    A file is replaced whole or not at all. What a writer that was killed left unfinished at its end is dropped.

    Args:
      log_dir: with a folder for each writer.
      last_steps: (writer, tag) -> step.
    """
    for file in sorted(log_dir.glob("*/events.out.tfevents.*")):
        content = file.read_bytes()
        kept = []
        for record in records(content):
            event = event_pb2.Event.FromString(record[12:-4])
            writer = file.parent.name
            if all(event.step <= last_steps.get((writer, value.tag), -1) for value in event.summary.value):
                kept.append(record)
        remaining = b"".join(kept)
        if remaining != content:
            files.write_whole(file, remaining)


def records(content: bytes) -> Iterator[bytes]:
    """The whole records of a TFRecord file: length, its checksum, data, its checksum."""
    place = 0
    while place + 12 <= len(content):
        (length,) = struct.unpack_from("<Q", content, place)
        end = place + 12 + length + 4
        if end > len(content):
            return
        yield content[place:end]
        place = end
