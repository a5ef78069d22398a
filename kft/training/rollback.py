"""Going back after a bad number: with a lower learning rate, a few times at the most."""

from typing import Any

import keras

from kft import schedules

MOST = 3
FACTOR = 0.5


def prepare(model: Any) -> None:
    """Gives the optimizer a learning rate that can be lowered while it trains; before the step is traced."""
    optimizer = model.optimizer
    rate = optimizer._learning_rate
    if isinstance(rate, keras.optimizers.schedules.LearningRateSchedule) and not isinstance(rate, schedules.Lowered):
        optimizer._learning_rate = schedules.Lowered(rate)
        model.train_function = None


def lower(model: Any) -> float:
    """Halves the learning rate; returns what part of the first one it is, or the rate where there is no schedule."""
    rate = model.optimizer._learning_rate
    variable = rate.scale if isinstance(rate, schedules.Lowered) else rate
    variable.assign(variable * FACTOR)
    return float(variable.numpy())
