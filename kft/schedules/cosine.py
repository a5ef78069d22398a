"""Cosine decay, and cosine decay with restarts."""

import dataclasses
import itertools
import math

import keras
import tensorflow as tf

from kft import errors
from kft.schedules.schedule import Schedule, check_range, check_steps, progress


@keras.saving.register_keras_serializable(package="kft")
@dataclasses.dataclass(frozen=True, eq=False)
class Cosine(Schedule):
    """Half a cosine wave from the learning rate to its end, then constant.

        progress = min(step / decay_steps, 1)
        rate = learning_rate * (end_scale + (1 - end_scale) * (1 + cos(pi * progress)) / 2)

    Args:
      learning_rate: float >= 0, at step 0.
      decay_steps: int >= 1, steps until the end is reached.
      end_scale: float in [0, 1], the end as a fraction of `learning_rate`.
    Raises: InputError if an argument is out of range.
    Example:
      >>> [round(float(Cosine(1.0, 4)(step)), 4) for step in range(6)]
      [1.0, 0.8536, 0.5, 0.1464, 0.0, 0.0]

    Reference: Loshchilov & Hutter 2017 (SGDR), eq. 5 with one cycle. Keras' CosineDecay calls the end `alpha`.
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
        wave = (1.0 + tf.cos(math.pi * progress(step, self.decay_steps))) / 2.0
        return self.learning_rate * (self.end_scale + (1.0 - self.end_scale) * wave)


@keras.saving.register_keras_serializable(package="kft")
@dataclasses.dataclass(frozen=True, eq=False)
class CosineRestarts(Schedule):
    """Cosine decay that starts again from a high rate at the end of each cycle.

    Cycle i is `length_scale ** i` times as long as the first, and the cycles fill `decay_steps`:

        start[i] = round(decay_steps * sum(length_scale ** j, j < i) / sum(length_scale ** j, j < num_cycles))
        progress = min((step - start[i]) / (start[i + 1] - start[i]), 1)        for the cycle i that step is in
        peak = learning_rate * peak_scale ** i
        rate = peak * (end_scale + (1 - end_scale) * (1 + cos(pi * progress)) / 2)

    After the last cycle the rate stays at its end.

    Args:
      learning_rate: float >= 0, at step 0.
      decay_steps: int >= num_cycles, steps of all cycles together.
      num_cycles: int in [1, 100].
      length_scale: float in (0, 100], length of a cycle over that of the one before.
      peak_scale: float in (0, 1], peak of a cycle over that of the one before.
      end_scale: float in [0, 1], the end of a cycle as a fraction of its peak.
    Raises: InputError if an argument is out of range, or if a cycle would have no step.
    Example:
      >>> [round(float(CosineRestarts(1.0, 6, num_cycles=2)(step)), 4) for step in range(7)]
      [1.0, 0.5, 1.0, 0.8536, 0.5, 0.1464, 0.0]

    Reference: Loshchilov & Hutter 2017 (SGDR), eq. 5; `length_scale` is T_mult, and T_0 is start[1]. Differs: the
      number of cycles is given and T_0 follows, so that the last cycle ends with the run. Keras' `alpha` is a
      fraction of the first peak, `end_scale` one of the cycle's own.
    """

    learning_rate: float
    decay_steps: int
    _: dataclasses.KW_ONLY
    num_cycles: int = 3
    length_scale: float = 2.0
    peak_scale: float = 1.0
    end_scale: float = 0.0

    def __post_init__(self):
        check_range("learning_rate", self.learning_rate, 0.0)
        check_steps("decay_steps", self.decay_steps)
        check_steps("num_cycles", self.num_cycles)
        check_range("num_cycles", self.num_cycles, 1, 100)
        check_range("length_scale", self.length_scale, 0.0, 100.0, above=True)
        check_range("peak_scale", self.peak_scale, 0.0, 1.0, above=True)
        check_range("end_scale", self.end_scale, 0.0, 1.0)
        if any(start >= end for start, end in itertools.pairwise(self.starts())):
            raise errors.InputError(
                f"Got num_cycles={self.num_cycles!r} with length_scale={self.length_scale!r} in {self.decay_steps} "
                "steps. Expected at least one step in each cycle. Use fewer cycles, or more steps."
            )

    def starts(self) -> list[int]:
        """The first step of each cycle, and the end of the last one."""
        lengths = [self.length_scale**cycle for cycle in range(self.num_cycles)]
        done = itertools.accumulate(lengths, initial=0.0)
        return [round(self.decay_steps * length / math.fsum(lengths)) for length in done]

    def rate(self, step: tf.Tensor) -> tf.Tensor:
        starts = tf.constant(self.starts(), tf.float64)
        cycle = tf.searchsorted(starts[1:-1], tf.reshape(step, [-1]), side="right")
        cycle = tf.reshape(cycle, tf.shape(step))
        start, end = tf.gather(starts, cycle), tf.gather(starts, cycle + 1)
        wave = (1.0 + tf.cos(math.pi * tf.minimum((step - start) / (end - start), 1.0))) / 2.0
        peak = self.learning_rate * self.peak_scale ** tf.cast(cycle, tf.float64)
        return peak * (self.end_scale + (1.0 - self.end_scale) * wave)
