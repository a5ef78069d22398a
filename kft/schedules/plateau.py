"""A lower rate when a metric stalls, on top of any schedule."""

import dataclasses
import math

import keras
import tensorflow as tf

from kft import errors
from kft.schedules.schedule import Schedule, check_range, check_schedule, check_steps, rate_of

MODES = ("min", "max")


@keras.saving.register_keras_serializable(package="kft")
@dataclasses.dataclass(frozen=True, eq=False)
class Plateau(Schedule):
    """A schedule times a factor that falls when a metric has not become better for some time.

        rate = schedule(step) * scale

    `update(value)`, once for each value of the metric, with scale = 1 at the start:

        better = value < best - min_delta           (mode "min";  value > best + min_delta for "max")
        if better:            best = value; wait = 0
        elif pause == 0:      wait = wait + 1
        pause = max(pause - 1, 0)
        if wait >= patience:  scale = max(scale * factor, min_scale); wait = 0; pause = pause_after

    A value that is not finite is never better. The state is in `variables`: saved and restored with the run, it
    goes on as if never stopped. A traced function reads the variable, so that a new scale needs no new trace.

    Args:
      schedule: any LearningRateSchedule, ours or not.
      factor: float in (0, 1), what the rate is multiplied with.
      patience: int >= 1, values without improvement until the rate falls.
      min_delta: float >= 0, in the metric's unit: a smaller change is none.
      pause_after: int >= 0, values that are not counted after the rate has fallen.
      min_scale: float in [0, 1], the smallest scale.
      mode: "min" for a metric like the loss, "max" for one like accuracy.
    Raises: InputError if an argument is out of range.
    Example:
      >>> from kft.schedules import Constant
      >>> plateau = Plateau(Constant(1.0), factor=0.5, patience=2)
      >>> [plateau.update(value) or float(plateau(0)) for value in (3.0, 2.0, 2.0, 2.0, 1.0)]
      [1.0, 1.0, 1.0, 0.5, 0.5]

    Reference: without a first source. Differs from Keras' ReduceLROnPlateau, which sets the rate itself, so that it
      fails with a schedule and forgets its state; its `cooldown` of n leaves out n - 1 values, `pause_after` n.
    """

    schedule: keras.optimizers.schedules.LearningRateSchedule
    _: dataclasses.KW_ONLY
    factor: float = 0.1
    patience: int = 10
    min_delta: float = 1e-4
    pause_after: int = 0
    min_scale: float = 0.0
    mode: str = "min"

    def __post_init__(self):
        check_schedule("schedule", self.schedule)
        check_range("factor", self.factor, 0.0, math.nextafter(1.0, 0.0), above=True)
        check_steps("patience", self.patience)
        check_range("min_delta", self.min_delta, 0.0)
        check_steps("pause_after", self.pause_after, 0)
        check_range("min_scale", self.min_scale, 0.0, 1.0)
        if self.mode not in MODES:
            raise errors.unknown_name("mode", self.mode, MODES)
        state = {"scale": 1.0, "best": 0.0, "num_values": 0, "wait": 0, "pause": 0}
        for name, value in state.items():
            dtype = "float64" if isinstance(value, float) else "int64"
            variable = keras.Variable(value, dtype=dtype, trainable=False, name=f"plateau_{name}")
            object.__setattr__(self, f"_{name}", variable)

    def own_variables(self) -> list[keras.Variable]:
        return [self._scale, self._best, self._num_values, self._wait, self._pause]

    def rate(self, step: tf.Tensor) -> tf.Tensor:
        return rate_of(self.schedule, step) * tf.cast(self._scale, tf.float64)

    def update(self, value: float) -> None:
        """Takes the next value of the metric and lowers the scale if it is time."""
        best, wait, pause = (variable.numpy().item() for variable in (self._best, self._wait, self._pause))
        change = best - value if self.mode == "min" else value - best
        if math.isfinite(value) and (self._num_values.numpy() == 0 or change > self.min_delta):
            best, wait = value, 0
        elif pause == 0:
            wait += 1
        pause = max(pause - 1, 0)
        if wait >= self.patience:
            self._scale.assign(max(float(self._scale.numpy()) * self.factor, self.min_scale))
            wait, pause = 0, self.pause_after
        self._num_values.assign_add(int(math.isfinite(value)))
        self._best.assign(best)
        self._wait.assign(wait)
        self._pause.assign(pause)


class PlateauCallback(keras.callbacks.Callback):
    """Gives a `Plateau` the value of a metric at the end of every epoch.

    It keeps nothing itself. Put it before a callback that saves, so that what is saved includes the new state.

    Args:
      plateau: the optimizer's schedule, or a part of it.
      monitor: the metric's name in the logs of `fit`.
    Raises: InputError at the end of the first epoch if no metric has that name.
    Example:
      >>> from kft.schedules import Cosine
      >>> plateau = Plateau(Cosine(0.1, 1000), patience=3, mode="max")
      >>> callback = PlateauCallback(plateau, monitor="val_accuracy")
    """

    def __init__(self, plateau: Plateau, *, monitor: str = "val_loss"):
        super().__init__()
        self.plateau = plateau
        self.monitor = monitor

    def on_epoch_end(self, epoch, logs=None):
        if self.monitor not in (logs or {}):
            raise errors.unknown_name("monitor", self.monitor, logs or {})
        self.plateau.update(float(logs[self.monitor]))
