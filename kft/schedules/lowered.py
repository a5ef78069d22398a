"""Any schedule, times a scale that is lowered when a training went wrong."""

import dataclasses

import keras
import tensorflow as tf

from kft.schedules.schedule import Schedule, check_schedule, rate_of


@keras.saving.register_keras_serializable(package="kft")
@dataclasses.dataclass(frozen=True, eq=False)
class Lowered(Schedule):
    """A schedule times a variable.

        rate = schedule(step) * scale               scale = 1 at the start

    The variable is part of the state: saved and restored with the run.

    Args:
      schedule: any LearningRateSchedule, ours or not.
    Example:
      >>> from kft.schedules import Constant
      >>> lowered = Lowered(Constant(1.0))
      >>> lowered.scale.assign(0.5) and float(lowered(0))
      0.5

    Reference: without a first source.
    """

    schedule: keras.optimizers.schedules.LearningRateSchedule

    def __post_init__(self):
        check_schedule("schedule", self.schedule)
        variable = keras.Variable(1.0, dtype="float64", trainable=False, name="lowered_scale")
        object.__setattr__(self, "scale", variable)

    def own_variables(self) -> list[keras.Variable]:
        return [self.scale]

    def rate(self, step: tf.Tensor) -> tf.Tensor:
        return rate_of(self.schedule, step) * tf.cast(self.scale, tf.float64)
