"""The image models of keras.applications, without their top."""

import re
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import keras

from kft import errors, tables
from kft.models import first_convolution, graph, image_preprocessing, names
from kft.models import weights as weights_files
from kft.models.application_table import APPLICATIONS, STAGES, Application
from kft.models.backbone import Backbone, as_image_size, make_features


def application_backbone(
    name: str,
    *,
    image_size: int | Sequence[int] | None = None,
    image_channels: int | None = None,
    weights: str = "none",
    pooling: str = "auto",
) -> Backbone:
    """A model of keras.applications; its blocks are the stages of its paper.

    What Keras names by counting through the process ("conv2d_7") is named by its stage ("mixed0_conv2d_3"), so that
    every copy has the same variable paths.

    Args and Raises: see `kft.models.make_backbone`.
    """
    row = APPLICATIONS[name]
    features = make_features(pooling)
    size = as_image_size(row.native if image_size is None else image_size, smallest=row.smallest, usual=row.native)
    weights = "imagenet" if weights == "pretrained" else weights
    weights_files.check_source(weights)
    num_channels = _num_channels(image_channels)
    image = keras.Input((*size, 3), name="image")  # by name, as Keras numbers the inputs of one process
    arguments = {"include_top": False, "input_shape": (*size, 3), "input_tensor": image, **row.options}
    if row.pools:
        arguments["pooling"] = "avg" if pooling == "auto" else pooling
    with names.counted_anew():
        model = _make(row, name, weights, arguments)
        flat = _flat(model, image, row)
        anew = num_channels != 3 or row.input_scale
        made = first_convolution.made_anew(flat, num_channels) if anew else flat
        loaded = model
        if weights not in ("none", "imagenet"):
            loaded = _load((model, flat, made), weights, what=f"backbone {name!r}")
        if weights != "none" and loaded is not made:
            first_convolution.adapt(made, flat)
        names.rename_numbered(made, prefix=row.stages, counted=row.counted)
    return Backbone(
        name=name,
        model=keras.Model(made.inputs[0], made.output, name=model.name),  # takes a tensor; Keras' own a list of one
        blocks=STAGES[row.stages],
        preprocess=image_preprocessing.make_preprocess(row.preprocessing, name=name, num_channels=num_channels),
        features=features,
        image_size=size,
    )


def _make(row: Application, name: str, weights: str, arguments: dict[str, Any]) -> keras.Model:
    make = tables.load_place(row.make)
    return _imagenet(make, name, arguments) if weights == "imagenet" else make(weights=None, **arguments)


def _flat(model: keras.Model, image: keras.KerasTensor, row: Application) -> keras.Model:
    """The model without models in it, and with the scale that Keras adds only to what it loads itself."""
    scaled = sum(isinstance(layer, keras.layers.Rescaling) for layer in model.layers) > 1
    if not any(graph.is_graph(layer) for layer in model.layers) and (scaled or not row.input_scale):
        return model

    def done(operation: keras.Operation, results: list) -> list:
        if row.input_scale and not scaled and isinstance(operation, keras.layers.Normalization):
            return [keras.layers.Rescaling(row.input_scale)(results[0])]
        return results

    return keras.Model(image, graph.run_again(model, [image], done)[0])


def _num_channels(image_channels: int | None) -> int:
    if image_channels is None:
        return 3
    if not isinstance(image_channels, int) or image_channels < 1:
        raise errors.InputError(
            f"Got image_channels={image_channels!r}. Expected a whole number of at least 1. Leave it out for 3."
        )
    return image_channels


def _load(candidates: Sequence[keras.Model], path: str, *, what: str) -> keras.Model:
    """Loads a file into the first model that it fits: Keras' own, it without models in it, or with other channels."""
    problems = []
    for model in candidates:
        try:
            weights_files.load(model, path, what=what)
            return model
        except errors.InputError as error:
            problems.append(error)
    raise problems[0]


def _imagenet(make: Callable, name: str, arguments: dict) -> keras.Model:
    """The model as Keras loads it: from $KERAS_HOME/models, or downloaded to there; by order, as its files need."""
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*Weights for input shape.*")  # make_backbone's docs say it
            model = make(weights="imagenet", **arguments)
    except Exception as error:  # Keras raises a bare Exception where the network fails
        raise _imagenet_error(name, error) from error
    weights_files.check_finite({weight.path: weight.numpy() for weight in model.weights}, what=f"{name}'s weights")
    return model


def _imagenet_error(name: str, error: Exception) -> errors.InputError:
    folder = weights_files.keras_models_folder()
    url = re.search(r"https?://\S+/([\w.-]+\.h5)", str(error))
    if url is None:
        return errors.InputError(
            f"Got weights='imagenet' for {name!r}, and Keras could not load them: {error} Expected the file that Keras "
            f"downloads to {folder}. Delete the file there, so that it is downloaded again."
        )
    return errors.InputError(
        f"Got weights='imagenet' for {name!r}, and {url[0]} could not be downloaded: {error} Expected the network, or "
        f"the file at {folder / url[1]}. Download {url[1]} on another machine and put it there, or give its path as "
        "the backbone's weights."
    )
