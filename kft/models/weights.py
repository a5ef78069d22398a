"""Weights from files: arrays that fit exactly, or an error before anything is read.

A file is not trusted. Names, shapes, types and links of all its arrays are compared with what the model has before
the first value is read; links, arrays outside the file and unusual filters are refused.
"""

import collections
import math
import os
import pathlib
import re
import tempfile
from collections.abc import Mapping

import h5py
import keras
import numpy as np

from kft import errors
from kft.models import names

# A compiled model's file also holds these; they are no weights of the model.
NOT_WEIGHTS = ("optimizer", "optimizer_weights", "compile_metrics", "metrics")
FILTERS = (h5py.h5z.FILTER_DEFLATE, h5py.h5z.FILTER_SHUFFLE, h5py.h5z.FILTER_FLETCHER32)
SUFFIX = ".weights.h5"
MOST_DEPTH = 32


def check_source(weights: str) -> None:
    """Raises InputError unless `weights` is "none", "imagenet" or a file in the HDF5 format."""
    if weights in ("none", "imagenet"):
        return
    if not os.path.isfile(weights):
        raise errors.InputError(
            f"Got weights={weights!r}, which is no file. Expected 'none', 'imagenet' or the path of a file, "
            ".weights.h5 or .h5 in Keras' layout. Check the path."
        )
    if not h5py.is_hdf5(weights):
        raise errors.InputError(
            f"Got weights={weights!r}, which is not in the HDF5 format. Expected a file that Keras wrote, .weights.h5 "
            f"or .h5; this one has {os.path.getsize(weights)} bytes. Download it again."
        )


def keras_models_folder() -> pathlib.Path:
    """Where Keras keeps downloaded weights."""
    return pathlib.Path(os.environ.get("KERAS_HOME", pathlib.Path.home() / ".keras")) / "models"


def load(model: keras.Model, path: str, *, what: str) -> None:
    """Loads a file into a model, all of it or nothing.

    Both of Keras' layouts: the one of `save_weights`, and the older one by layer names (also as part of a whole model
    in .h5, of which only the arrays are read).

    Args:
      model: built; its weights are replaced.
      path: of the file.
      what: what the model is, for the error.

    Raises: InputError, with the variables, if anything is missing, extra, of other shape or type, in other order, not
      finite, or not inside the file itself.
    """
    check_source(path)
    try:
        with h5py.File(path, "r") as file:
            group = _model_weights(file)
            if "layer_names" in group.attrs or "layer_names0" in group.attrs:
                _load_by_layer_name(model, _arrays(group, model, path), path=path, what=what)
                return
            arrays = _arrays(file, model, path)
            _check_as_keras_writes(model, arrays, path=path, what=what)
            check_finite({name: array[()] for name, array in arrays.items()}, what=path)
    except errors.InputError:
        raise
    except (OSError, RuntimeError, LookupError, TypeError, ValueError) as error:
        raise errors.InputError(
            f"Got weights={path!r}, which cannot be read: {error}. Expected a whole file that Keras wrote. "
            "Download or save it again."
        ) from error
    if not path.endswith(SUFFIX):
        raise errors.InputError(
            f"Got weights={path!r} in the layout of save_weights. Expected the ending {SUFFIX!r} for it. Rename it."
        )
    model.load_weights(path)


def renew_constants(model: keras.Model) -> None:
    """After weights were assigned: Keras' Normalization computes with copies of its weights, which are made again."""
    for layer in model._flatten_layers():
        if isinstance(layer, keras.layers.Normalization):
            layer.finalize_state()


def check_finite(arrays: Mapping[str, np.ndarray], *, what: str) -> None:
    """Raises InputError that lists the arrays with NaN or Inf."""
    bad = [name for name, array in arrays.items() if array.dtype.kind == "f" and not np.isfinite(array).all()]
    if bad:
        raise errors.InputError(
            f"Got {what} with NaN or Inf in {_some(bad)}. Expected finite numbers. Take a checkpoint from before the "
            "training went wrong, or download the file again."
        )


