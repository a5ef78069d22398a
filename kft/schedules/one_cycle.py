"""One cycle up and down."""

import dataclasses
import math

import keras
import tensorflow as tf

from kft import errors
from kft.schedules.schedule import Schedule, check_range, check_steps

SHAPES = ("cosine", "linear")


@keras.saving.register_keras_serializable(package="kft")
@dataclasses.dataclass(frozen=True, eq=False)
class OneCycle(Schedule):
    """One rise to the learning rate and one fall far below where it began, then constant.

        rise_steps = round(rise_fraction * total_steps)
        fallen = min((step - rise_steps) / (total_steps - rise_steps), 1)
        rate = learning_rate * between(start_scale, 1, step / rise_steps)   if step < rise_steps
        rate = learning_rate * between(1, end_scale, fallen)                else

    with between(a, b, x) = a + (b - a) * (1 - cos(pi * x)) / 2 for the shape "cosine", a + (b - a) * x for "linear".

    Args:
      learning_rate: float >= 0, at the peak.
      total_steps: int >= 1, steps of rise and fall together.
      rise_fraction: float in [0, 1], the part of the steps that rises.
      start_scale: float in [0, 1], the first rate as a fraction of the peak.
      end_scale: float in [0, 1], the last rate as a fraction of the peak.
      shape: "cosine" or "linear".
    Raises: InputError if an argument is out of range.
    Example:
      >>> cycle = OneCycle(1.0, 6, rise_fraction=1 / 3, start_scale=0.5, end_scale=0.0, shape="linear")
      >>> [float(cycle(step)) for step in range(7)]
      [0.5, 0.75, 1.0, 0.75, 0.5, 0.25, 0.0]

    Reference: Smith & Topin 2018 (Super-Convergence); Smith 2018. Differs: the fall and the last, very
      low part are one piece, of cosine shape by default; the momentum, which they cycle too, stays as it is.
    """

    learning_rate: float
    total_steps: int
    _: dataclasses.KW_ONLY
    rise_fraction: float = 0.3
    start_scale: float = 0.04
    end_scale: float = 1e-5
    shape: str = "cosine"

    def __post_init__(self):
        check_range("learning_rate", self.learning_rate, 0.0)
        check_steps("total_steps", self.total_steps)
        check_range("rise_fraction", self.rise_fraction, 0.0, 1.0)
        check_range("start_scale", self.start_scale, 0.0, 1.0)
        check_range("end_scale", self.end_scale, 0.0, 1.0)
        if self.shape not in SHAPES:
            raise errors.unknown_name("shape", self.shape, SHAPES)

    def rate(self, step: tf.Tensor) -> tf.Tensor:
        rise_steps = round(self.rise_fraction * self.total_steps)
        fallen = tf.minimum((step - rise_steps) / max(self.total_steps - rise_steps, 1), 1.0)
        rising = self._between(self.start_scale, 1.0, step / max(rise_steps, 1))
        falling = self._between(1.0, self.end_scale, fallen)
        return self.learning_rate * tf.where(step < rise_steps, rising, falling)

    def _between(self, first: float, last: float, progress: tf.Tensor) -> tf.Tensor:
        if self.shape == "cosine":
            progress = (1.0 - tf.cos(math.pi * progress)) / 2.0
        return first + (last - first) * progress
