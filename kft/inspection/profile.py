"""TensorFlow's profile of chosen updates."""

import pathlib

import tensorflow as tf


class Profile:
    """Begins and ends by the number of updates.

    Args:
      log_dir: folder of TensorBoard.
      first, last: updates, counted from 1.
    """

    def __init__(self, log_dir: pathlib.Path, first: int, last: int):
        self.log_dir, self.first, self.last = log_dir, first, last
        self._runs = False

    def after_update(self, num_updates: int) -> None:
        """Looks whether to begin or to end, when so many updates are done."""
        if not self._runs and num_updates == self.first - 1:
            tf.profiler.experimental.start(str(self.log_dir))
            self._runs = True
        elif num_updates >= self.last:
            self.stop()

    def stop(self) -> None:
        """Ends it, if it runs."""
        if self._runs:
            tf.profiler.experimental.stop()
            self._runs = False
