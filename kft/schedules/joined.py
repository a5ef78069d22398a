"""One schedule after the other."""

import dataclasses
import itertools
from collections.abc import Sequence

import keras
import tensorflow as tf

from kft import errors
from kft.schedules.schedule import Schedule, check_schedule, check_steps, rate_of


def join(schedules: Sequence[keras.optimizers.schedules.LearningRateSchedule], boundaries: Sequence[int]) -> "Join":
    """`Join` with the sequences as they come; see there."""
    return Join(tuple(schedules), tuple(boundaries))


@keras.saving.register_keras_serializable(package="kft")
@dataclasses.dataclass(frozen=True, eq=False)
class Join(Schedule):
    """One schedule after the other, each one seeing its own step from 0.

        rate = schedules[i](step - boundaries[i - 1])    with i the number of boundaries <= step

    Args:
      schedules: tuple of LearningRateSchedules, ours or not.
      boundaries: tuple of ints > 0, rising, one less than schedules: the first step of each but the first.
    Raises: InputError if the numbers do not fit or the boundaries do not rise.
    Example:
      >>> from kft.schedules import Constant, Linear
      >>> both = join([Constant(1.0), Linear(0.5, 2)], [2])
      >>> [float(both(step)) for step in range(5)]
      [1.0, 1.0, 0.5, 0.25, 0.0]

    Reference: none.
    """

    schedules: tuple[keras.optimizers.schedules.LearningRateSchedule, ...]
    boundaries: tuple[int, ...]

    def __post_init__(self):
        for schedule in self.schedules:
            check_schedule("schedules", schedule)
        for boundary in self.boundaries:
            check_steps("boundaries", boundary)
        rising = all(first < second for first, second in itertools.pairwise(self.boundaries))
        if not rising or len(self.schedules) != len(self.boundaries) + 1:
            raise errors.InputError(
                f"Got {len(self.schedules)} schedules with boundaries {tuple(self.boundaries)!r}. Expected one "
                "boundary less than schedules, each greater than the one before. Correct the boundaries."
            )

    def rate(self, step: tf.Tensor) -> tf.Tensor:
        rate = rate_of(self.schedules[0], step)
        for schedule, boundary in zip(self.schedules[1:], self.boundaries, strict=True):
            rate = tf.where(step < boundary, rate, rate_of(schedule, tf.maximum(step - boundary, 0.0)))
        return rate
