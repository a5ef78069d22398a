"""A training through its phases."""

import contextlib
import os
from collections.abc import Callable, Sequence
from typing import Any

import keras

from kft import errors, schedules, trainable
from kft.training import activation_store, frozen_prefix, update_end, workers
from kft.training import checkpoint as checkpoint_module
from kft.training import model as model_module


def fine_tune(
    model: model_module.FineTuneModel,
    data: Any,
    schedule: str | Sequence[Any] = "all",
    *,
    epochs: int,
    validation_data: Any = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    verbose: str | int = "auto",
    cache: str = "auto",
    cache_budget: int = 0,
    cache_views: int = 0,
    cache_folder: str | os.PathLike | None = None,
) -> keras.callbacks.History:
    """Trains a compiled model phase by phase.

    One `fit` for each phase, on the same model and optimizer: slots, steps and the optimizer's iterations live
    through all of them, and the callbacks see one training, from `on_train_begin` to `on_train_end`, with
    epochs counted through. `model.stop_training` ends it, whatever phases are left.

    Args:
      model: compiled.
      data: of `kft.data.batches`.
      schedule: a recipe such as "lp_ft(5 epochs)", or phases.
      epochs: int >= 1, of all phases together.
      validation_data: as of `fit`.
      callbacks: as of `fit`.
      verbose: as of `fit`; a callback with `is_progress_bar` takes the place of Keras' bar.
      cache: "exact" or "fast" run what is frozen once in each phase and train the rest on what it gave; see
        `kft.training.FrozenPrefix`. "auto" is "exact" where examples are not augmented at random and what is stored
        fits the budget. "off" computes it in every step.
      cache_budget: bytes of memory for what is stored; 0 for a third of what is free. What does not fit goes to disk.
      cache_views: with random augmentation, how many augmented views of each example are stored; epoch e sees view
        e % cache_views.
      cache_folder: for what goes to disk; None for a temporary folder.

    Returns: the history of all epochs; its `cache` lists what was stored and why.
    Raises: InputError for phases that do not fit the model or the length, and for a cache with random augmentation.
    """
    if isinstance(schedule, str):
        schedule = trainable.make_trainable_schedule(schedule, model.blocks)
    trainable.validate(schedule, [variable.path for variable in model.parameters])
    accumulate_steps = getattr(model.optimizer, "accumulate_steps", 1)
    phases = trainable.epochs_of_phases(schedule, epochs=epochs, **update_lengths(data, accumulate_steps))
    _build_optimizer(model, [phase for _, _, phase in phases])
    callbacks = checkpoint_module.last(update_end.with_update_end(model.optimizer, callbacks)) or []
    saved = checkpoint_module.checkpoint_of(callbacks)
    bar = 0 if any(getattr(callback, "is_progress_bar", False) for callback in callbacks) else verbose
    shared = _OneTraining(
        callbacks,
        add_history=True,
        add_progbar=bar != 0,
        verbose=1 if bar == "auto" else bar,
        epochs=epochs,
        steps=data.steps_per_epoch,
        model=model,
    )
    shared.verbose = bar
    storage = activation_store.Storage(cache_budget, cache_folder, disk=cache != "auto")
    with contextlib.closing(storage), saved.running(model) if saved else contextlib.nullcontext():
        prefix = None
        cache = workers.cache_of(model.distribute_strategy, cache)
        if cache != "off":
            report = print if verbose else lambda _: None
            prefix = frozen_prefix.FrozenPrefix(
                model, phases, mode=cache, views=cache_views, storage=storage, report=report
            )
        model.resume_within_epoch(0, None)
        model.place.data = data
        first_epoch = saved.resume(model, 0, [*callbacks, *([prefix] if prefix else [])]) if saved else 0
        while True:
            try:
                _run_phases(model, phases, first_epoch, (data, validation_data), prefix, shared, saved)
                break
            except errors.NonFiniteError as error:
                if saved is None:
                    raise
                first_epoch = saved.roll_back(model, error)
        model.history.cache = prefix.decisions if prefix else []
        shared.end()
    return model.history


