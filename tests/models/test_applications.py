"""The models of keras.applications: each name is its model, and a file gives what Keras loads."""

import importlib
import inspect

import h5py
import keras
import numpy as np
import pytest

from kft import errors, tables
from kft.models import application_table, make_backbone, names
from kft.models.application_table import APPLICATIONS, STAGES

# All models of keras.applications, as its documentation lists them.
MODELS = {
    *("MobileNet", "MobileNetV2", "MobileNetV3Small", "MobileNetV3Large", "VGG16", "VGG19", "Xception"),
    *("InceptionV3", "InceptionResNetV2", "NASNetMobile", "NASNetLarge"),
    *(f"ResNet{depth}{version}" for depth in (50, 101, 152) for version in ("", "V2")),
    *(f"DenseNet{depth}" for depth in (121, 169, 201)),
    *(f"EfficientNetB{size}" for size in range(8)),
    *(f"EfficientNetV2{size}" for size in ("B0", "B1", "B2", "B3", "S", "M", "L")),
    *(f"ConvNeXt{size}" for size in ("Tiny", "Small", "Base", "Large", "XLarge")),
}


def test_the_table_has_every_model_and_stage():
    assert len(MODELS) == 40
    assert {row.make for row in APPLICATIONS.values()} == {f"keras.applications:{model}" for model in MODELS}
    assert {row.stages for row in APPLICATIONS.values()} == set(STAGES)


@pytest.mark.parametrize("name", APPLICATIONS)
def test_every_name_calls_its_function_as_it_takes_it(name, monkeypatch):
    """The giants are not built: the function is replaced by one that notes its arguments."""
    row = APPLICATIONS[name]
    function = tables.load_place(row.make)

    class Stop(Exception):
        pass

    def noted(**arguments):
        inspect.signature(function).bind(**arguments)
        raise Stop(arguments)

    monkeypatch.setattr(keras.applications, function.__name__, noted)
    with pytest.raises(Stop) as stopped:
        make_backbone(name)
    (arguments,) = stopped.value.args
    assert arguments["input_shape"] == (row.native, row.native, 3)
    assert not arguments["include_top"]
    assert arguments.get("alpha", 1.0) == float(name.split("_")[-1] if "." in name else 1.0)
    assert bool(arguments.get("minimalistic")) == name.endswith("minimalistic")
    plain = name.split("_0.")[0].split("_1.")[0].removesuffix("_minimalistic").replace("_", "")
    assert function.__name__.lower() == plain


@pytest.mark.slow
@pytest.mark.parametrize("name", {row.make: name for name, row in APPLICATIONS.items()}.values())
def test_blocks_cover_every_model(name):
    """`Backbone` refuses blocks that do not take every variable once; here the giants are built."""
    backbone = make_backbone(name, image_size=max(32, APPLICATIONS[name].smallest))
    assert len(backbone.blocks) == len(STAGES[APPLICATIONS[name].stages])
    keras.backend.clear_session()


def save_as_keras_2(model, path):
    """By layer name, with the names that variables had then."""
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = [layer.name.encode() for layer in model.layers]
        for layer in model.layers:
            group = file.create_group(layer.name)
            written = []
            for weight in layer.weights:
                folder, _, word = weight.path.rpartition("/")
                word = "depthwise_kernel" if isinstance(layer, keras.layers.DepthwiseConv2D) else word
                word = "Variable" if word.startswith("variable") else word
                written.append(f"{folder.rpartition('/')[2]}/{word}:0")
                value = weight.numpy()
                group[written[-1]] = value.astype("int32") if value.dtype.kind == "i" else value
            group.attrs["weight_names"] = [name.encode() for name in written]


