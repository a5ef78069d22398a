"""Phases for whoever calls `model.fit` alone."""

from collections.abc import Sequence

import keras

from kft import errors, paths
from kft.trainable import schedule as schedule_lib


class TrainableCallback(keras.callbacks.Callback):
    """Lets the variables of each phase train, from its first epoch on, within one `fit` of any Keras model.

    Before training the optimizer is built over all that any phase trains; at the begin of a phase the train
    function is traced again, without which a change of `trainable` does nothing. Slots and steps stay. The learning
    rate is the optimizer's own.

    Differs from `kft.training.fine_tune`: what is frozen is computed in every step. In a model that is no
    FineTuneModel, dropout below what trains goes on; a layer of which nothing trains, BatchNorm too, is set to
    `trainable=False`.

    Args:
      schedule: phases; starts are rounded up to whole epochs.
      global_batch_size: int >= 1, needed only for starts in examples.

    Raises: InputError before the first step for phases that do not fit the model or its length, and at the begin
      of an epoch if `trainable` was changed by something else.

    Example:
      >>> from kft.duration import Duration
      >>> head, everything = ["head/.*"], [".*"]
      >>> callback = TrainableCallback(
      ...     (schedule_lib.Phase(Duration(0, "steps"), head), schedule_lib.Phase(Duration(2, "epochs"), everything))
      ... )
    """

    def __init__(self, schedule: Sequence[schedule_lib.Phase], *, global_batch_size: int = 0):
        super().__init__()
        self.schedule, self.global_batch_size = tuple(schedule), global_batch_size

    def set_model(self, model):
        """Before Keras makes the train function, which would build the optimizer over what trains then."""
        super().set_model(model)
        self._parameters = getattr(model, "parameters", None)
        if self._parameters is None:
            model.trainable = True
            self._parameters = tuple(model.trainable_variables)
        variable_paths = [variable.path for variable in self._parameters]
        schedule_lib.validate(self.schedule, variable_paths)
        patterns = [pattern for phase in self.schedule for pattern in phase.trainable]
        chosen = set(paths.select(variable_paths, patterns, what="trainable"))
        with model.distribute_strategy.scope():
            if not model.optimizer.built:
                model.optimizer.build([variable for variable in self._parameters if variable.path in chosen])

    def on_train_begin(self, logs=None):
        if not self.params.get("steps"):
            raise errors.InputError(
                "Got a `fit` whose number of steps is not known. Expected a known one, as phases start at epochs. "
                "Give steps_per_epoch."
            )
        if not self.global_batch_size and any(phase.start.unit == "examples" for phase in self.schedule):
            raise errors.InputError(
                "Got a phase that starts after so many examples. Expected steps, epochs or percent, or the size of a "
                "batch. Give global_batch_size."
            )
        self._phases = schedule_lib.epochs_of_phases(
            self.schedule,
            epochs=self.params["epochs"],
            steps_per_epoch=self.params["steps"],
            global_batch_size=self.global_batch_size or 1,
        )
        self._current: schedule_lib.Phase | None = None

    def on_epoch_begin(self, epoch, logs=None):
        if self._current is not None:
            self._check_drift()
        phase = next(phase for first, end, phase in self._phases if first <= epoch < end)
        if phase is not self._current:
            self._set_trainable(phase.trainable)
            self._current = phase
            self._flags = [variable.trainable for variable in self._parameters]
            self.model.make_train_function(force=True)

    def _set_trainable(self, patterns: Sequence[str]) -> None:
        chosen = set(paths.select([v.path for v in self._parameters], patterns, what="trainable"))
        if not hasattr(self.model, "set_trainable"):
            for layer in self.model._flatten_layers(include_self=False, recursive=True):
                layer.trainable = True
            for layer in self.model._flatten_layers(include_self=False, recursive=True):
                weights = layer.trainable_variables
                if weights and not any(variable.path in chosen for variable in weights):
                    layer.trainable = False
        for variable in self._parameters:
            variable.trainable = variable.path in chosen

    def _check_drift(self) -> None:
        drifted = [
            variable.path
            for variable, trained in zip(self._parameters, self._flags, strict=True)
            if variable.trainable != trained
        ]
        if drifted:
            raise errors.InputError(
                f"Got another `trainable` for {', '.join(map(repr, drifted[:5]))} ({len(drifted)} in all) than the "
                "phase set. Expected phases alone to change it. Describe the change as a phase."
            )
