"""What the next step of a training depends on, by name."""

import pathlib
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from kft import errors
from kft.models.weights import renew_constants
from kft.training import checkpoint_files

NOT_OF_MODEL = ("metric/", "callback/")


def variables(model: keras.Model) -> dict[str, keras.Variable]:
    """Weights by path, seed generators by order, the optimizer's state by name, the schedule's by order."""
    of_metrics = {id(variable) for variable in metrics(model).values()}
    weights = {id(variable) for variable in model.weights}
    seeds = [v for v in model.variables if id(v) not in weights and id(v) not in of_metrics]
    optimizer = model.optimizer
    state = optimizer.state() if hasattr(optimizer, "state") else _of_keras(optimizer)
    schedule = getattr(optimizer._learning_rate, "variables", ())
    return {
        **{f"weight/{variable.path}": variable for variable in model.weights},
        **{f"seed/{index}": variable for index, variable in enumerate(seeds)},
        **{f"optimizer/{name}": variable for name, variable in state.items()},
        **{f"schedule/{index}": variable for index, variable in enumerate(schedule)},
    }


def _of_keras(optimizer: keras.optimizers.Optimizer) -> dict[Any, keras.Variable]:
    """The variables that a rule of Keras tells of, by order, and those that it does not (Nadam), by attribute."""
    told = dict(enumerate(optimizer.variables))
    known = {id(variable) for variable in told.values()}
    own = {name: value for name, value in vars(optimizer).items() if isinstance(value, keras.Variable)}
    return told | {name: variable for name, variable in own.items() if id(variable) not in known}


def metrics(model: keras.Model) -> dict[str, keras.Variable]:
    """The variables of the metrics, by order."""
    found = [variable for metric in model.metrics for variable in metric.variables]
    return {f"metric/{index}": variable for index, variable in enumerate(found)}


def copy(named: Mapping[str, keras.Variable]) -> dict[str, np.ndarray]:
    """Values that no later step changes."""
    return {name: np.asarray(variable.numpy()) for name, variable in named.items()}


def part(arrays: Mapping[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    """Those whose name begins with the prefix, without it."""
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}


def restore(model: keras.Model, saved: checkpoint_files.Saved, folder: pathlib.Path) -> None:
    """Puts what was saved into the model, all of it or nothing.

    Raises: InputError that lists the variables that are missing, left over, or of another shape or type.
    """
    there = {name: array for name, array in saved.arrays.items() if not name.startswith(NOT_OF_MODEL)}
    wanted = variables(model)
    problems = [f"missing {name!r}" for name in wanted if name not in there]
    problems += [f"left over {name!r}" for name in sorted(there.keys() - wanted.keys())]
    for name in sorted(there.keys() & wanted.keys()):
        array, variable = there[name], wanted[name]
        if (array.shape, array.dtype.name) != (tuple(variable.shape), variable.dtype):
            problems.append(f"{name!r} is {array.dtype} {array.shape}, not {variable.dtype} {tuple(variable.shape)}")
    if problems:
        raise errors.InputError(
            f"Got a checkpoint in {str(folder)!r} that does not fit: {'; '.join(problems[:20])}. Expected "
            "the model and optimizer that it was saved from. Make them the same, or start in another folder."
        )
    for name, variable in wanted.items():
        variable.assign(there[name])
    renew_constants(model)
    if hasattr(model.optimizer, "averages_are_in_place"):
        model.optimizer.averages_are_in_place = bool(saved.facts["averages_are_in_place"])


def restore_metrics(model: keras.Model, saved: checkpoint_files.Saved) -> None:
    """Puts the metrics of the running epoch back."""
    for name, variable in metrics(model).items():
        variable.assign(saved.arrays[name])


def check_model(model: Any) -> None:
    """Raises InputError for a model without the hooks that are needed."""
    if not hasattr(model, "step_hooks"):
        raise errors.InputError(
            f"Got a Checkpoint for a {type(model).__name__}. Expected a FineTuneModel, whose steps can be stopped "
            "between and begun within an epoch. Use kft.training.FineTuneModel(inputs, outputs) in the place of "
            "keras.Model(inputs, outputs)."
        )


def check_facts(saved: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Raises InputError with each setting that is not what it was, and both values."""
    changed = [name for name in {**saved, **now} if saved.get(name) != now.get(name)]
    if changed:
        shown = "; ".join(f"{name} was {saved.get(name)!r} and is {now.get(name)!r}" for name in changed[:20])
        raise errors.InputError(
            f"Got {len(changed)} changed settings for a run that is to go on: {shown}. Expected the settings it "
            "began with. Set them back, use resume='force', or start in another folder."
        )