@pytest.mark.parametrize(
    "name", ["inception_v3", "xception", "efficientnet_b0", "convnext_tiny", "mobilenet_v3_small_0.75"]
)
def test_a_file_gives_what_keras_loads(name, tmp_path, monkeypatch):
    """Its layers are numbered from another number on, as of a process that had made models before."""
    row = APPLICATIONS[name]
    size = max(32, row.smallest)
    make = tables.load_place(row.make)
    with names.counted_anew():
        keras.layers.Conv2D(1, 1), keras.layers.BatchNormalization(), keras.layers.BatchNormalization()
        theirs = make(weights=None, include_top=False, input_shape=(size, size, 3), **row.options)
    numbers = np.random.default_rng(0)
    for weight in theirs.weights:
        if weight.dtype == "float32":
            weight.assign(weight + numbers.uniform(0.01, 0.02, weight.shape))
    path = str(tmp_path / "weights_notop.h5")
    save_as_keras_2(theirs, path)
    module = importlib.import_module(make.__module__)
    monkeypatch.setattr(module.file_utils, "get_file", lambda *_, **__: path)
    keras_own = make(weights="imagenet", include_top=False, input_shape=(size, size, 3), **row.options)
    images = numbers.uniform(0, 255, (2, size, size, 3)).astype("float32")
    pooled = keras.ops.mean(keras_own(images), axis=(1, 2)) if not row.pools else None
    backbones = [make_backbone(name, image_size=size, weights=weights) for weights in (path, "imagenet")]
    for backbone in backbones:
        for weight, expected in zip(backbone.model.weights, keras_own.weights, strict=True):
            np.testing.assert_array_equal(weight.numpy(), expected.numpy(), err_msg=weight.path)
        if pooled is not None:
            features = keras.Model(backbone.model.input, backbone.features(backbone.model.output).pooled)
            np.testing.assert_allclose(features(images), pooled, rtol=1e-4, atol=1e-5)
    own = str(tmp_path / "own.weights.h5")
    backbones[0].model.save_weights(own)
    again = make_backbone(name, image_size=size, weights=own)
    for weight, expected in zip(again.model.weights, keras_own.weights, strict=True):
        np.testing.assert_array_equal(weight.numpy(), expected.numpy(), err_msg=weight.path)


def test_convnext_pools_before_its_last_norm():
    """As the paper does and as its weights were trained: the norm of the mean, not the mean of the norm."""
    backbone = make_backbone("convnext_tiny", image_size=64)
    norm = backbone.model.get_layer("top_layer_normalization_1")
    norm.gamma.assign(np.linspace(0.5, 1.5, 768))
    before = keras.Model(backbone.model.input, norm.input)
    images = np.random.default_rng(0).uniform(0, 255, (2, 64, 64, 3)).astype("float32")
    mean = before(images).numpy().astype("float64")
    expected = (mean - mean.mean(-1, keepdims=True)) / np.sqrt(mean.var(-1, keepdims=True) + 1e-6)
    assert mean.shape == (2, 768)
    features = backbone.features(backbone.model.output).pooled
    result = keras.Model(backbone.model.input, features)(images)
    np.testing.assert_allclose(result, expected * np.linspace(0.5, 1.5, 768), rtol=1e-4, atol=1e-4)
    maximum = make_backbone("convnext_tiny", image_size=64, pooling="max")
    assert any(isinstance(layer, keras.layers.GlobalMaxPooling2D) for layer in maximum.model.layers)


def test_efficientnet_scales_as_its_weights_were_trained_also_without_them():
    backbone = make_backbone("efficientnet_b0", image_size=32)
    scale = backbone.model.get_layer("efficientnet_rescaling_2")
    images = np.random.default_rng(0).uniform(0, 255, (1, 32, 32, 3)).astype("float32")
    result = keras.Model(backbone.model.input, scale.output)(images)
    np.testing.assert_allclose(result, images / 255 / np.sqrt([0.229, 0.224, 0.225]), rtol=1e-5)


def test_layers_of_the_user_go_beside_those_that_keras_numbered():
    backbone = make_backbone("inception_v3", image_size=75)
    x = keras.layers.Conv2D(4, 1)(backbone.model.output)
    x = keras.layers.BatchNormalization()(x)
    x = keras.layers.Activation("relu")(x)
    keras.Model(backbone.model.input, x)


def test_the_error_of_a_size_says_what_is_usual():
    with pytest.raises(errors.InputError, match="at least 75. Use 299"):
        make_backbone("inception_resnet_v2", image_size=64)


def test_the_table_imports_no_tensorflow():
    source = inspect.getsource(application_table)
    assert "import keras" not in source
    assert "tensorflow as" not in source
