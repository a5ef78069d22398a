"""Saving a training while it runs, and going on where it stopped as if it never had."""

import json
import os
import pathlib
import signal
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np

from kft import duration, errors
from kft.training import checkpoint_files

UNITS = ("steps", "epochs", "minutes")
SIGNALS = (signal.SIGTERM, signal.SIGINT)
ENDED = 2**31


class Checkpoint(keras.callbacks.Callback):
    """Saves everything that the next step depends on, and restores it at the start of `fit` or `fine_tune`.

    Saved are weights, optimizer (slots, steps, averages, accumulated gradients, loss scale), seed generators, the
    metrics of the running epoch, the state of a plateau and of the callbacks in `also`, and the position. As order and
    augmentation are functions of (seed, epoch, example), the position is all that the data needs. So what follows is
    equal to the last bit, with the same number of threads. Give it as the last callback.

    SIGTERM and SIGINT save at the end of the running step; then SIGTERM ends the process with exit code 143, and SIGINT
    raises KeyboardInterrupt.

    With a data set that is not of `kft.data.batches`, only the ends of epochs are saved, and the order of the data is
    what that data set makes of it.

    Args:
      folder: for the checkpoints; made when first needed.
      every: how often, in steps, epochs or minutes, such as "50 steps"; the end of each epoch is saved too.
      keep: int >= 2, checkpoints to keep.
      also: callbacks with a state of their own, such as `KeepBest`: `get_state()` and `set_state(arrays)`.
      facts: settings that must be the same to go on, name -> JSON value.
      force: go on with changed settings.
    Raises: InputError when a checkpoint is restored whose settings or variables differ, naming them.
    """

    def __init__(
        self,
        folder: str | os.PathLike,
        *,
        every: str = "1 epoch",
        keep: int = 2,
        also: Sequence[Any] = (),
        facts: Mapping[str, Any] | None = None,
        force: bool = False,
    ):
        super().__init__()
        self.folder = pathlib.Path(folder)
        self.every = duration.Duration.parse(every)
        if self.every.unit not in UNITS or not self.every.amount > 0:
            raise errors.InputError(f"Got every={every!r}. Expected steps, epochs or minutes. Use '5 minutes'.")
        self.keep, self.also, self.force = keep, tuple(also), force
        self.facts = json.loads(json.dumps(dict(facts or {})))
        self._restored: checkpoint_files.Saved | None = None
        self._position = (0, 0)
        self._handlers: dict[int, Any] = {}
        self._signal = 0

    def resume(self, model: keras.Model, initial_epoch: int) -> int:
        """Puts the newest intact checkpoint into a model whose optimizer is built; called before the first step.

        Args:
          model: FineTuneModel.
          initial_epoch: where to begin if there is nothing to restore.

        Returns: the epoch to go on with; a large number for a training that had ended.
        """
        saved = checkpoint_files.load_newest(self.folder)
        if saved is None:
            self._restored, self._position = None, (initial_epoch, 0)
            return initial_epoch
        for text in saved.passed_over:
            print(f"Passed over a damaged checkpoint: {text}", flush=True)
        self._check_facts(saved.facts["facts"])
        variables = _variables(model)
        self._check_arrays(saved.arrays, variables)
        for name, variable in variables.items():
            variable.assign(saved.arrays[name])
        if saved.facts["averages_are_in_place"]:
            model.optimizer.averages_are_in_place = True
        self._restored, self._position = saved, (saved.facts["epoch"], saved.facts["step"])
        model.resume_within_epoch(saved.facts["step"], lambda: self._restore_metrics(model))
        return ENDED if saved.facts["stopped"] else saved.facts["epoch"]

    def _restore_metrics(self, model: keras.Model) -> None:
        for name, variable in _metrics(model).items():
            variable.assign(self._restored.arrays[name])

    def on_train_begin(self, logs=None):
        self._saved_at = time.monotonic()
        self.model.step_hooks.append(self._after_step)
        if self._restored is not None:
            for index, callback in enumerate(self.also):
                prefix = f"callback/{index}/"
                arrays = self._restored.arrays
                callback.set_state({k.removeprefix(prefix): arrays[k] for k in arrays if k.startswith(prefix)})
        if threading.current_thread() is threading.main_thread():
            self._handlers = {number: signal.signal(number, self._note_signal) for number in SIGNALS}

    def on_epoch_begin(self, epoch, logs=None):
        self._position = (epoch, self._position[1] if epoch == self._position[0] else 0)

    def on_epoch_end(self, epoch, logs=None):
        self._position = (epoch + 1, 0)
        epochs = self.every.amount if self.every.unit == "epochs" else 1
        if (epoch + 1) % max(round(epochs), 1) == 0:
            self._save()

    def on_train_end(self, logs=None):
        self.model.step_hooks.remove(self._after_step)
        for number, handler in self._handlers.items():
            signal.signal(number, handler)

    def _note_signal(self, number, frame):
        self._signal = number

    def _after_step(self):
        epoch, step = self._position
        self._position = (epoch, step + 1)
        due = self.every.unit == "steps" and (step + 1) % round(self.every.amount) == 0
        due |= self.every.unit == "minutes" and time.monotonic() - self._saved_at >= 60 * self.every.amount
        if due or self._signal:
            self._save()
        if self._signal == signal.SIGINT:
            raise KeyboardInterrupt(f"saved in {str(self.folder)!r}")
        if self._signal:
            raise SystemExit(128 + self._signal)

    def _save(self):
        arrays = {
            name: variable.numpy() for name, variable in {**_variables(self.model), **_metrics(self.model)}.items()
        }
        for index, callback in enumerate(self.also):
            arrays |= {f"callback/{index}/{name}": value for name, value in callback.get_state().items()}
        epoch, step = self._position
        facts = {
            "epoch": epoch,
            "step": step,
            "stopped": bool(self.model.stop_training),
            "averages_are_in_place": getattr(self.model.optimizer, "averages_are_in_place", False),
            "facts": self.facts,
        }
        number = int(self.model.optimizer.iterations.numpy())
        checkpoint_files.save(self.folder, number, arrays, facts, keep=self.keep)
        self._saved_at = time.monotonic()

    def _check_facts(self, saved: Mapping[str, Any]) -> None:
        changed = [name for name in {**saved, **self.facts} if saved.get(name) != self.facts.get(name)]
        if changed and not self.force:
            shown = "; ".join(
                f"{name} was {saved.get(name)!r} and is {self.facts.get(name)!r}" for name in changed[:20]
            )
            raise errors.InputError(
                f"Got {len(changed)} changed settings for a run that is to go on: {shown}. Expected the settings it "
                "began with. Set them back, use resume='force', or start in another folder."
            )

    def _check_arrays(self, arrays: Mapping[str, np.ndarray], variables: Mapping[str, keras.Variable]) -> None:
        own = {name for name in arrays if not name.startswith(("metric/", "callback/"))}
        problems = [f"missing {name!r}" for name in variables if name not in own]
        problems += [f"left over {name!r}" for name in sorted(own - variables.keys())]
        for name in own & variables.keys():
            if tuple(arrays[name].shape) != tuple(variables[name].shape):
                problems.append(f"{name!r} has shape {arrays[name].shape}, not {tuple(variables[name].shape)}")
        if problems:
            raise errors.InputError(
                f"Got a checkpoint in {str(self.folder)!r} that does not fit: {'; '.join(problems[:20])}. Expected "
                "the model and optimizer that it was saved from. Make them the same, or start in another folder."
            )


