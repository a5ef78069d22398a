"""Exponential decay, smooth or in stairs."""

import dataclasses

import keras
import tensorflow as tf

from kft.schedules.schedule import Schedule, check_range, check_steps, whole


@keras.saving.register_keras_serializable(package="kft")
@dataclasses.dataclass(frozen=True, eq=False)
class Exponential(Schedule):
    """Decay by the same factor in every `decay_steps` steps.

        exponent = step / decay_steps               rounded down if staircase
        rate = learning_rate * decay_rate ** exponent

    Args:
      learning_rate: float >= 0, at step 0.
      decay_steps: int >= 1, steps in which the rate falls by the factor `decay_rate`.
      decay_rate: float in (0, 1].
      staircase: bool, all at once at the end of every `decay_steps` steps instead of a little at each step.
    Raises: InputError if an argument is out of range.
    Example:
      >>> [float(Exponential(1.0, 2, decay_rate=0.25)(step)) for step in range(5)]
      [1.0, 0.5, 0.25, 0.125, 0.0625]

    Reference: without a first source. The same as Keras' ExponentialDecay, in float64.
    """

    learning_rate: float
    decay_steps: int
    _: dataclasses.KW_ONLY
    decay_rate: float = 0.1
    staircase: bool = False

    def __post_init__(self):
        check_range("learning_rate", self.learning_rate, 0.0)
        check_steps("decay_steps", self.decay_steps)
        check_range("decay_rate", self.decay_rate, 0.0, 1.0, above=True)

    def rate(self, step: tf.Tensor) -> tf.Tensor:
        exponent = whole(step, self.decay_steps) if self.staircase else step / self.decay_steps
        return self.learning_rate * self.decay_rate**exponent
