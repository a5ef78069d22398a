"""What an optimizer keeps for each variable, made once: slots, steps, scales, averages, accumulators, loss scale."""

import math
from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf

from kft import errors, paths

FIRST_LOSS_SCALE = 2.0**15
SLOT_DTYPES = ("float32", "bfloat16")
SLOWEST = 0.99  # a mean with this decay changes by 1 % in a step; numbers of bfloat16 are up to 0.8 % apart


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
    lower = in_bfloat16(optimizer)
    optimizer.slot_variables = {
        name: [_moment(optimizer, variable, name) for variable in variables] if name in lower else slot(name, initial)
        for name, initial in optimizer.slots().items()
    }
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


def in_bfloat16(optimizer) -> frozenset[str]:
    """The slots that are kept in bfloat16.

    Raises: InputError where none can be, and where one moves too slowly for it.
    """
    if optimizer.slot_dtype == "float32":
        return frozenset()
    kept = optimizer.slots()
    decays = {name: decay for name, decay in optimizer.first_moments().items() if name in kept}
    if not decays:
        raise errors.InputError(
            f"Got slot_dtype='bfloat16' for {type(optimizer).__name__}, which keeps no mean of gradients. Expected a "
            "rule that does, such as Adam or Momentum, as all other slots would stand still in bfloat16. Use 'float32'."
        )
    for name, decay in decays.items():
        if decay > SLOWEST:
            raise errors.InputError(
                f"Got slot_dtype='bfloat16' and {decay!r} as the decay of {name!r}. Expected at most {SLOWEST}, as the "
                "8 bits of bfloat16 lose what a slower one changes in a step. Use 'float32', or a smaller decay."
            )
    return frozenset(decays)


def bytes_kept(optimizer, variables: Sequence[keras.Variable]) -> int:
    """Bytes of what an optimizer built with these variables has, what does not grow with them left out."""
    lower = in_bfloat16(optimizer)
    full = len(optimizer.slots()) - len(lower) + bool(optimizer.use_ema) + (optimizer.accumulate_steps > 1)
    sizes = {path_of(v): math.prod(v.shape) * tf.as_dtype(v.dtype).size for v in variables}
    kept = sum(size * full for size in sizes.values()) + sum(2 * len(lower) * math.prod(v.shape) for v in variables)
    if optimizer.decay_to_start:
        kept += sum(sizes[name] for name in paths.select([*sizes], optimizer.decay_to_start, what="decay_to_start"))
    return kept


def loss_scale(optimizer) -> float | tf.Tensor:
    """What the loss is multiplied with, now."""
    if optimizer.loss_scale_factor != "dynamic":
        return optimizer.loss_scale_factor
    return optimizer.loss_scale.value if optimizer.built else FIRST_LOSS_SCALE


def _moment(optimizer, variable, name):
    name = f"{path_of(variable).replace('/', '_')}_{name}"
    return optimizer.add_variable(variable.shape, dtype="bfloat16", initializer="zeros", name=name)


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
