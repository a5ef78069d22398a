"""An optimizer's state by name: what is saved, what fits, and averages for variables."""

from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf

from kft import errors
from kft.optimizers import slots


def named(optimizer) -> dict[str, keras.Variable]:
    """Name -> variable, of everything that the next update depends on."""
    paths = [slots.path_of(variable) for variable in optimizer._trainable_variables]
    return _common(optimizer) | _per_variable(optimizer, paths)


def save(optimizer, store) -> None:
    """Writes the state into a mapping; the rule's name goes with it, as Adam and AdamW have the same slots."""
    store[_rule_key(optimizer)] = np.zeros(())
    for key, variable in _stored(optimizer).items():
        value = variable.numpy()
        store[key] = value.astype("float32") if variable.dtype == "bfloat16" else value  # which HDF5 does not know


def load(optimizer, store) -> None:
    """Reads the state from a mapping, or refuses it as a whole."""
    expected = _stored(optimizer)
    wanted = {**expected, _rule_key(optimizer): None}
    problems = [f"missing {key!r}" for key in sorted(set(wanted) - set(store.keys()))]
    problems += [f"left over {key!r}" for key in sorted(set(store.keys()) - set(wanted))]
    for key in sorted(set(expected) & set(store.keys())):
        shape = tuple(store[key].shape)
        if shape != tuple(expected[key].shape):
            problems.append(f"{key!r} of shape {shape} instead of {tuple(expected[key].shape)}")
    if problems:
        more = f" and {len(problems) - 20} more" if len(problems) > 20 else ""
        raise errors.InputError(
            f"Got optimizer state that does not fit {type(optimizer).__name__}: {', '.join(problems[:20])}{more}. "
            "Expected the state of the same rule, settings and variables. Load it with the settings it was saved "
            "with, or start the optimizer anew."
        )
    for key, variable in expected.items():
        variable.assign(np.asarray(store[key]))


def _stored(optimizer):
    """The state by the names in a file of Keras'. A Sequential has other paths once loaded: so number and last name."""
    names = [
        f"{index}|{slots.path_of(variable).rpartition('/')[2]}"
        for index, variable in enumerate(optimizer._trainable_variables)
    ]
    return _common(optimizer) | {
        key.replace("/", "|"): variable for key, variable in _per_variable(optimizer, names).items()
    }


def _common(optimizer):
    names = {"iteration": optimizer.iterations}
    if isinstance(optimizer._learning_rate, keras.Variable):
        names["learning_rate"] = optimizer._learning_rate
    for name in ("steps", "accumulated_weight", "accumulated_calls", "loss_scale", "good_updates", "skipped_updates"):
        if hasattr(optimizer, name):
            names[name] = getattr(optimizer, name)
    return names


def _per_variable(optimizer, names):
    """slot/name -> variable, with these names for the variables that the optimizer was built with."""
    if not optimizer.built:
        return {}
    members = dict(optimizer.slot_variables) | {"start": optimizer.starts}
    if optimizer.use_ema:
        members["average"] = optimizer.averages
    if optimizer.accumulate_steps > 1:
        members["accumulated"] = optimizer.accumulated
    return {
        f"{slot}/{name}": variable
        for slot, variables in members.items()
        for name, variable in zip(names, variables)
        if variable is not None
    }


def exchange_averages(optimizer, variables: Sequence[keras.Variable], *, keep: bool) -> None:
    """Gives each variable that was ever trained its average; with keep, the average gets the variable's value."""
    trained = optimizer.steps.numpy() > 0
    for variable in variables:
        index = optimizer._get_variable_index(variable)
        if trained[index]:
            average = optimizer.averages[index]
            value = tf.identity(variable.value) if keep else None
            variable.assign(average.value)
            if keep:
                average.assign(value)


def _rule_key(optimizer):
    lower = optimizer.slot_dtype
    return f"rule|{type(optimizer).__name__}" + ("" if lower == "float32" else f"|{lower}")
