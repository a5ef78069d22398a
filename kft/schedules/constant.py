"""A learning rate that stays."""

import dataclasses

import keras
import tensorflow as tf

from kft.schedules.schedule import Schedule, check_range


@keras.saving.register_keras_serializable(package="kft")
@dataclasses.dataclass(frozen=True, eq=False)
class Constant(Schedule):
    """The same learning rate at every step.

        rate = learning_rate

    Args:
      learning_rate: float >= 0.
    Raises: InputError if the rate is negative or not finite.
    Example:
      >>> float(Constant(0.5)(10))
      0.5

    Reference: none; the baseline of every comparison.
    """

    learning_rate: float

    def __post_init__(self):
        check_range("learning_rate", self.learning_rate, 0.0)

    def rate(self, step: tf.Tensor) -> tf.Tensor:
        return tf.zeros_like(step) + self.learning_rate
