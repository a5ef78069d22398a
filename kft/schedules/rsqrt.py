"""Decay with one over the square root of the step."""

import dataclasses

import keras
import tensorflow as tf

from kft.schedules.schedule import Schedule, check_range, check_steps


@keras.saving.register_keras_serializable(package="kft")
@dataclasses.dataclass(frozen=True, eq=False)
class Rsqrt(Schedule):
    """Decay with one over the square root of the step; it knows no end, so the run can be made longer.

        rate = learning_rate * sqrt(timescale_steps / (timescale_steps + step))

    Behind a warm-up of `timescale_steps` this is the schedule of the Transformer, as `step` then counts from the
    end of the warm-up; `make_schedule` gives it that timescale.

    Args:
      learning_rate: float >= 0, at step 0.
      timescale_steps: int >= 1; after three times as many steps the rate has halved.
    Raises: InputError if an argument is out of range.
    Example:
      >>> [float(Rsqrt(1.0, timescale_steps=100)(step)) for step in (0, 300, 1500)]
      [1.0, 0.5, 0.25]

    Reference: Vaswani et al. 2017, eq. 3, its factor d_model ** -0.5 being part of `learning_rate`.
    """

    learning_rate: float
    _: dataclasses.KW_ONLY
    timescale_steps: int = 10_000

    def __post_init__(self):
        check_range("learning_rate", self.learning_rate, 0.0)
        check_steps("timescale_steps", self.timescale_steps)

    def rate(self, step: tf.Tensor) -> tf.Tensor:
        return self.learning_rate * tf.sqrt(self.timescale_steps / (self.timescale_steps + step))
