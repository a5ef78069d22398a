"""The image models of keras.applications, without their top."""

import re
import warnings
from collections.abc import Callable, Sequence
from types import ModuleType

import keras
import tensorflow as tf

from kft import errors
from kft.models import weights as weights_files
from kft.models.backbone import Backbone, as_image_size, make_features

DEFAULT_IMAGE_SIZE = 224
ImageSize = int | Sequence[int] | None

# Bottom to top. MobileNet has no named stages: its blocks are those of one width.
MOBILENET_BLOCKS = (
    r"conv1(_bn)?/.*",
    r"conv_(dw|pw)_1(_bn)?/.*",
    r"conv_(dw|pw)_[23](_bn)?/.*",
    r"conv_(dw|pw)_[45](_bn)?/.*",
    r"conv_(dw|pw)_([6-9]|1[01])(_bn)?/.*",
    r"conv_(dw|pw)_1[23](_bn)?/.*",
)
MOBILENET_V2_BLOCKS = (
    r"(Conv1|bn_Conv1)/.*",
    r"expanded_conv_.*",
    r"block_[12]_.*",
    r"block_[345]_.*",
    r"block_[6-9]_.*",
    r"block_1[0-2]_.*",
    r"block_1[3-5]_.*",
    r"block_16_.*",
    r"Conv_1(_bn)?/.*",
)
RESNET_BLOCKS = (r"conv1_(conv|bn)/.*", r"conv2_block.*", r"conv3_block.*", r"conv4_block.*", r"conv5_block.*")
RESNET_V2_BLOCKS = (*RESNET_BLOCKS[:-1], r"(conv5_block|post_bn/).*")


def mobilenet(name: str, *, image_size: ImageSize = None, weights: str = "none", pooling: str = "avg") -> Backbone:
    """MobileNet; blocks are runs of one width in the paper's table.

    Args and Raises: see `kft.models.make_backbone`.
    Reference: Howard et al. 2017, table 1.
    """
    return _application(
        name,
        make=_with_width(keras.applications.MobileNet, name),
        module=keras.applications.mobilenet,
        blocks=MOBILENET_BLOCKS,
        image_size=image_size,
        weights=weights,
        pooling=pooling,
    )


def mobilenet_v2(name: str, *, image_size: ImageSize = None, weights: str = "none", pooling: str = "avg") -> Backbone:
    """MobileNetV2; blocks are the rows of the paper's table.

    Args and Raises: see `kft.models.make_backbone`.
    Reference: Sandler et al. 2018, table 2.
    """
    return _application(
        name,
        make=_with_width(keras.applications.MobileNetV2, name),
        module=keras.applications.mobilenet_v2,
        blocks=MOBILENET_V2_BLOCKS,
        image_size=image_size,
        weights=weights,
        pooling=pooling,
    )


def resnet(name: str, *, image_size: ImageSize = None, weights: str = "none", pooling: str = "avg") -> Backbone:
    """ResNet; blocks are conv1 to conv5_x of the paper.

    Args and Raises: see `kft.models.make_backbone`.
    Reference: He et al. 2015, table 1.
    """
    return _application(
        name,
        make=getattr(keras.applications, name.replace("resnet", "ResNet")),
        module=keras.applications.resnet,
        blocks=RESNET_BLOCKS,
        image_size=image_size,
        weights=weights,
        pooling=pooling,
    )


def resnet_v2(name: str, *, image_size: ImageSize = None, weights: str = "none", pooling: str = "avg") -> Backbone:
    """ResNet with pre-activation; blocks as for ResNet, the last BatchNorm belongs to the last.

    Args and Raises: see `kft.models.make_backbone`.
    Reference: He et al. 2016, section 4.
    """
    return _application(
        name,
        make=getattr(keras.applications, name.replace("resnet", "ResNet").replace("_v2", "V2")),
        module=keras.applications.resnet_v2,
        blocks=RESNET_V2_BLOCKS,
        image_size=image_size,
        weights=weights,
        pooling=pooling,
    )


def _with_width(make: Callable, name: str) -> Callable:
    width = re.search(r"_(\d\.\d+)$", name)
    alpha = float(width[1]) if width else 1.0
    return lambda **arguments: make(alpha=alpha, **arguments)


def _application(
    name: str,
    *,
    make: Callable,
    module: ModuleType,
    blocks: tuple[str, ...],
    image_size: ImageSize,
    weights: str,
    pooling: str,
    smallest: int = 32,
) -> Backbone:
    features = make_features(pooling)
    size = as_image_size(DEFAULT_IMAGE_SIZE if image_size is None else image_size, smallest=smallest)
    weights = "imagenet" if weights == "pretrained" else weights
    weights_files.check_source(weights)
    image = keras.Input((*size, 3), name="image")  # by name, as Keras numbers the inputs of one process
    arguments = {"include_top": False, "input_shape": (*size, 3), "input_tensor": image}
    if weights == "imagenet":
        model = _imagenet(make, name, arguments)
    else:
        model = make(weights=None, **arguments)
        if weights != "none":
            weights_files.load(model, weights, what=f"backbone {name!r}")
    _rename_unnamed(model)
    return Backbone(
        name=name,
        model=keras.Model(image, model.output, name=model.name),  # takes a tensor; Keras' own takes a list of one
        blocks=blocks,
        preprocess=lambda images: module.preprocess_input(tf.cast(images, tf.float32)),
        features=features,
        image_size=size,
    )


def _rename_unnamed(model: keras.Model) -> None:
    """Keras counts layers without a name through the process; here they count within the model."""
    for index, layer in enumerate(model.layers):
        if not layer.weights and re.fullmatch(r"max_pooling2d(_\d+)?", layer.name):
            layer.name = f"max_pooling_{index}"


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
        "weights (--backbone_weights=FILE)."
    )
