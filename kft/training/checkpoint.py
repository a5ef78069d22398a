"""Saving a training while it runs, and going on where it stopped as if it never had."""

import contextlib
import json
import os
import pathlib
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import keras

from kft import distribute, duration, errors
from kft.training import bad_numbers, callback_state, checkpoint_files, rollback, statistics, training_state, workers
from kft.training.checkpoint_writer import Writer
from kft.training.interruption import Interruption

UNITS = ("steps", "epochs", "minutes")
ON_NAN = ("stop", "rollback")
BAD_NUMBERS = "not_finite.json"
ENDED = 2**31


class Checkpoint(keras.callbacks.Callback):
    """Saves everything that the next step depends on, and restores it at the start of `fit` or `fine_tune`.

    Saved are weights, optimizer (slots, steps, averages, accumulated gradients, loss scale), seed generators, the
    metrics of the running epoch, the state of a plateau, of callbacks with `get_state` and `set_state` and of Keras'
    EarlyStopping, ReduceLROnPlateau and ModelCheckpoint, and the position. As order and augmentation are functions of
    (seed, epoch, example), the position is all that `kft.data.batches` needs; of any other tf.data.Dataset the iterator
    is saved. So what follows is equal to the last bit, with the same number of threads. docs/resume.md has the details.

    It saves before the first step, as often as `every` says, before a first validation and at the end of epochs; the
    files are written beside the training. SIGTERM and SIGINT save at the end of the running step; then SIGTERM ends the
    process with exit code 143, and SIGINT raises KeyboardInterrupt. Of several workers all read and the chief writes;
    they take no signals, and every is not in minutes.

    A data set whose iterator cannot be saved, and arrays, are saved at the ends of epochs only, and their order after a
    resume is what they make of it; this is printed.

    Args:
      folder: for the checkpoints; made when first needed.
      every: how often, in steps (batches), epochs or minutes, such as "50 steps"; the end of each epoch is saved too,
        unless this is in epochs.
      keep: int >= 2, checkpoints to keep.
      facts: settings that must be the same to go on, name -> JSON value.
      force: go on with changed settings.
      on_nan: "stop" ends at a step with NaN or Inf; "rollback" goes back to the last checkpoint and halves the learning
        rate, three times at the most.
      report: for what was found of a step with NaN or Inf; None for `not_finite.json` in the folder.
    Raises: InputError when a checkpoint is restored whose settings or variables differ, naming them.
    """

    def __init__(
        self,
        folder: str | os.PathLike,
        *,
        every: str = "1 epoch",
        keep: int = 2,
        facts: Mapping[str, Any] | None = None,
        force: bool = False,
        on_nan: str = "stop",
        report: str | os.PathLike | None = None,
    ):
        super().__init__()
        self.folder = pathlib.Path(folder)
        self.every = duration.Duration.parse(every)
        if self.every.unit not in UNITS or not self.every.amount > 0:
            raise errors.InputError(f"Got every={every!r}. Expected steps, epochs or minutes. Use '5 minutes'.")
        if on_nan not in ON_NAN:
            raise errors.unknown_name("on_nan", on_nan, ON_NAN)
        self.keep, self.force, self.on_nan = keep, force, on_nan
        self.report = pathlib.Path(report or self.folder / BAD_NUMBERS)
        self.facts = json.loads(json.dumps(dict(facts or {})))
        self.rollbacks: list[dict[str, Any]] = []
        self._restored: checkpoint_files.Saved | None = None
        self._position = (0, 0)
        self._saved_position: tuple[int, int] | None = None
        self._stateful: list[tuple[str, Any]] = []
        self._stream: Any = None
        self._within_epochs = True
        self._metrics_before_validation: dict[str, Any] | None = None
        self._writer = Writer()
        self._interruption = Interruption(lambda: self._saved_position == self._position, self._writer.join)

    @property
    def epoch(self) -> int:
        """Epochs that are done."""
        return self._position[0]

    # Before the first step.

    @contextlib.contextmanager
    def running(self, model: keras.Model) -> Iterator[None]:
        """Takes the signals while a training runs, and gives everything back, however it ends."""
        model.checkpoint = self
        if distribute.worker_of(model.distribute_strategy)[1] == 1:  # several would save at different steps
            self._interruption.begin()
        try:
            yield
            self._writer.wait()
        finally:
            model.checkpoint = None
            for hooks, hook in ((model.step_hooks, self._after_step), (model.test_hooks, self._after_test_batch)):
                if hook in hooks:
                    hooks.remove(hook)
            self._interruption.end()
            self._writer.join()

    def refuse_changes(self) -> None:
        """Raises InputError, before anything is done, if there is a checkpoint with other settings than now."""
        facts = checkpoint_files.newest_facts(self.folder)
        if facts is not None and not self.force:
            training_state.check_facts(facts["facts"], self.facts)

    def resume(self, model: keras.Model, initial_epoch: int, callbacks: Sequence[Any] = ()) -> int:
        """Puts the newest intact checkpoint into a model whose optimizer is built; called before the first step.

        Args:
          model: FineTuneModel.
          initial_epoch: where to begin if there is nothing to restore.
          callbacks: of the training; what they remember is restored when they have been told that it begins.

        Returns: the epoch to go on with; a large number for a training that had ended.
        """
        workers.check_checkpoint(model.distribute_strategy, self.every)
        if self.on_nan == "rollback":
            rollback.prepare(model)
        self._stateful = callback_state.stateful(callbacks)
        saved = checkpoint_files.load_newest(self.folder)
        if saved is None:
            self._restored, self._position, self._saved_position = None, (initial_epoch, 0), None
            model.resume_within_epoch(0, None)
            return initial_epoch
        for path, reason in saved.passed_over:
            print(f"Passed over a damaged checkpoint: {path}: {reason}", flush=True)
        if distribute.is_chief(model.distribute_strategy):
            checkpoint_files.set_aside(path for path, _ in saved.passed_over)
        if not self.force:
            training_state.check_facts(saved.facts["facts"], self.facts)
        training_state.restore(model, saved, self.folder)
        self.rollbacks = list(saved.facts["rollbacks"])
        self._restored = saved
        self._position = self._saved_position = (saved.facts["epoch"], saved.facts["step"])
        model.resume_within_epoch(saved.facts["step"], lambda: training_state.restore_metrics(model, saved))
        return ENDED if saved.facts["stopped"] else saved.facts["epoch"]

    def take_stream(self, source: Any) -> bool:
        """Makes the iterator of a data set without random access part of the checkpoints.

        Args:
          source: Stream; None for data that is none.

        Returns: whether it is to be read.
        """
        why_not = "it is no tf.data.Dataset on one device" if source is None else source.why_not
        self._stream, self._within_epochs = (source, True) if why_not is None else (None, False)
        files = self._restored.files if self._restored else {}
        if why_not is None and files:
            source.restore(files)
        elif files:
            raise errors.InputError(
                f"Got a checkpoint in {str(self.folder)!r} with the state of a data set, for data that can have none: "
                f"{why_not}. Expected the data that it was saved with. Use it, or start in another folder."
            )
        if why_not is not None:
            print(
                f"Checkpoints: the position in this data cannot be saved ({why_not}). Saved are the ends of epochs "
                "only, and the order of the data after a resume is what the data makes of it.",
                flush=True,
            )
            if self._position[1]:
                raise errors.InputError(
                    f"Got a checkpoint in {str(self.folder)!r} from within an epoch, for data whose position cannot be "
                    "saved. Expected the data that it was saved with. Use it, or start in another folder."
                )
        return why_not is None

    def set_model(self, model):
        training_state.check_model(model)
        super().set_model(model)

    def on_train_begin(self, logs=None):
        self._saved_at = time.monotonic()
        self._metrics_before_validation = None
        self._validated = False
        model = self.model
        for hooks, hook in ((model.step_hooks, self._after_step), (model.test_hooks, self._after_test_batch)):
            if hook not in hooks:
                hooks.append(hook)
        if self._restored is not None:
            for name, callback in self._stateful:
                callback_state.set_state(callback, training_state.part(self._restored.arrays, f"callback/{name}/"))
        self.ensure_saved()

    # While it runs.

    def ensure_saved(self) -> None:
        """Saves, unless the newest checkpoint is of just this position: before what takes long without a step."""
        if self._saved_position != self._position:
            self._save()
        self._validated = False

    def on_epoch_begin(self, epoch, logs=None):
        self._position = (epoch, self._position[1] if epoch == self._position[0] else 0)

    def on_test_begin(self, logs=None):
        """The metrics are about to be those of the validation; the first one is traced, which takes long."""
        if self.model.checkpoint is not self:
            return
        self._metrics_before_validation = training_state.copy(training_state.metrics(self.model))
        if self._within_epochs and not self._validated:
            self.ensure_saved()
        self._validated = True

    def on_test_end(self, logs=None):
        self._metrics_before_validation = None

    def on_epoch_end(self, epoch, logs=None):
        self._position = (epoch + 1, 0)
        epochs = max(round(self.every.amount), 1) if self.every.unit == "epochs" else 1
        last = self.model.stop_training or epoch + 1 == self.params.get("epochs")
        if (epoch + 1) % epochs == 0 or last or self._interruption.number:
            self._save()
        self._end_if_interrupted()

    def on_train_end(self, logs=None):
        self._writer.wait()

    def _after_step(self):
        epoch, step = self._position
        step += self.model.place.steps
        self._position = (epoch, step)
        if self._writer.failed:
            self._writer.wait()
        due = self.every.unit == "steps" and step % round(self.every.amount) == 0
        due |= self.every.unit == "minutes" and time.monotonic() - self._saved_at >= 60 * self.every.amount
        if (due or self._interruption.number) and self._within_epochs:
            self._save()
        self._end_if_interrupted()

    def _after_test_batch(self):
        if self._interruption.number and self._metrics_before_validation is not None:
            if self._within_epochs:
                self.ensure_saved()
            self._end_if_interrupted()

    def _end_if_interrupted(self):
        if self._interruption.number:
            self._writer.wait()
            self._interruption.raise_error()

    def _save(self):
        """Copies the state, and has it written; of several workers all take part in reading it."""
        statistics.average_statistics(self.model)
        arrays = training_state.copy(training_state.variables(self.model))
        arrays |= self._metrics_before_validation or training_state.copy(training_state.metrics(self.model))
        for name, callback in self._stateful:
            state = callback_state.get_state(callback)
            arrays |= {f"callback/{name}/{key}": value for key, value in state.items()}
        epoch, step = self._position
        facts = {
            "epoch": epoch,
            "step": step,
            "stopped": bool(self.model.stop_training),
            "averages_are_in_place": getattr(self.model.optimizer, "averages_are_in_place", False),
            "rollbacks": list(self.rollbacks),
            "facts": self.facts,
        }
        files = self._stream.files() if self._stream is not None else {}
        number = int(self.model.optimizer.iterations.numpy())
        if distribute.is_chief(self.model.distribute_strategy):
            self._writer.submit(
                lambda: checkpoint_files.save(self.folder, number, arrays, facts, keep=self.keep, files=files)
            )
        self._saved_position = self._position
        self._saved_at = time.monotonic()

    # When a number is not finite.

    def note_bad_numbers(self, found: bad_numbers.Finding) -> list[str]:
        """Writes what was found into the report; sentences for the error."""
        with contextlib.suppress(errors.NonFiniteError):
            self._writer.wait()
        return bad_numbers.note(self.report, found, newest=checkpoint_files.newest_folder(self.folder))

    def roll_back(self, model: keras.Model, error: errors.NonFiniteError) -> int:
        """Goes back to the last checkpoint with a lower learning rate; the epoch to go on with.

        Raises: the error, if this is not asked for, or has been done too often.
        """
        if self.on_nan != "rollback" or len(self.rollbacks) >= rollback.MOST:
            raise error
        with contextlib.suppress(errors.NonFiniteError):  # what was bad was not saved
            self._writer.wait()
        step = int(model.optimizer.iterations.numpy())
        epoch = self.resume(model, self._position[0], [callback for _, callback in self._stateful])
        if self._restored is None:
            raise error
        scale = rollback.lower(model)
        self.rollbacks.append({"from_step": step + 1, "to_step": self._restored.step, "learning_rate_scale": scale})
        print(
            f"{error}\nRolled back from step {step + 1} to step {self._restored.step}, {len(self.rollbacks)} of at "
            f"most {rollback.MOST} times; the learning rate is {scale:g} times what it was at first.",
            flush=True,
        )
        self._saved_position = None  # the lower rate is saved before the first step
        return epoch


def checkpoint_of(callbacks: Any) -> Checkpoint | None:
    """The `Checkpoint` among callbacks, if there is one."""
    callbacks = getattr(callbacks, "callbacks", callbacks) or ()
    return next((callback for callback in callbacks if isinstance(callback, Checkpoint)), None)


def last(callbacks: Any) -> Any:
    """The callbacks with a `Checkpoint` as the last one, so that what is saved includes what the others did."""
    saved = checkpoint_of(callbacks)
    return callbacks if saved is None else [*(c for c in callbacks if c is not saved), saved]
