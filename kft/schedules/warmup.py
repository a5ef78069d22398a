"""A warm-up in front of any schedule."""

import dataclasses

import keras
import tensorflow as tf

from kft.schedules.schedule import Schedule, check_range, check_schedule, check_steps, rate_of


@keras.saving.register_keras_serializable(package="kft")
@dataclasses.dataclass(frozen=True, eq=False)
class Warmup(Schedule):
    """A straight line up to the first rate of a schedule, which then begins with its own step 0.

        rate = schedule(0) * (start_scale + (1 - start_scale) * step / warmup_steps)    if step < warmup_steps
        rate = schedule(step - warmup_steps)                                            else

    Args:
      schedule: any LearningRateSchedule, ours or not.
      warmup_steps: int >= 0; 0 leaves the schedule as it is.
      start_scale: float in [0, 1], the rate of step 0 as a fraction of `schedule(0)`; with 0 the first update
        moves nothing, which costs one step and is what the literature does.
    Raises: InputError if an argument is out of range.
    Example:
      >>> from kft.schedules import Linear
      >>> [float(Warmup(Linear(1.0, 4), 2)(step)) for step in range(7)]
      [0.0, 0.5, 1.0, 0.75, 0.5, 0.25, 0.0]

    Reference: Goyal et al. 2017, section 2.2, gradual warm-up. Differs from the warm-up of Keras' CosineDecay only
      in its argument: a fraction, not a rate.
    """

    schedule: keras.optimizers.schedules.LearningRateSchedule
    warmup_steps: int
    _: dataclasses.KW_ONLY
    start_scale: float = 0.0

    def __post_init__(self):
        check_schedule("schedule", self.schedule)
        check_steps("warmup_steps", self.warmup_steps, 0)
        check_range("start_scale", self.start_scale, 0.0, 1.0)

    def rate(self, step: tf.Tensor) -> tf.Tensor:
        peak = rate_of(self.schedule, tf.zeros_like(step))
        done = tf.minimum(step / max(self.warmup_steps, 1), 1.0)
        rising = peak * (self.start_scale + (1.0 - self.start_scale) * done)
        after = rate_of(self.schedule, tf.maximum(step - self.warmup_steps, 0.0))
        return tf.where(step < self.warmup_steps, rising, after)
