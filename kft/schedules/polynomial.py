"""Decay along a straight line, or along a power of one."""

import dataclasses

import keras
import tensorflow as tf

from kft.schedules.schedule import Schedule, check_range, check_steps, progress


@keras.saving.register_keras_serializable(package="kft")
@dataclasses.dataclass(frozen=True, eq=False)
class Polynomial(Schedule):
    """Decay by a power of what is left, then constant.

        left = 1 - min(step / decay_steps, 1)
        rate = learning_rate * (end_scale + (1 - end_scale) * left ** power)

    Args:
      learning_rate: float >= 0, at step 0.
      decay_steps: int >= 1, steps until the end is reached.
      power: float > 0.
      end_scale: float in [0, 1], the end as a fraction of `learning_rate`.
    Raises: InputError if an argument is out of range.
    Example:
      >>> [float(Polynomial(1.0, 4)(step)) for step in range(6)]
      [1.0, 0.5625, 0.25, 0.0625, 0.0, 0.0]

    Reference: Chen et al. 2018 (DeepLab), the "poly" policy, with power 0.9. Differs from Keras'
      PolynomialDecay: the default power is 2, and the end is a fraction, 0 by default.
    """

    learning_rate: float
    decay_steps: int
    _: dataclasses.KW_ONLY
    power: float = 2.0
    end_scale: float = 0.0

    def __post_init__(self):
        check_range("learning_rate", self.learning_rate, 0.0)
        check_steps("decay_steps", self.decay_steps)
        check_range("power", self.power, 0.0, above=True)
        check_range("end_scale", self.end_scale, 0.0, 1.0)

    def rate(self, step: tf.Tensor) -> tf.Tensor:
        left = (1.0 - progress(step, self.decay_steps)) ** self.power
        return self.learning_rate * (self.end_scale + (1.0 - self.end_scale) * left)


@keras.saving.register_keras_serializable(package="kft")
@dataclasses.dataclass(frozen=True, eq=False)
class Linear(Schedule):
    """Decay along a straight line, then constant.

        rate = learning_rate * (1 - (1 - end_scale) * min(step / decay_steps, 1))

    Args:
      learning_rate: float >= 0, at step 0.
      decay_steps: int >= 1, steps until the end is reached.
      end_scale: float in [0, 1], the end as a fraction of `learning_rate`.
    Raises: InputError if an argument is out of range.
    Example:
      >>> [float(Linear(1.0, 4)(step)) for step in range(6)]
      [1.0, 0.75, 0.5, 0.25, 0.0, 0.0]

    Reference: Devlin et al. 2019 (BERT), appendix A.2, behind a warm-up.
    """

    learning_rate: float
    decay_steps: int
    _: dataclasses.KW_ONLY
    end_scale: float = 0.0

    def __post_init__(self):
        check_range("learning_rate", self.learning_rate, 0.0)
        check_steps("decay_steps", self.decay_steps)
        check_range("end_scale", self.end_scale, 0.0, 1.0)

    def rate(self, step: tf.Tensor) -> tf.Tensor:
        return self.learning_rate * (1.0 - (1.0 - self.end_scale) * progress(step, self.decay_steps))
