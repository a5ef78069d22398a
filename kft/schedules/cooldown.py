"""A cool-down at the end of any schedule."""

import dataclasses

import keras
import tensorflow as tf

from kft.schedules.schedule import Schedule, check_range, check_schedule, check_steps, rate_of


@keras.saving.register_keras_serializable(package="kft")
@dataclasses.dataclass(frozen=True, eq=False)
class Cooldown(Schedule):
    """A schedule that is brought down along a straight line from some step on.

        progress = min(max(step - start_step, 0) / cooldown_steps, 1)
        rate = schedule(step) * (1 - (1 - end_scale) * progress)

    Args:
      schedule: any LearningRateSchedule, ours or not.
      start_step: int >= 0, the last step at the full rate.
      cooldown_steps: int >= 1, steps until the end is reached; it stays there.
      end_scale: float in [0, 1], what is left at the end of the rate that the schedule has there.
    Raises: InputError if an argument is out of range.
    Example:
      >>> from kft.schedules import Constant
      >>> [float(Cooldown(Constant(1.0), 2, cooldown_steps=4)(step)) for step in range(8)]
      [1.0, 1.0, 1.0, 0.75, 0.5, 0.25, 0.0, 0.0]

    Reference: Zhai et al. 2022 (Scaling Vision Transformers), section 3.5; Hägele et al. 2024.
    """

    schedule: keras.optimizers.schedules.LearningRateSchedule
    start_step: int
    _: dataclasses.KW_ONLY
    cooldown_steps: int
    end_scale: float = 0.0

    def __post_init__(self):
        check_schedule("schedule", self.schedule)
        check_steps("start_step", self.start_step, 0)
        check_steps("cooldown_steps", self.cooldown_steps)
        check_range("end_scale", self.end_scale, 0.0, 1.0)

    def rate(self, step: tf.Tensor) -> tf.Tensor:
        progress = tf.clip_by_value((step - self.start_step) / self.cooldown_steps, 0.0, 1.0)
        return rate_of(self.schedule, step) * (1.0 - (1.0 - self.end_scale) * progress)
