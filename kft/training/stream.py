"""A data set without random access: its iterator is part of the checkpoint."""

import pathlib
import tempfile
from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from kft import errors

FILES = "stream"


class Stream:
    """The epochs of a tf.data.Dataset, one after the other, with a state that can be saved at any step.

    The state holds what is read ahead and what waits in shuffle buffers, so it is as large as they are. A pipeline
    that draws from a global random generator, or calls Python, has none.

    Args:
      dataset: finite, or infinite with `steps_per_epoch`.
      steps_per_epoch: int >= 1; None for the number of its batches.

    Raises: InputError if the number of batches is not known.
    """

    def __init__(self, dataset: tf.data.Dataset, steps_per_epoch: int | None = None):
        size = int(dataset.cardinality())
        if steps_per_epoch is None and size < 1:
            raise errors.InputError(
                "Got a data set whose number of batches is not known. Expected a known one, so that a checkpoint can "
                "tell where in an epoch it is. Give steps_per_epoch, or use tf.data.experimental.assert_cardinality."
            )
        self.steps_per_epoch = steps_per_epoch or size
        self.iterator = iter(dataset.repeat())
        self._saver = tf.train.Checkpoint(iterator=self.iterator)
        self.why_not = self._try()

    def _try(self) -> str | None:
        """Why the state cannot be saved; None if it can."""
        try:
            self.files()
        except (tf.errors.OpError, NotImplementedError) as error:
            return str(error).partition("\n")[0][:300]
        return None

    def files(self) -> dict[str, bytes]:
        """The state between two steps, as files by name."""
        with tempfile.TemporaryDirectory() as folder:
            self._saver.write(str(pathlib.Path(folder) / FILES))
            return {path.name: path.read_bytes() for path in pathlib.Path(folder).iterdir()}

    def restore(self, files: Mapping[str, bytes]) -> None:
        """Goes on from what `files` gave."""
        with tempfile.TemporaryDirectory() as folder:
            for name, content in files.items():
                (pathlib.Path(folder) / name).write_bytes(content)
            self._saver.read(str(pathlib.Path(folder) / FILES)).assert_consumed()


def placeholder() -> tf.data.Dataset:
    """What `fit` counts steps by while the train function reads a `Stream`."""
    return tf.data.Dataset.range(1).repeat()


def stream_of(x: Any, strategy: tf.distribute.Strategy, steps_per_epoch: int | None) -> Stream | None:
    """The stream of what `fit` was given; None for what is no data set, or is distributed."""
    if not isinstance(x, tf.data.Dataset) or strategy.num_replicas_in_sync > 1:
        return None
    return Stream(x, steps_per_epoch)