def _run_phases(model, phases, first_epoch, datasets, prefix, shared, saved) -> None:
    """From an epoch to the end, or to where the training stops itself."""
    model.stop_training = False
    shared.begin()
    for number, (first, end, phase) in enumerate(phases):
        if end <= first_epoch:
            if saved and first < saved.epoch:  # in which a training that had ended did so
                model.set_trainable(phase.trainable)
            continue
        model.set_trainable(phase.trainable)
        if saved:
            saved.ensure_saved()
        inputs = prefix.begin(number, *datasets) if prefix else datasets
        model.fit(
            inputs[0],
            initial_epoch=max(first, first_epoch),
            epochs=end,
            validation_data=inputs[1],
            callbacks=shared,
            verbose=shared.verbose,
        )
        if prefix:
            prefix.end(number)
        if model.stop_training:
            break


def update_lengths(data: Any, accumulate_steps: int = 1) -> dict[str, int]:
    """How many updates an epoch has, and how many examples an update, as `steps_per_epoch` and `global_batch_size`.

    Args:
      data: of `kft.data.batches`.
      accumulate_steps: int >= 1, batches of one update; the last update of an epoch may have fewer.
    """
    return {
        "steps_per_epoch": -(-data.steps_per_epoch // accumulate_steps),
        "global_batch_size": data.global_batch_size * accumulate_steps,
    }


def phase_learning_rate(
    schedule: Sequence[Any],
    make: Callable[[float, int], keras.optimizers.schedules.LearningRateSchedule],
    *,
    epochs: int,
    steps_per_epoch: int,
    global_batch_size: int,
) -> keras.optimizers.schedules.LearningRateSchedule:
    """The learning rate of a run, with the scales and restarts of its phases.

    Args:
      schedule: phases.
      make: from (learning_rate_scale, number of steps) to the schedule of that stretch.
      epochs: int, of the whole run.
      steps_per_epoch: int.
      global_batch_size: int.

    Returns: a function of the optimizer's step.
    """
    phases = trainable.epochs_of_phases(
        schedule, epochs=epochs, steps_per_epoch=steps_per_epoch, global_batch_size=global_batch_size
    )
    starts = [(first, phase) for first, _, phase in phases if first == 0 or phase.restart_schedule]
    for _, phase in ((first, phase) for first, _, phase in phases if not phase.restart_schedule and first > 0):
        if phase.learning_rate_scale != 1.0:
            raise errors.InputError(
                f"Got learning_rate_scale={phase.learning_rate_scale} in a phase that goes on in the schedule before "
                "it. Expected 1.0 there. Set restart_schedule=True, or scale by blocks."
            )
    ends = [first for first, _ in starts[1:]] + [epochs]
    parts = [
        make(phase.learning_rate_scale, (end - first) * steps_per_epoch)
        for (first, phase), end in zip(starts, ends, strict=True)
    ]
    if len(parts) == 1:
        return parts[0]
    return schedules.join(parts, [first * steps_per_epoch for first, _ in starts[1:]])


def _build_optimizer(model: model_module.FineTuneModel, phases: Sequence[Any]) -> None:
    """Builds it once over all that any phase trains, so that no later phase finds a variable without slots."""
    if model.optimizer.built:
        return
    model.set_trainable([pattern for phase in phases for pattern in phase.trainable])
    with model.distribute_strategy.scope():
        model.optimizer.build(model.trainable_variables)


_BATCH_HOOKS = (
    "on_batch_begin",
    "on_batch_end",
    *(f"on_{w}_batch_{e}" for w in ("train", "test") for e in ("begin", "end")),
)


class _OneTraining(keras.callbacks.CallbackList):
    """Callbacks that see several `fit` calls as one training; where none of them listens to batches, none is told."""

    verbose: Any = 1

    def begin(self):
        self._last_logs = None
        heard = any(
            not getattr(getattr(callback, hook), "_is_default", False)
            for callback in self.callbacks
            for hook in _BATCH_HOOKS
        )
        if not heard:  # a tenth of the time of a small step
            for hook in _BATCH_HOOKS:
                setattr(self, hook, _say_nothing)
        super().on_train_begin()

    def end(self):
        super().on_train_end(self._last_logs)

    def on_train_begin(self, logs=None):
        pass

    def on_train_end(self, logs=None):
        self._last_logs = logs


def _say_nothing(batch, logs=None):
    pass
