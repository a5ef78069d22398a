"""What an optimizer keeps for each variable, made once: slots, steps, scales, averages, accumulators, loss scale."""

from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf

from kft import errors, paths

FIRST_LOSS_SCALE = 2.0**15


def path_of(variable: keras.Variable | tf.Variable) -> str:
    return getattr(variable, "path", variable.name)


def make(optimizer, variables: Sequence[keras.Variable]) -> None:
    """Gives the optimizer its variables and its NumPy tables, all in the order of `variables`."""
    names = [path_of(variable) for variable in variables]
    _check(names, variables)

    def table(rules, what):
        assigned = paths.assign(names, rules, what=what)
        return np.array([assigned[name] for name in names])

    def slot(name, initial, chosen=None):
        return [
            optimizer.add_variable_from_reference(variable, name=name, initializer=_initializer(initial, variable))
            if chosen is None or chosen[i]
            else None
            for i, variable in enumerate(variables)
        ]

    optimizer.rate_scales = table(optimizer.scales.learning_rate, "learning-rate scale")
    decay_scales = table(optimizer.scales.weight_decay, "weight-decay scale")
    not_excluded = np.array([optimizer._use_weight_decay(variable) for variable in variables])
    optimizer.decays = optimizer.weight_decay * decay_scales * not_excluded
    optimizer.l1_penalties = table(optimizer.l1, "L1 penalty")
    optimizer.l2_penalties = table(optimizer.l2, "L2 penalty")

    optimizer.steps = optimizer.add_variable((len(variables),), dtype="int64", name="steps")
    optimizer.slot_variables = {name: slot(name, initial) for name, initial in optimizer.slots().items()}
    if optimizer.decay_to_start:
        anchored = set(paths.select(names, optimizer.decay_to_start, what="decay_to_start"))
        chosen = [name in anchored and decay > 0 for name, decay in zip(names, optimizer.decays)]
        optimizer.starts = slot("start", "variable", chosen)
    else:
        optimizer.starts = [None] * len(variables)
    if optimizer.use_ema:
        optimizer.averages = slot("average", 0.0)
    if optimizer.accumulate_steps > 1:
        optimizer.accumulated = slot("accumulated", 0.0)
        optimizer.accumulated_weight = optimizer.add_variable((), dtype="float32", name="accumulated_weight")
        optimizer.accumulated_calls = optimizer.add_variable((), dtype="int64", name="accumulated_calls")
    if optimizer.loss_scale_factor == "dynamic":
        first = keras.initializers.Constant(FIRST_LOSS_SCALE)
        optimizer.loss_scale = optimizer.add_variable((), dtype="float32", initializer=first, name="loss_scale")
        optimizer.good_updates = optimizer.add_variable((), dtype="int64", name="good_updates")
        optimizer.skipped_updates = optimizer.add_variable((), dtype="int64", name="skipped_updates")


def loss_scale(optimizer) -> float | tf.Tensor:
    """What the loss is multiplied with, now."""
    if optimizer.loss_scale_factor != "dynamic":
        return optimizer.loss_scale_factor
    return optimizer.loss_scale.value if optimizer.built else FIRST_LOSS_SCALE


def _initializer(initial, variable):
    if initial == "variable":
        return lambda shape, dtype: tf.cast(variable, dtype)
    return keras.initializers.Constant(initial) if initial else "zeros"


def _check(names, variables):
    for name, variable in zip(names, variables):
        if tf.as_dtype(variable.dtype) not in (tf.float32, tf.float64):
            raise errors.InputError(
                f"Got variable {name!r} in {variable.dtype}. Expected float32 or float64, as small updates are lost "
                "in less. For speed use a mixed precision, which keeps the variables in float32."
            )
    if len(set(names)) < len(names):
        twice = sorted({name for name in names if names.count(name) > 1})
        raise errors.InputError(
            f"Got several variables of the same path: {', '.join(map(repr, twice[:5]))}. Expected one of each, as "
            "scales and saved state go by path. Give the layers different names."
        )
