"""A training through its phases."""

from collections.abc import Callable, Sequence
from typing import Any

import keras

from kft import errors, schedules, trainable
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
      verbose: as of `fit`.

    Returns: the history of all epochs.
    Raises: InputError for phases that do not fit the model or the length.
    """
    if isinstance(schedule, str):
        schedule = trainable.make_trainable_schedule(schedule, model.blocks)
    trainable.validate(schedule, [variable.path for variable in model.parameters])
    phases = trainable.epochs_of_phases(
        schedule, epochs=epochs, steps_per_epoch=data.steps_per_epoch, global_batch_size=data.global_batch_size
    )
    _build_optimizer(model, [phase for _, _, phase in phases])
    shared = _OneTraining(
        list(callbacks),
        add_history=True,
        add_progbar=verbose != 0,
        verbose=1 if verbose == "auto" else verbose,
        epochs=epochs,
        steps=data.steps_per_epoch,
        model=model,
    )
    shared.begin()
    for first, end, phase in phases:
        model.set_trainable(phase.trainable)
        model.fit(
            data,
            initial_epoch=first,
            epochs=end,
            validation_data=validation_data,
            callbacks=shared,
            verbose=verbose,
        )
        if model.stop_training:
            break
    shared.end()
    return model.history


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


class _OneTraining(keras.callbacks.CallbackList):
    """Callbacks that see several `fit` calls as one training."""

    def begin(self):
        super().on_train_begin()

    def end(self):
        super().on_train_end(self._last_logs)

    def on_train_begin(self, logs=None):
        pass

    def on_train_end(self, logs=None):
        self._last_logs = logs