def _arrays(group: h5py.Group, model: keras.Model, path: str) -> dict[str, h5py.Dataset]:
    """Every array below a group by its name, none of them read; InputError for what Keras never writes."""
    arrays: dict[str, h5py.Dataset] = {}
    seen = {h5py.h5o.get_info(group.id).addr}
    most_objects = 10_000 + 100 * len(model.weights)

    def refuse(name: str, problem: str) -> errors.InputError:
        return errors.InputError(
            f"Got weights={path!r}, where {name!r} is {problem}. Expected groups and arrays as Keras writes them. "
            "Do not use this file unless you know who made it; save it again with Keras."
        )

    def walk(parent: h5py.Group, prefix: str, depth: int) -> None:
        for key in parent:
            name = prefix + key
            if depth == 0 and key in NOT_WEIGHTS:
                continue
            if not _is_hard_link(parent, key):
                raise refuse(name, "a link to somewhere else")
            item = parent[key]
            address = h5py.h5o.get_info(item.id).addr
            if address in seen:
                raise refuse(name, "a second name of the same object")
            seen.add(address)
            if len(seen) > most_objects or depth > MOST_DEPTH:
                raise refuse(name, f"one of too many objects for a model with {len(model.weights)} variables")
            if isinstance(item, h5py.Group):
                walk(item, f"{name}/", depth + 1)
            elif isinstance(item, h5py.Dataset):
                problem = _storage_problem(item)
                if problem:
                    raise refuse(name, problem)
                arrays[name] = item
            else:
                raise refuse(name, "neither a group nor an array")

    walk(group, "", 0)
    return arrays


def _model_weights(file: h5py.File) -> h5py.Group:
    """The part of a whole model's file that holds the arrays, or the file."""
    inner = file["model_weights"] if _is_hard_link(file, "model_weights") else None
    return inner if isinstance(inner, h5py.Group) else file


def _is_hard_link(group: h5py.Group, key: str) -> bool:
    return isinstance(group.get(key, getlink=True), h5py.HardLink)


def _storage_problem(array: h5py.Dataset) -> str | None:
    properties = array.id.get_create_plist()
    if array.is_virtual or array.external:
        return "an array that lies in other files"
    if array.chunks and math.prod(array.chunks) > max(1, array.size):
        return "stored in parts larger than itself"
    if any(properties.get_filter(index)[0] not in FILTERS for index in range(properties.get_nfilters())):
        return "compressed by a filter that Keras does not use"
    return None


def _load_by_layer_name(model: keras.Model, arrays: dict[str, h5py.Dataset], *, path: str, what: str) -> None:
    variables = {}
    groups = _group_names(model, arrays)
    for layer in model.layers:
        own = {name: array for name, array in arrays.items() if name.partition("/")[0] == groups[layer.name]}
        variables.update(_match_layer(layer, own))
    weights = {weight.path: weight for weight in model.weights}
    found = {variables[name].path: array for name, array in arrays.items() if name in variables}
    _compare(
        {name: (tuple(weight.shape), np.dtype(weight.dtype)) for name, weight in weights.items()},
        {name: (array.shape, array.dtype) for name, array in found.items()}
        | {name: (array.shape, array.dtype) for name, array in arrays.items() if name not in variables},
        path=path,
        what=what,
    )
    values = {name: array[()] for name, array in found.items()}
    check_finite(values, what=path)
    for name, value in values.items():
        weights[name].assign(value)
    renew_constants(model)


def _group_names(model: keras.Model, arrays: Mapping[str, h5py.Dataset]) -> dict[str, str]:
    """Layer name -> its group in the file.

    They are the same but for layers that Keras named by counting, "conv2d_3", which in the process that wrote the
    file began at another number: those of one kind are matched by their order, if there are as many.
    """
    first_words = {name.partition("/")[0] for name in arrays}
    groups = {layer.name: layer.name for layer in model.layers}
    kinds = collections.defaultdict(list)
    for layer in model.layers:
        given = names.number_given(layer)
        if given and layer.weights:
            kinds[given[0]].append((given[1], layer.name))
    for kind, layers in kinds.items():
        found = {word: re.fullmatch(rf"{kind}(?:_(\d+))?", word) for word in first_words}
        theirs = sorted((int(match[1] or 0), word) for word, match in found.items() if match)
        if len(theirs) == len(layers):
            groups |= {layer: word for (_, layer), (_, word) in zip(sorted(layers), theirs)}
    return groups


