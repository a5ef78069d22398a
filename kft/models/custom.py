"""The user's own functional model as a backbone."""

import dataclasses
import functools
import importlib
import posixpath
import re
from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf

from kft import errors
from kft.models import graph, words
from kft.models import weights as weights_files
from kft.models.backbone import RESERVED_LAYERS, Backbone, as_image_size, make_features


def python_backbone(
    name: str,
    *,
    image_size: int | Sequence[int] | None = None,
    image_channels: int | None = None,
    weights: str = "none",
    pooling: str = "avg",
) -> Backbone:
    """The model that a function of the user's makes.

    Args:
      name: "python:package.module:function", with "@layer_name" at its end to cut at that layer.
      image_size: see `custom_backbone`.
      image_channels: None, or what the model takes.
      weights: "none" or "pretrained" for the model as the function made it, or a file for the whole
        model, before the cut.
      pooling: "avg" or "max".

    Raises: InputError if the function cannot be had or does not make a functional model; see `custom_backbone`.
    """
    match = re.fullmatch(r"python:([\w.]+):(\w+)(?:@(.+))?", name)
    if match is None:
        raise errors.InputError(
            f"Got backbone {name!r}. Expected 'python:package.module:function', with '@layer_name' at its end to cut "
            "there. Write it so."
        )
    weights = "none" if weights == "pretrained" else weights
    weights_files.check_source(weights)
    model = _call(*match.group(1, 2), name=name)
    if weights == "imagenet":
        raise errors.InputError(
            f"Got weights='imagenet' for {name!r}. Expected 'none' or a file for a model of your own. "
            "Load the weights in your function, or give a file."
        )
    if weights != "none":
        weights_files.load(model, weights, what=f"backbone {name!r}")
    backbone = custom_backbone(model, cut_at=match[3], image_size=image_size, pooling=pooling)
    if image_channels not in (None, model.inputs[0].shape[-1]):
        raise errors.InputError(
            f"Got image_channels={image_channels!r} for {name!r}, which takes inputs of shape "
            f"{tuple(model.inputs[0].shape[1:])}. Expected the same. Build the model for these channels."
        )
    return dataclasses.replace(backbone, name=name)


def custom_backbone(
    model: keras.Model,
    *,
    cut_at: str | None = None,
    blocks: Sequence[str] | None = None,
    preprocess: Callable[[Any], Any] | None = None,
    image_size: int | Sequence[int] | None = None,
    pooling: str = "auto",
) -> Backbone:
    """A backbone from a functional or Sequential model, which keeps its layers and variables.

    Models within the model are dissolved into their layers; a layer that is called at several places stays one layer.

    Args:
      model: functional or Sequential, built.
      cut_at: name of the layer whose output the features are; None for the model's own output.
      blocks: patterns over variable paths, bottom to top; None for one block per layer with weights, in the order of
        the graph.
      preprocess: graph function from a batch of raw examples to model inputs; None leaves them as they are, in the
        type of the model's inputs.
      image_size: pixels, one number or (height, width), for a model whose image input has an open size; None for what
        the model has.
      pooling: "avg" or "max", over height and width, or over time; of a model of words "mean", "max" or "attention".

    A model that takes strings and begins with keras.layers.TextVectorization becomes a model of word ids behind a
    tokenizer with its rules and vocabulary; without a vocabulary that has to be adapted: `tokenizer.adapt(texts)`.

    Raises: InputError for a model that is not functional, two layers of one name, a layer name that is the head's, an
      unknown layer to cut at or one that is called at several places, blocks that do not take every variable once.

    Example:
      >>> inputs = keras.Input((8, 8, 1))
      >>> conv = keras.layers.Conv2D(4, 3, name="conv")(inputs)
      >>> outputs = keras.layers.Dense(10, name="digits")(keras.layers.Flatten()(conv))
      >>> backbone = custom_backbone(keras.Model(inputs, outputs), cut_at="conv")
      >>> backbone.blocks, backbone.image_size
      (('conv/.*',), (8, 8))
    """
    _check_functional(model)
    tokenizer = None
    if words.has_words(model):
        model, tokenizer = words.ids_model(model, graph.run_again)
    features = make_features(pooling) if tokenizer is None else words.make_features(pooling)
    inputs, size = _make_inputs(model, image_size)
    calls: dict[str, list] = {}

    def note(operation: keras.Operation, results: list) -> list:
        calls.setdefault(operation.name, []).append(results)
        return results

    outputs = graph.run_again(model, inputs, note)
    if cut_at is not None:
        outputs = _cut(calls, cut_at)
    flat = _make_flat(_like_inputs_of(model, inputs), outputs, name=model.name)
    if tokenizer is not None:
        features = functools.partial(features, padding_mask=flat.input["padding_mask"])
    return Backbone(
        name=model.name,
        model=flat,
        blocks=tuple(blocks) if blocks is not None else _blocks(flat),
        preprocess=preprocess or _cast_to(flat),
        features=features,
        image_size=size,
        tokenizer=tokenizer,
        save=tokenizer and tokenizer.save,
    )


