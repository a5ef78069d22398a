"""How fast an optimizer lets variables learn."""

import keras


def rate_at(optimizer: keras.optimizers.Optimizer, iteration: int) -> float:
    """The learning rate of an update, counted from 0; of a rate that is no schedule, that of now."""
    schedule = optimizer._learning_rate
    is_schedule = isinstance(schedule, keras.optimizers.schedules.LearningRateSchedule)
    return float((schedule(iteration) if is_schedule else optimizer.learning_rate).numpy())


def scale_of(optimizer: keras.optimizers.Optimizer, variable: keras.Variable) -> float:
    """By what the rate of a variable is multiplied; 1 for a rule without scales."""
    scales = getattr(optimizer, "rate_scales", None)
    return 1.0 if scales is None else float(scales[optimizer._get_variable_index(variable)])
