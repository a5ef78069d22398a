"""What TensorBoard shows of a run."""

import json
import os
import pathlib
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from kft import errors
from kft.inspection import (
    block_measures,
    chart_layout,
    evaluation_view,
    event_files,
    event_writer,
    examples,
    hparams,
    markdown,
    pictures,
    profile,
    projector,
    rates,
    resources,
)
from kft.schedules.schedule import check_steps

_SAMPLES, _SAMPLE_TEXTS, _RATES = 16, 8, 20


class TensorBoard(keras.callbacks.Callback):
    """Writes what happens in a training for TensorBoard; docs/tensorboard.md lists every tag.

    The step of everything is the number of optimizer updates, and goes on through several calls of `fit`, with
    the same optimizer or a new one. Each tag has each step once. With `kft.training.Checkpoint` a run that goes on has
    the points of one that was never stopped: what was written after the restored step is taken out of the files, and
    what was measured of the running epoch is gone on with.

    It never waits for the device within an epoch, but for one update in `every_steps` that it measures. A plain Keras
    model is shown too, with less. Put it in front of a callback that changes the rate.

    Args:
      log_dir: folder for the writers' folders; it is made.
      config: setting -> value, shown as a table.
      pictures: name -> PNG file, such as one of `kft.schedules.picture`.
      texts: name -> text as it is, such as the table of variables.
      hparams: setting -> value, for the table of TensorBoard that compares runs.
      train_data: of `kft.data`: some of its examples are shown as the model gets them.
      eval_data: of `kft.data`, what is given as validation_data: its predictions, the worst of them, and embeddings.
      every_steps: int >= 1, distance of two points of what is measured of single updates.
      embeddings: int >= 0, examples of eval_data for the projector, before and after the training.
      histograms: whether to show how the weights of each block are distributed, after each epoch, and their updates,
        of every update that is measured.
      profile_steps: (first, last) update to profile; () for none.
      token_name: from a token's number to its text, for training texts.
    Raises: InputError if an argument is out of range.
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
        texts: Mapping[str, str] | None = None,
        hparams: Mapping[str, Any] | None = None,
        train_data: Any = None,
        eval_data: Any = None,
        every_steps: int = 100,
        embeddings: int = 256,
        histograms: bool = False,
        profile_steps: Sequence[int] = (),
        token_name: Callable[[int], str] | None = None,
    ):
        super().__init__()
        check_steps("every_steps", every_steps)
        if profile_steps and (len(profile_steps) != 2 or not 1 <= profile_steps[0] <= profile_steps[1]):
            raise errors.InputError(
                f"Got profile_steps={profile_steps!r}. Expected the first and the last one. Use 10,12, or leave it out."
            )
        self.log_dir = pathlib.Path(log_dir)
        self.config, self.pictures, self.texts, self.hparams = config, pictures or {}, texts or {}, hparams
        self.train_data, self.eval_data = train_data, eval_data
        self.every_steps, self.embeddings, self.histograms = every_steps, embeddings, histograms
        self.profile_steps, self.token_name = tuple(profile_steps), token_name
        self._writer = event_writer.EventWriter(self.log_dir)
        self._blocks: block_measures.BlockMeasures | None = None
        self._evaluation = None if eval_data is None else evaluation_view.Evaluation(eval_data)
        self._offset = self._last_step = self._epoch_first = self._calls = 0
        self._epoch_began: float | None = None
        self._within_epoch, self._profile = False, None
        self._measured_from: int | None = None

    def set_model(self, model):
        super().set_model(model)
        strategy = getattr(model, "distribute_strategy", None)
        self._writer.is_chief = strategy is None or strategy.extended.should_save_summary
        if self.profile_steps and self._writer.is_chief and self._profile is None:
            self._profile = profile.Profile(self.log_dir, *self.profile_steps)
        if hasattr(model, "measures") and (self._blocks is None or self._blocks.optimizer is not model.optimizer):
            self._blocks = block_measures.BlockMeasures(model, keep_updates=self.histograms)
            self._blocks.listen()
            model.measures.waited = model.measures.waited or resources.seconds_on_host()
        if self._evaluation is not None and hasattr(model, "measures"):
            model.measures.on_evaluated = self._evaluation.add
            if not model.measures.tells_outputs:
                model.measures.tells_outputs = True
                model.test_function = None  # so that it is made anew

    def on_train_begin(self, logs=None):
        if self._iterations() + self._offset < self._last_step:  # a new optimizer counts from 0
            self._offset = self._last_step - self._iterations()
        if hasattr(self.model, "step_hooks"):
            self.model.step_hooks = [hook for hook in self.model.step_hooks if hook != self._after_step]
            self.model.step_hooks.insert(0, self._after_step)  # before a checkpoint's, which saves this one's state
        self._embed("before")
        if self._profile is not None:
            self._profile.after_update(self._iterations() + self._offset)

    def on_epoch_begin(self, epoch, logs=None):
        step = self._iterations() + self._offset
        if not self._within_epoch:
            self._epoch_first = self._iterations()
            self._epoch_began = time.perf_counter()
            self._compiled, self._waited = self._compilations(), self._seconds_waited()
        self._within_epoch = True
        self._once(step)
        self._what_trains(self._epoch_first)
        if self._iterations() == self._epoch_first:
            self._samples(epoch, step)
        self._calls = (self._iterations() - self._epoch_first) * getattr(self.model.optimizer, "accumulate_steps", 1)
        self._prepare_measure()

    def on_test_begin(self, logs=None):
        self._end_of_training_part()
        if self._evaluation is not None:
            self._evaluation.clear()

    def on_epoch_end(self, epoch, logs=None):
        self._end_of_training_part()
        for name, value in (logs or {}).items():
            writer = "eval" if name.startswith("val_") else "train"
            if name != "learning_rate":
                self._writer.scalar(writer, f"metrics/{name.removeprefix('val_')}", value, self._last_step)
        if self.hparams is not None and not self._writer.has("eval", hparams.START_TAG):
            names = [name.removeprefix("val_") for name in logs or {} if name.startswith("val_")]
            for summary in hparams.summaries(self.hparams, metrics=names):
                self._writer.summary("eval", summary, self._last_step)
        if self._evaluation is not None:
            self._evaluation.write(self._writer, self._last_step)
        if self.histograms and self._blocks is not None:
            for block, values in self._blocks.weights().items():
                self._writer.histogram("train", f"weights/{block}", values, self._last_step)
        self._within_epoch = False
        self._writer.flush()

    def on_train_end(self, logs=None):
        self._learning_rates([self._iterations()])
        if self._profile is not None:
            self._profile.stop()
        self._embed("after")
        if hasattr(self.model, "step_hooks"):
            self.model.step_hooks = [hook for hook in self.model.step_hooks if hook != self._after_step]
            self.model.measures.on_evaluated = None
        self._writer.flush()

    def get_state(self) -> dict[str, np.ndarray]:
        """What it goes on from, for `Checkpoint`: the last step of each tag, and what it knows of the running epoch."""
        began = self._epoch_began
        state = {
            "last_steps": [[*key, step] for key, step in self._writer.last_steps.items()],
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
        self._offset, self._last_step = values["offset"], values["last_step"]
        self._epoch_first, self._within_epoch = values["epoch_first"], values["within_epoch"]
        self._compiled, self._waited = self._compilations(), self._seconds_waited()
        self._measured_from = None
        self._epoch_began = None if values["seconds"] is None else time.perf_counter() - values["seconds"]
        self._writer.go_on_from({(writer, tag): step for writer, tag, step in values["last_steps"]})
        if self._writer.is_chief:
            event_files.keep_until(self.log_dir, self._writer.last_steps)

    # What is written once.

    def _once(self, step: int) -> None:
        write = self._writer
        if self.config is not None and not write.has("train", "config"):
            write.text("train", "config", markdown.settings_table(self.config), step)
        if self._blocks is not None and not write.has("train", chart_layout.TAG):
            write.summary("train", chart_layout.summary(), step)
        for name, text in self.texts.items():
            if not write.has("train", f"texts/{name}"):
                write.text("train", f"texts/{name}", "\n".join(f"    {line}" for line in text.split("\n")), step)
        for name, path in self.pictures.items():
            if not write.has("train", f"pictures/{name}"):
                pixels = tf.io.decode_png(tf.io.read_file(str(path)), channels=3)
                write.image("train", f"pictures/{name}", pixels.numpy(), step)

    def _samples(self, epoch: int, step: int) -> None:
        """Examples of the first batch of an epoch, as the model gets them."""
        data = self.train_data
        if data is None or not self._writer.is_chief:
            return
        chosen = np.random.default_rng(epoch).permutation(data.num_examples)[:_SAMPLES]
        if examples.are_images(data):
            captions = [[(str(examples.truth_of(data.source, index)), False)] for index in chosen]
            picture = pictures.grid(examples.pixels(data, chosen, epoch=epoch), captions)
            self._writer.image("train", "examples/augmented", picture, step)
        elif examples.are_texts(data):
            self._writer.text(
                "train", "examples/tokens", markdown.tokens_table(data, chosen[:_SAMPLE_TEXTS], self.token_name), step
            )

    def _embed(self, name: str) -> None:
        step = self._iterations() + self._offset
        tag = f"embeddings/{name}"
        data = self.eval_data
        if data is None or not self.embeddings or self._blocks is None or (name == "before" and step > 0):
            return
        if not examples.are_images(data) and not examples.are_texts(data):
            return
        if self._writer.is_chief and not self._writer.has("train", tag):
            found = projector.features(self.model, data, self.embeddings)
            if found is not None:
                projector.write(self.log_dir / "train", name, data, *found)
                self._writer.text("train", tag, f"{len(found[1])} examples, in the projector", step)

    # What is written of each epoch.

    def _end_of_training_part(self) -> None:
        """The updates of an epoch are done; its evaluation, if any, begins."""
        if self._epoch_began is None:
            return
        num_examples = examples.num_examples_seen(self.model)
        seconds = time.perf_counter() - self._epoch_began
        self._epoch_began = self._measured_from = None
        last = self._iterations()
        between = min(self.every_steps, max(1, (last - self._epoch_first) // _RATES))
        self._learning_rates(range(self._epoch_first, last, between))
        self._last_step = last + self._offset
        self._what_trains(last - 1)
        write = lambda tag, value: self._writer.scalar("train", tag, value, self._last_step)  # noqa: E731
        if num_examples is not None:
            write("training/examples_per_second", num_examples / seconds)
            table = getattr(self.train_data, "table", None)
            if table is not None:
                write("training/tokens_per_second", num_examples / seconds * float(table.lengths.mean()))
        if self._blocks is not None:
            write("training/waiting_for_data", (self._seconds_waited() - self._waited) / seconds)
            write("training/compilations", self._compilations())
        write("memory/process_gib", resources.process_bytes() / 2**30)
        device = resources.device_gib()
        if device is not None:
            write("memory/device_gib", device)

    def _what_trains(self, iteration: int) -> None:
        """1 or 0, and the learning rate, of each block."""
        step = iteration + self._offset
        if self._blocks is None or iteration < 0:
            return
        trained, rate = self._blocks.trained_blocks(), rates.rate_at(self.model.optimizer, iteration)
        for block in self._blocks.blocks:
            self._writer.scalar("train", f"trains/{block}", float(block in trained), step)
            scales = [rates.scale_of(self.model.optimizer, variable) for variable in trained.get(block, ())]
            self._writer.scalar("train", f"learning_rate/{block}", rate * max(scales, default=0.0), step)

    def _learning_rates(self, iterations) -> None:
        for iteration in iterations:
            rate = rates.rate_at(self.model.optimizer, iteration)
            self._writer.scalar("train", "training/learning_rate", rate, iteration + self._offset)

    # What is measured of single updates.

    def _after_step(self) -> None:
        self._calls += self.model.place.steps
        if self._measured_from is not None and self._iterations() > self._measured_from:
            step = self._iterations() + self._offset
            for tag, value in self._blocks.after_update().items():
                self._writer.scalar("train", tag, value, step)
            for block, values in self._blocks.updates.items():
                self._writer.histogram("train", f"updates/{block}", values, step)
            self._measured_from = None
        self._prepare_measure()
        if self._profile is not None:
            self._profile.after_update(self._iterations() + self._offset)

    def _prepare_measure(self) -> None:
        every = self.every_steps * getattr(self.model.optimizer, "accumulate_steps", 1)
        if self._calls % every == 0 and self._blocks is not None and self._within_epoch and self._measured_from is None:
            self._measured_from = self._iterations()
            self._blocks.before_update()
        self.steps_until_look = 1 if self._measured_from is not None or self._profile else every - self._calls % every

    # What the model tells.

    def _iterations(self) -> int:
        return int(self.model.optimizer.iterations.numpy())

    def _compilations(self) -> int:
        return getattr(self.model, "num_compilations", 0)

    def _seconds_waited(self) -> float:
        measures = getattr(self.model, "measures", None)
        return 0.0 if measures is None or measures.waited is None else float(measures.waited.numpy())
