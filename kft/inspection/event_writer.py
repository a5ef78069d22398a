"""Writing for TensorBoard: each tag has each step once."""

import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf


class EventWriter:
    """The writers of a run by name; what is at or before the last step of its tag is left out.

    Args:
      log_dir: folder for the writers' folders.
      is_chief: whether anything is written; workers that are not the chief write nothing.
    """

    def __init__(self, log_dir: pathlib.Path, *, is_chief: bool = True):
        self.log_dir, self.is_chief = log_dir, is_chief
        self.last_steps: dict[tuple[str, str], int] = {}
        self._writers: dict[str, tf.summary.SummaryWriter] = {}

    def scalar(self, writer: str, tag: str, value: Any, step: int) -> None:
        """A number."""
        self._write(writer, tag, step, lambda: tf.summary.scalar(tag, value, step))

    def text(self, writer: str, tag: str, text: str, step: int) -> None:
        """A text, as Markdown."""
        self._write(writer, tag, step, lambda: tf.summary.text(tag, text, step))

    def image(self, writer: str, tag: str, image: np.ndarray, step: int) -> None:
        """An image (height, width, 3) uint8."""
        self._write(writer, tag, step, lambda: tf.summary.image(tag, image[np.newaxis], step))

    def histogram(self, writer: str, tag: str, values: Any, step: int) -> None:
        """How numbers are distributed."""
        self._write(writer, tag, step, lambda: tf.summary.histogram(tag, values, step, buckets=40))

    def tensor(self, writer: str, tag: str, values: np.ndarray, step: int, metadata: Any) -> None:
        """What a plugin of TensorBoard reads by its metadata."""
        self._write(writer, tag, step, lambda: tf.summary.write(tag, tf.constant(values), step, metadata=metadata))

    def summary(self, writer: str, summary: Any, step: int) -> None:
        """A summary as TensorBoard's own functions make it."""
        tag = summary.value[0].tag
        write = lambda: tf.summary.experimental.write_raw_pb(summary.SerializeToString(), step)  # noqa: E731
        self._write(writer, tag, step, write)

    def has(self, writer: str, tag: str) -> bool:
        """Whether anything of that tag was written."""
        return (writer, tag) in self.last_steps

    def flush(self) -> None:
        """Lets a reader see all of it."""
        for writer in self._writers.values():
            writer.flush()

    def go_on_from(self, last_steps: Mapping[tuple[str, str], int]) -> None:
        """Closes the files and goes on, in new ones, from these last steps."""
        for writer in self._writers.values():
            writer.close()
        self._writers, self.last_steps = {}, dict(last_steps)

    def _write(self, writer: str, tag: str, step: int, write) -> None:
        if step > self.last_steps.get((writer, tag), -1):
            self.last_steps[writer, tag] = step
            if self.is_chief:
                if writer not in self._writers:
                    self._writers[writer] = tf.summary.create_file_writer(str(self.log_dir / writer))
                with self._writers[writer].as_default():
                    write()
