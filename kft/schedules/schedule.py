"""The type of all our schedules: a pure function of the step, computed in float64."""

import dataclasses
import math
from typing import Any

import keras
import tensorflow as tf

from kft import errors


class Schedule(keras.optimizers.schedules.LearningRateSchedule):
    """A learning rate as a pure function of the step.

    A member is a frozen dataclass: its fields are its config, `rate` is its rule. The optimizer calls it
    with the number of updates done so far, so step 0 is the rate of the first update:

        learning_rate(step) = float32(rate(float64(step)))

    Shapes: step is a scalar integer or float, or a tensor of any shape; the result has its shape and is float32.
    """

    def rate(self, step: tf.Tensor) -> tf.Tensor:
        """The rule: float64 step >= 0 in, float64 learning rate out."""
        raise NotImplementedError

    def __call__(self, step: Any) -> tf.Tensor:
        return tf.cast(self.rate(tf.cast(step, tf.float64)), tf.float32)

    def inner_schedules(self) -> list["Schedule"]:
        """The schedules of ours that this one is built from, itself first."""
        found = [self]
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            for part in value if isinstance(value, (list, tuple)) else [value]:
                if isinstance(part, Schedule):
                    found.extend(part.inner_schedules())
        return found

    @property
    def variables(self) -> list[keras.Variable]:
        """The state, empty except where a `Plateau` is inside; it belongs into every checkpoint."""
        return [variable for part in self.inner_schedules() for variable in part.own_variables()]

    def own_variables(self) -> list[keras.Variable]:
        """The state of this schedule without the ones that it is built from."""
        return []

    def get_config(self) -> dict[str, Any]:
        config = {}
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            value = list(value) if isinstance(value, tuple) else value
            config[field.name] = keras.saving.serialize_keras_object(value)
        return config

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "Schedule":
        return cls(**{name: keras.saving.deserialize_keras_object(value) for name, value in config.items()})


def rate_of(schedule: keras.optimizers.schedules.LearningRateSchedule, step: tf.Tensor) -> tf.Tensor:
    """The float64 rate of one of our schedules, or of any other, at a float64 step."""
    if isinstance(schedule, Schedule):
        return schedule.rate(step)
    return tf.cast(schedule(tf.cast(step, tf.int64)), tf.float64)


def progress(step: tf.Tensor, steps: int) -> tf.Tensor:
    """How much of `steps` is done, from 0 to 1, and 1 ever after."""
    return tf.minimum(step / steps, 1.0)


def whole(step: tf.Tensor, steps: int) -> tf.Tensor:
    """How many times `steps` is done; in integers, as XLA's float64 quotient of 49 and 49 is less than 1."""
    return tf.cast(tf.cast(step, tf.int64) // steps, tf.float64)


def check_range(name: str, value: float, low: float, high: float = math.inf, *, above: bool = False) -> None:
    """Raises InputError unless `value` is a finite number in [low, high], or in (low, high] with `above`."""
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    if is_number and low <= value <= high and not (above and value == low):
        return
    expected = f"{'>' if above else '>='} {low:g}" + ("" if high == math.inf else f" and <= {high:g}")
    raise errors.InputError(f"Got {name}={value!r}. Expected a number {expected}. Change {name}.")


def check_steps(name: str, value: int, low: int = 1) -> None:
    """Raises InputError unless `value` is a whole number of steps, at least `low`."""
    if isinstance(value, int) and not isinstance(value, bool) and value >= low:
        return
    raise errors.InputError(
        f"Got {name}={value!r}. Expected a whole number of steps >= {low}. "
        f"Lengths with a unit, such as '2 epochs', are for make_schedule."
    )


def check_schedule(name: str, value: Any) -> None:
    """Raises InputError unless `value` is a `LearningRateSchedule`."""
    if not isinstance(value, keras.optimizers.schedules.LearningRateSchedule):
        raise errors.InputError(
            f"Got {name}={value!r}. Expected a LearningRateSchedule. For a fixed rate, use kft.schedules.Constant."
        )
