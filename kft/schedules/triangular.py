"""The slanted triangle of ULMFiT."""

import dataclasses

import keras
import tensorflow as tf

from kft.schedules.schedule import Schedule, check_range, check_steps


@keras.saving.register_keras_serializable(package="kft")
@dataclasses.dataclass(frozen=True, eq=False)
class Triangular(Schedule):
    """A short straight rise to the learning rate and a long straight fall, then constant.

        rise_steps = round(rise_fraction * total_steps)
        height = step / rise_steps                                            if step < rise_steps
        height = max(1 - (step - rise_steps) / (total_steps - rise_steps), 0) else
        rate = learning_rate * (end_scale + (1 - end_scale) * height)

    Args:
      learning_rate: float >= 0, at the peak.
      total_steps: int >= 1, steps of rise and fall together.
      rise_fraction: float in [0, 1], the part of the steps that rises; `cut_frac` in the paper.
      end_scale: float in [0, 1], both ends as a fraction of the peak; 1 / `ratio` in the paper.
    Raises: InputError if an argument is out of range.
    Example:
      >>> [float(Triangular(1.0, 6, rise_fraction=1 / 3, end_scale=0.0)(step)) for step in range(8)]
      [0.0, 0.5, 1.0, 0.75, 0.5, 0.25, 0.0, 0.0]

    Reference: Howard & Ruder 2018 (ULMFiT), eq. 3. Differs where rise_fraction * total_steps is not whole: the
      paper rounds down, and then its fall has a slope that ends too early or too late, even below 0.
    """

    learning_rate: float
    total_steps: int
    _: dataclasses.KW_ONLY
    rise_fraction: float = 0.1
    end_scale: float = 1 / 32

    def __post_init__(self):
        check_range("learning_rate", self.learning_rate, 0.0)
        check_steps("total_steps", self.total_steps)
        check_range("rise_fraction", self.rise_fraction, 0.0, 1.0)
        check_range("end_scale", self.end_scale, 0.0, 1.0)

    def rate(self, step: tf.Tensor) -> tf.Tensor:
        rise_steps = round(self.rise_fraction * self.total_steps)
        rising = step / max(rise_steps, 1)
        falling = tf.maximum(1.0 - (step - rise_steps) / max(self.total_steps - rise_steps, 1), 0.0)
        height = tf.where(step < rise_steps, rising, falling)
        return self.learning_rate * (self.end_scale + (1.0 - self.end_scale) * height)
