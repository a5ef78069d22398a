"""Weights in files, as arrays by variable path, and the digest of a state."""

import hashlib
import json
import os
import pathlib
from collections.abc import Iterable

import keras
import numpy as np
import safetensors
import safetensors.numpy

from kft import errors, files
from kft.models.weights import renew_constants


def save_weights(model: keras.Model, file: str | os.PathLike) -> str:
    """Writes every weight of a model into one safetensors file, by variable path.

    The file appears whole or not at all: it is written beside its place, synced and renamed.

    Returns: the SHA-256 of the file, in hexadecimal.
    """
    file = pathlib.Path(file)
    arrays = {variable.path: np.asarray(variable.numpy()) for variable in model.weights}
    if len(arrays) < len(model.weights):
        paths = [variable.path for variable in model.weights]
        raise errors.InputError(
            f"Got several weights of path {sorted({p for p in paths if paths.count(p) > 1})!r}. Expected each path "
            "once. Give the layers names of their own."
        )
    content = safetensors.numpy.save(arrays)
    files.write_whole(file, content, sync=True)
    return hashlib.sha256(content).hexdigest()


def load_weights(model: keras.Model, file: str | os.PathLike, *, sha256: str | None = None) -> None:
    """Loads what `save_weights` wrote; every path, shape and dtype must fit before anything is loaded.

    Args:
      model: built.
      file: safetensors.
      sha256: what the file must hash to, if known.

    Raises: InputError if the file is none, is damaged, or does not fit, with the variables listed.
    """
    file = pathlib.Path(file)
    if sha256 is not None and hashlib.sha256(file.read_bytes()).hexdigest() != sha256:
        raise errors.InputError(
            f"Got {str(file)!r}, which is not the file that was written. Expected that one. Use an intact copy."
        )
    try:
        stream = safetensors.safe_open(file, framework="numpy")
        there = {name: stream.get_slice(name) for name in stream.keys()}  # noqa: SIM118  no mapping
    except (OSError, safetensors.SafetensorError) as error:
        raise errors.InputError(
            f"Got weights {str(file)!r}. Expected a safetensors file; {error}. Use an intact copy."
        ) from error
    wanted = {variable.path: variable for variable in model.weights}
    problems = [f"missing {path!r}" for path in wanted if path not in there]
    problems += [f"not in the model: {path!r}" for path in there if path not in wanted]
    for path in wanted.keys() & there.keys():
        shape = tuple(there[path].get_shape())
        if shape != tuple(wanted[path].shape):
            problems.append(f"{path!r} has shape {shape}, the model wants {tuple(wanted[path].shape)}")
    values = {} if problems else {path: stream.get_tensor(path) for path in wanted}
    problems += [f"{path!r} is not finite" for path, value in values.items() if not np.all(np.isfinite(value))]
    problems += [
        f"{path!r} is {value.dtype}, the model wants {wanted[path].dtype}"
        for path, value in values.items()
        if value.dtype.name != wanted[path].dtype
    ]
    if problems:
        raise errors.InputError(
            f"Got weights {str(file)!r} that do not fit the model {model.name!r}: {'; '.join(problems[:20])}. "
            "Expected every variable once, in its shape and dtype. Load them into the model they were saved from."
        )
    for path, value in values.items():
        wanted[path].assign(value)
    renew_constants(model)


def variables_sha256(variables: Iterable[keras.Variable]) -> str:
    """The digest of a state: SHA-256 over path, dtype, shape and bytes of every variable, in the order of the paths.

    Args:
      variables: such as `[*model.variables, *model.optimizer.variables]`.
    """
    digest = hashlib.sha256()
    for variable in sorted(variables, key=lambda variable: variable.path):
        value = np.ascontiguousarray(variable.numpy())
        digest.update(json.dumps([variable.path, str(value.dtype), value.shape]).encode())
        digest.update(value.tobytes())
    return digest.hexdigest()