def _match_layer(layer: keras.Layer, arrays: Mapping[str, h5py.Dataset]) -> dict[str, keras.Variable]:
    """Array name -> variable: "conv/conv/kernel:0" by its path, else by its last word where that is unique.

    One array for a layer with one variable needs no name in common.
    """
    if len(arrays) == len(layer.weights) == 1:
        return dict(zip(arrays, layer.weights))
    by_path = {f"{layer.name}/{weight.path}": weight for weight in layer.weights}
    last_words = [weight.path.rpartition("/")[2] for weight in layer.weights]
    by_last_word = {word: weight for word, weight in zip(last_words, layer.weights) if last_words.count(word) == 1}
    if isinstance(layer, keras.layers.DepthwiseConv2D):  # its name in Keras 2
        by_last_word["depthwise_kernel"] = by_last_word.get("kernel")
    matched = {}
    for name in arrays:
        plain = name.removesuffix(":0")
        weight = by_path.get(plain, by_last_word.get(plain.rpartition("/")[2]))
        if weight is not None and not any(weight is other for other in matched.values()):
            matched[name] = weight
    return matched


def _check_as_keras_writes(model: keras.Model, arrays: dict[str, h5py.Dataset], *, path: str, what: str) -> None:
    """Compares with a file that Keras writes for this very model: the layout counts layers by class and order."""
    with tempfile.TemporaryDirectory() as folder:
        written = os.path.join(folder, f"expected{SUFFIX}")
        model.save_weights(written)
        with h5py.File(written, "r") as file:
            expected = _arrays(file, model, written)
            _compare(
                {name: (array.shape, array.dtype) for name, array in expected.items()},
                {name: (array.shape, array.dtype) for name, array in arrays.items()},
                path=path,
                what=what,
            )
            expected_layers = {name: _layer_name(array) for name, array in expected.items()}
    layers = {name: _layer_name(array) for name, array in arrays.items()}
    moved = [f"{name} ({layers[name]})" for name in arrays if layers[name] != expected_layers[name]]
    if moved and sorted(layers.values()) == sorted(expected_layers.values()):
        raise errors.InputError(
            f"Got weights={path!r} with the layers of {what} in another order: {_some(moved)}. Expected the order of "
            "the model. Save the file again from this very model."
        )


def _layer_name(array: h5py.Dataset) -> str:
    attributes = array.parent.attrs
    if "name" not in attributes:
        return ""
    attribute = attributes.get_id("name")
    short = attribute.shape == () and attribute.dtype.itemsize <= 1000
    return str(attributes["name"]) if short else ""


def _compare(expected: Mapping[str, tuple], got: Mapping[str, tuple], *, path: str, what: str) -> None:
    missing = [name for name in expected if name not in got]
    extra = [f"{name} {got[name][0]}" for name in got if name not in expected]
    misshapen = [
        f"{name} {got[name][0]} {got[name][1]} instead of {expected[name][0]} {expected[name][1]}"
        for name in expected
        if name in got and not _fits(got[name], expected[name])
    ]
    problems = {"missing": missing, "extra": extra, "of other shape or type": misshapen}
    if any(problems.values()):
        text = "; ".join(f"{kind}: {_some(names)}" for kind, names in problems.items() if names)
        raise errors.InputError(
            f"Got weights={path!r}, which do not fit {what}: {text}. Expected exactly its {len(expected)} variables. "
            "Take the file of this very model and width, without its top (its name ends in no_top.h5 or notop.h5)."
        )


def _fits(got: tuple, expected: tuple) -> bool:
    """Whether shape and type are the same; a whole number may be of another size, as Keras' counters became."""
    both_whole = got[1].kind == expected[1].kind == "i"
    return got == expected or (got[0] == expected[0] == () and both_whole)


def _some(words: list[str], most: int = 5) -> str:
    return ", ".join(words[:most]) + (f" and {len(words) - most} more" if len(words) > most else "")
