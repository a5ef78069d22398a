"""Decay in steps, at given boundaries."""

import dataclasses
import itertools

import keras
import tensorflow as tf

from kft import errors
from kft.schedules.schedule import Schedule, check_range, check_steps


@keras.saving.register_keras_serializable(package="kft")
@dataclasses.dataclass(frozen=True, eq=False)
class Step(Schedule):
    """Decay by a factor at each boundary, constant between them.

        rate = learning_rate * decay_rate ** (number of boundaries <= step)

    Args:
      learning_rate: float >= 0, before the first boundary.
      boundaries: tuple of ints > 0, rising: the first step of each lower rate.
      decay_rate: float in (0, 1], the factor at each boundary.
    Raises: InputError if an argument is out of range or the boundaries do not rise.
    Example:
      >>> [round(float(Step(1.0, (2, 3), decay_rate=0.5)(step)), 4) for step in range(5)]
      [1.0, 1.0, 0.5, 0.25, 0.25]

    Reference: He et al. 2016 (ResNet), section 3.4. Differs from Keras' PiecewiseConstantDecay, which lowers the
      rate one step later: there a boundary is the last step of the higher rate.
    """

    learning_rate: float
    boundaries: tuple[int, ...]
    _: dataclasses.KW_ONLY
    decay_rate: float = 0.1

    def __post_init__(self):
        check_range("learning_rate", self.learning_rate, 0.0)
        check_range("decay_rate", self.decay_rate, 0.0, 1.0, above=True)
        for boundary in self.boundaries:
            check_steps("boundaries", boundary)
        if any(first >= second for first, second in itertools.pairwise(self.boundaries)):
            raise errors.InputError(
                f"Got boundaries={tuple(self.boundaries)!r}. Expected each to be greater than the one before. "
                "Sort them, and leave out what is there twice."
            )

    def rate(self, step: tf.Tensor) -> tf.Tensor:
        boundaries = tf.constant(list(self.boundaries), tf.float64)
        passed = tf.reduce_sum(tf.cast(step[..., tf.newaxis] >= boundaries, tf.float64), axis=-1)
        return self.learning_rate * self.decay_rate**passed
