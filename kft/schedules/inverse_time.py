"""Decay with one over the time."""

import dataclasses

import keras
import tensorflow as tf

from kft.schedules.schedule import Schedule, check_range, check_steps, whole


@keras.saving.register_keras_serializable(package="kft")
@dataclasses.dataclass(frozen=True, eq=False)
class InverseTime(Schedule):
    """Decay with one over the time, also called time decay.

        time = step / decay_steps                   rounded down if staircase
        rate = learning_rate / (1 + decay_rate * time)

    Args:
      learning_rate: float >= 0, at step 0.
      decay_steps: int >= 1, the unit of time.
      decay_rate: float >= 0; with 1 the rate has halved at `decay_steps`, with 9 it is a tenth there.
      staircase: bool, whole units of time only.
    Raises: InputError if an argument is out of range.
    Example:
      >>> [float(InverseTime(1.0, 1)(step)) for step in (0, 1, 3)]
      [1.0, 0.5, 0.25]

    Reference: Robbins & Monro 1951, for rates of the order 1 / step; Bottou 2012 (SGD tricks) for this form.
    """

    learning_rate: float
    decay_steps: int
    _: dataclasses.KW_ONLY
    decay_rate: float = 1.0
    staircase: bool = False

    def __post_init__(self):
        check_range("learning_rate", self.learning_rate, 0.0)
        check_steps("decay_steps", self.decay_steps)
        check_range("decay_rate", self.decay_rate, 0.0)

    def rate(self, step: tf.Tensor) -> tf.Tensor:
        time = whole(step, self.decay_steps) if self.staircase else step / self.decay_steps
        return self.learning_rate / (1.0 + self.decay_rate * time)
