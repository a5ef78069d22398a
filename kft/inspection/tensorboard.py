"""What TensorBoard shows of a run."""

import json
import os
import pathlib
import time
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from kft.inspection import event_files
from kft.schedules.schedule import check_steps


class TensorBoard(keras.callbacks.Callback):
    """Writes loss, metrics, learning rate, speed and settings for TensorBoard.

    The step of everything is the number of optimizer updates, and goes on through several calls of `fit`, with
    the same optimizer or a new one. Each tag has each step once:

        tag                             writer        step
        metrics/<name>                  train, eval   end of each epoch; "val_loss" is metrics/loss of eval
        training/learning_rate          train         every `every_steps` steps: the rate of the next update
        training/examples_per_second    train         end of each epoch, without its evaluation; tracing counts
        config                          train         once; a table of the settings
        pictures/<name>                 train         once

    With `kft.training.Checkpoint` a run that goes on has the points of one that was never stopped: what was written
    after the restored step is taken out of the files, and what was measured of the running epoch is gone on with.

    It has nothing to do at a step, so it never waits for the device within an epoch: the rates are calculated
    from the schedule when the epoch has ended. Put it in front of a callback that changes the rate.

    Args:
      log_dir: folder for the writers' folders; it is made.
      config: setting -> value, shown as a table.
      pictures: name -> PNG file, such as one of `kft.schedules.picture`.
      every_steps: int >= 1, distance of two points of the learning rate.
    Raises: InputError if `every_steps` is out of range.
    Example:
      >>> import tempfile
      >>> callback = TensorBoard(tempfile.mkdtemp(), config={"seed": 0})
    """

    def __init__(
        self,
        log_dir: str | os.PathLike,
        *,
        config: Mapping[str, Any] | None = None,
        pictures: Mapping[str, str | os.PathLike] | None = None,
        every_steps: int = 100,
    ):
        super().__init__()
        check_steps("every_steps", every_steps)
        self.log_dir = pathlib.Path(log_dir)
        self.config = config
        self.pictures = pictures or {}
        self.every_steps = every_steps
        self._writers: dict[str, tf.summary.SummaryWriter] = {}
        self._last_steps: dict[tuple[str, str], int] = {}
        self._offset = 0
        self._last_step = 0
        self._epoch_first = 0
        self._epoch_began: float | None = None
        self._within_epoch = False

    def on_train_begin(self, logs=None):
        if self._iterations() + self._offset < self._last_step:  # a new optimizer counts from 0
            self._offset = self._last_step - self._iterations()

    def on_epoch_begin(self, epoch, logs=None):
        if self.config is not None:
            self._once("config", lambda step: tf.summary.text("config", _markdown(self.config), step))
        for name, path in self.pictures.items():
            self._once(f"pictures/{name}", lambda step, name=name, path=path: _write_picture(name, path, step))

        if not self._within_epoch:
            self._epoch_first = self._iterations()
            self._epoch_began = time.perf_counter()
        self._within_epoch = True

    def on_test_begin(self, logs=None):
        self._end_of_training_part()

    def on_epoch_end(self, epoch, logs=None):
        self._end_of_training_part()
        for name, value in (logs or {}).items():
            writer = "eval" if name.startswith("val_") else "train"
            if name != "learning_rate":
                self._scalar(writer, f"metrics/{name.removeprefix('val_')}", value, self._last_step)
        self._within_epoch = False
        for writer in self._writers.values():
            writer.flush()

    def on_train_end(self, logs=None):
        self._learning_rates([self._iterations()])
        for writer in self._writers.values():
            writer.flush()

    def get_state(self) -> dict[str, np.ndarray]:
        """What it goes on from, for `Checkpoint`: the last step of each tag, and what it knows of the running epoch."""
        began = self._epoch_began
        state = {
            "last_steps": [[*key, step] for key, step in self._last_steps.items()],
            "offset": self._offset,
            "last_step": self._last_step,
            "epoch_first": self._epoch_first,
            "within_epoch": self._within_epoch,
            "seconds": None if began is None else time.perf_counter() - began,
        }
        return {"json": np.frombuffer(json.dumps(state).encode(), np.uint8)}

    def set_state(self, state: Mapping[str, np.ndarray]) -> None:
        """Goes on from what `get_state` gave, and takes all later points out of the files."""
        values = json.loads(state["json"].tobytes())
        self._last_steps = {(writer, tag): step for writer, tag, step in values["last_steps"]}
        self._offset, self._last_step = values["offset"], values["last_step"]
        self._epoch_first, self._within_epoch = values["epoch_first"], values["within_epoch"]
        seconds = values["seconds"]
        self._epoch_began = None if seconds is None else time.perf_counter() - seconds
        for writer in self._writers.values():
            writer.close()
        self._writers = {}
        if self.model.distribute_strategy.extended.should_save_summary:
            event_files.keep_until(self.log_dir, self._last_steps)

    def _end_of_training_part(self) -> None:
        """The updates of an epoch are done; its evaluation, if any, begins."""
        if self._epoch_began is None:
            return
        num_examples = self._num_examples()
        seconds = time.perf_counter() - self._epoch_began
        self._epoch_began = None
        last = self._iterations()
        self._learning_rates(range(self._epoch_first, last, self.every_steps))
        self._last_step = last + self._offset
        if num_examples is not None:
            self._scalar("train", "training/examples_per_second", num_examples / seconds, self._last_step)

    def _learning_rates(self, iterations) -> None:
        schedule = self.model.optimizer._learning_rate
        is_schedule = isinstance(schedule, keras.optimizers.schedules.LearningRateSchedule)
        for iteration in iterations:
            rate = schedule(iteration) if is_schedule else self.model.optimizer.learning_rate
            self._scalar("train", "training/learning_rate", float(rate.numpy()), iteration + self._offset)

    def _iterations(self) -> int:
        return int(self.model.optimizer.iterations.numpy())

    def _num_examples(self) -> float | None:
        """The weight that the mean of the loss has, which is the number of examples without padding."""
        means = [metric for metric in self.model.metrics if metric.name == "loss" and hasattr(metric, "count")]
        return float(means[0].count.numpy()) if means else None

    def _once(self, tag: str, write) -> None:
        if ("train", tag) not in self._last_steps:
            self._last_steps["train", tag] = step = self._iterations() + self._offset
            with self._writer("train").as_default():
                write(step)

    def _scalar(self, writer: str, tag: str, value: float, step: int) -> None:
        if step > self._last_steps.get((writer, tag), -1):
            self._last_steps[writer, tag] = step
            with self._writer(writer).as_default():
                tf.summary.scalar(tag, value, step)

    def _writer(self, name: str) -> tf.summary.SummaryWriter:
        """The writer of that name, made when first needed; workers that are not the chief write nothing."""
        if name not in self._writers:
            if self.model.distribute_strategy.extended.should_save_summary:
                self._writers[name] = tf.summary.create_file_writer(str(self.log_dir / name))
            else:
                self._writers[name] = tf.summary.create_noop_writer()
        return self._writers[name]


def _markdown(config: Mapping[str, Any]) -> str:
    """A Markdown table of names and values."""
    cell = lambda value: str(value).replace("\\", "\\\\").replace("|", "\\|").replace("\n", " ")  # noqa: E731
    rows = [f"| {cell(name)} | {cell(value)} |" for name, value in config.items()]
    return "\n".join(["| setting | value |", "|---|---|", *rows])


def _write_picture(name: str, path: str | os.PathLike, step: int) -> None:
    pixels = tf.io.decode_png(tf.io.read_file(str(path)), channels=3)
    tf.summary.image(f"pictures/{name}", pixels[tf.newaxis], step)