def checkpoint_of(callbacks: Any) -> Checkpoint | None:
    """The `Checkpoint` among callbacks, if there is one."""
    callbacks = getattr(callbacks, "callbacks", callbacks) or ()
    return next((callback for callback in callbacks if isinstance(callback, Checkpoint)), None)


def _variables(model: keras.Model) -> dict[str, keras.Variable]:
    """Weights by path, seed generators by order, the optimizer's state by name, the schedule's by order."""
    metrics = {id(variable) for variable in _metrics(model).values()}
    weights = {id(variable) for variable in model.weights}
    seeds = [v for v in model.variables if id(v) not in weights and id(v) not in metrics]
    optimizer = model.optimizer
    state = optimizer.state() if hasattr(optimizer, "state") else dict(enumerate(optimizer.variables))
    schedule = getattr(optimizer._learning_rate, "variables", ())
    return {
        **{f"weight/{variable.path}": variable for variable in model.weights},
        **{f"seed/{index}": variable for index, variable in enumerate(seeds)},
        **{f"optimizer/{name}": variable for name, variable in state.items()},
        **{f"schedule/{index}": variable for index, variable in enumerate(schedule)},
    }


def _metrics(model: keras.Model) -> dict[str, keras.Variable]:
    variables = [variable for metric in model.metrics for variable in metric.variables]
    return {f"metric/{index}": variable for index, variable in enumerate(variables)}