def _call(module: str, function: str, *, name: str) -> keras.Model:
    try:
        found = importlib.import_module(module)
    except ImportError as error:
        raise errors.InputError(
            f"Got backbone {name!r}, and module {module!r} cannot be imported: {error}. Expected a module on Python's "
            "path. Start in its folder by `python -m`, or add the folder to PYTHONPATH."
        ) from error
    if not callable(getattr(found, function, None)):
        names = [key for key, value in vars(found).items() if callable(value) and not key.startswith("_")]
        raise errors.unknown_name(f"function in {module}", function, names)
    model = getattr(found, function)()
    if not isinstance(model, keras.Model):
        raise errors.InputError(
            f"Got {type(model).__name__} from {name!r}. Expected a keras.Model. Return the model from the function."
        )
    return model


def _check_functional(model: keras.Model) -> None:
    if not graph.is_graph(model):
        raise errors.InputError(
            f"Got a model of class {type(model).__name__}, whose layers are called by its own code. Expected a "
            "functional model, which can be cut and partly frozen. Build it as keras.Model(inputs, outputs) from "
            "keras.Input; to use it as one block, wrap it: keras.Model(inputs, model(inputs))."
        )
    if not model.built or not model.inputs:
        raise errors.InputError(
            f"Got Sequential model {model.name!r} without an input shape. Expected a built model. "
            "Add keras.Input(shape) as its first layer."
        )


def _make_inputs(
    model: keras.Model, image_size: int | Sequence[int] | None
) -> tuple[list[keras.KerasTensor], tuple[int, int] | None]:
    """New inputs like the model's, of any batch size, and the image size."""
    shapes = [list(tensor.shape[1:]) for tensor in model.inputs]
    size = None
    if len(shapes) == 1 and len(shapes[0]) == 3:
        size = tuple(shapes[0][:2])
        if image_size is not None:
            wanted = as_image_size(image_size)
            if any(side not in (None, want) for side, want in zip(size, wanted)):
                raise errors.InputError(
                    f"Got image_size={image_size!r} for model {model.name!r}, which takes {size}. Expected the same. "
                    "Leave image_size out, or build the model for the other size."
                )
            size, shapes[0][:2] = wanted, wanted
        size = None if None in size else size
    elif image_size is not None:
        raise errors.InputError(
            f"Got image_size={image_size!r} for model {model.name!r} with inputs of shape "
            f"{', '.join(str(tuple(shape)) for shape in shapes)}. Expected one image input (height, width, channels). "
            "Leave image_size out."
        )
    inputs = [
        keras.Input(tuple(shape), dtype=tensor.dtype, sparse=tensor.sparse, name=_name_of(tensor))
        for shape, tensor in zip(shapes, model.inputs)
    ]
    return inputs, size


def _like_inputs_of(model: keras.Model, inputs: list[keras.KerasTensor]) -> Any:
    """One tensor for a model with one input, else in the model's own structure."""
    if isinstance(model, keras.Sequential) or (len(inputs) == 1 and not isinstance(model.input, dict)):
        return inputs[0]
    return keras.tree.pack_sequence_as(model.input, inputs)


def _name_of(tensor: keras.KerasTensor) -> str:
    return tensor._keras_history.operation.name


def _cut(calls: dict[str, list], cut_at: str) -> list[keras.KerasTensor]:
    if cut_at not in calls:
        raise errors.unknown_name("layer to cut at", cut_at, calls)
    if len(calls[cut_at]) > 1:
        raise errors.InputError(
            f"Got layer {cut_at!r} to cut at, which is called at {len(calls[cut_at])} places. Expected a layer that is "
            "called once. Cut at the layer before or after it."
        )
    return calls[cut_at][0]


def _make_flat(inputs: Any, outputs: list[keras.KerasTensor], *, name: str) -> keras.Model:
    outputs = outputs[0] if len(outputs) == 1 else outputs
    try:
        flat = keras.Model(inputs, outputs, name=name)
    except ValueError as error:
        if "names should be unique" not in str(error):
            raise
        raise errors.InputError(
            f"Got model {name!r} with two layers of one name: {error} Expected every layer, also of models within the "
            "model, to have its own. Give name=... to these layers where the model is built."
        ) from error
    firsts = [layer.name for layer in flat.layers] + [weight.path.partition("/")[0] for weight in flat.weights]
    reserved = sorted({first for first in firsts if RESERVED_LAYERS.fullmatch(first)})
    if reserved:
        raise errors.InputError(
            f"Got model {name!r} with layer {reserved[0]!r}. Expected other names, as kft adds layers of this name. "
            "Cut below it ('@layer_name', or cut_at in user code), or name it otherwise where the model is built."
        )
    return flat


def _blocks(model: keras.Model) -> tuple[str, ...]:
    """One pattern per layer that has weights no layer before it has, in the order of the graph."""
    paths = [weight.path for weight in model.weights]
    taken: set[str] = set()
    blocks = []
    for layer in model.layers:
        own = [weight.path for weight in layer.weights if weight.path not in taken]
        taken.update(own)
        if own:
            within = posixpath.commonpath([posixpath.dirname(path) for path in own])
            folders = [
                folder
                for folder in (layer.name, within)
                if {path for path in paths if path.startswith(f"{folder}/")} == set(own)
            ]
            blocks.append(f"{re.escape(folders[0])}/.*" if folders else "|".join(map(re.escape, own)))
    return tuple(blocks)


def _cast_to(model: keras.Model) -> Callable[[Any], Any]:
    dtypes = keras.tree.map_structure(lambda tensor: tensor.dtype, model.input)

    def preprocess(batch: Any) -> Any:
        return keras.tree.map_structure(lambda value, dtype: tf.cast(value, dtype), batch, dtypes)

    return preprocess
