"""What every backbone must do, over the smallest member of each family and a model of the user's own."""

import dataclasses
import functools
import itertools
import re
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from kft import errors
from kft.models import BACKBONES, custom_backbone, make_backbone, weights
from kft.models.backbone import make_features

SIZE = (64, 32)
WIDTHS = {"mobilenet_0.25": 256, "mobilenet_v2_0.35": 1280, "resnet50": 2048, "resnet50_v2": 2048}  # last channels
NUM_BLOCKS = {"mobilenet_0.25": 6, "mobilenet_v2_0.35": 9, "resnet50": 5, "resnet50_v2": 5}
MEMBERS = [*WIDTHS, "custom"]


def make_custom():
    inputs = keras.Input((*SIZE, 3), name="photo")
    x = keras.layers.Conv2D(4, 3, strides=32, padding="same", name="first")(inputs)
    x = keras.layers.BatchNormalization(name="norm")(x)
    x = keras.layers.Conv2D(6, 1, name="second")(x)
    return custom_backbone(keras.Model(inputs, x))


@functools.cache
def member(name, copy=0):
    return make_custom() if name == "custom" else make_backbone(name, image_size=SIZE)


@pytest.mark.parametrize("name", MEMBERS)
def test_blocks_take_every_variable_once_and_none_is_a_catch_all(name):
    backbone = member(name)
    for variable in backbone.model.variables:
        assert sum(bool(re.fullmatch(block, variable.path)) for block in backbone.blocks) == 1, variable.path
    for block in backbone.blocks:
        for stranger in ("head/kernel", "head_hidden/bias", "stranger/kernel"):
            assert not re.fullmatch(block, stranger)
    assert len(backbone.blocks) == NUM_BLOCKS.get(name, 3)


@pytest.mark.parametrize("name", MEMBERS)
def test_blocks_go_from_bottom_to_top(name):
    backbone = member(name)
    layers = [layer for layer in backbone.model.layers if layer.weights]
    places = [
        [place for place, layer in enumerate(layers) if re.fullmatch(block, layer.weights[0].path)]
        for block in backbone.blocks
    ]
    for below, above in itertools.pairwise(places):
        assert max(below) < min(above)


@pytest.mark.parametrize("name", MEMBERS)
def test_second_copy_has_the_same_names_and_weights_round_trip(name, tmp_path):
    backbone, second = member(name), member(name, copy=1)
    assert [v.path for v in second.model.variables] == [v.path for v in backbone.model.variables]
    if name != "custom":  # whose other layers Keras numbers
        assert [layer.name for layer in second.model.layers] == [layer.name for layer in backbone.model.layers]
    file = str(tmp_path / "saved.weights.h5")
    backbone.model.save_weights(file)
    weights.load(second.model, file, what=name)
    for weight, expected in zip(second.model.weights, backbone.model.weights):
        np.testing.assert_array_equal(weight.numpy(), expected.numpy())


@pytest.mark.parametrize("pooling", ["avg", "max"])
@pytest.mark.parametrize("name", MEMBERS)
def test_features_are_pooled_over_height_and_width(name, pooling):
    backbone = dataclasses.replace(member(name), features=make_features(pooling))
    features = backbone.features(backbone.model.output)
    assert features.sequence is None
    assert features.pooled.shape == (None, WIDTHS.get(name, 6))
    images = np.random.default_rng(0).uniform(-1, 1, (2, *SIZE, 3)).astype("float32")
    outputs, pooled = keras.Model(backbone.model.input, [backbone.model.output, features.pooled])(images)
    assert outputs.shape[1:3] == (2, 1)
    reduce = {"avg": np.mean, "max": np.max}[pooling]
    np.testing.assert_allclose(pooled, reduce(outputs.numpy().astype("float64"), axis=(1, 2)), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", WIDTHS)
def test_preprocessing_is_that_of_the_pretrained_weights(name):
    backbone = member(name)
    pixels = np.random.default_rng(0).integers(0, 256, (2, 5, 4, 3)).astype("uint8")
    numbers = pixels.astype("float64")
    # Written out from the training of the weights: MobileNets and ResNet V2 in -1..1; ResNet in Caffe's way.
    expected = numbers[..., ::-1] - [103.939, 116.779, 123.68] if name == "resnet50" else numbers / 127.5 - 1
    dataset = tf.data.Dataset.from_tensors(pixels).map(backbone.preprocess)
    (batch,) = list(dataset)
    assert batch.dtype == tf.float32
    np.testing.assert_allclose(batch, expected, atol=2e-5)
    module = {"mobilenet_0.25": "mobilenet", "mobilenet_v2_0.35": "mobilenet_v2", "resnet50": "resnet"}
    keras_module = getattr(keras.applications, module.get(name, "resnet_v2"))
    np.testing.assert_allclose(batch, keras_module.preprocess_input(pixels.astype("float32")), atol=2e-5)


@pytest.mark.parametrize("name", WIDTHS)
def test_too_small_images_are_refused(name):
    with pytest.raises(errors.InputError, match="at least 32"):
        make_backbone(name, image_size=(64, 31))


@pytest.mark.parametrize("name", [name for name, place in BACKBONES.items() if "applications" in place])
def test_every_name_makes_its_keras_model(name, monkeypatch):
    class Stop(Exception):
        pass

    def record(what):
        def make(**arguments):
            raise Stop(what, arguments.get("alpha"))

        return make

    for model in ("MobileNet", "MobileNetV2", *(f"ResNet{n}{v}" for n in (50, 101, 152) for v in ("", "V2"))):
        monkeypatch.setattr(keras.applications, model, record(model))
    suffix = name.rpartition("_")[2]
    if name.startswith("mobilenet"):
        width = float(suffix) if "." in suffix else 1.0
        expected = ("MobileNetV2" if name.startswith("mobilenet_v2") else "MobileNet", width)
    else:
        expected = (name.replace("resnet", "ResNet").replace("_v2", "V2"), None)
    with pytest.raises(Stop) as stopped:
        make_backbone(name)
    assert stopped.value.args == expected


def test_names_list_without_tensorflow():
    code = (
        "import sys, kft.models, kft.tasks; assert len(kft.models.BACKBONES) == 26; "
        "assert not {'tensorflow', 'keras'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_near_names_are_told():
    with pytest.raises(errors.InputError, match="Did you mean 'resnet50'"):
        make_backbone("resnet5O")
    with pytest.raises(errors.InputError, match="Did you mean 'avg'"):
        make_backbone("mobilenet", pooling="avgg")


@pytest.mark.parametrize(
    ("blocks", "problem"),
    [
        ((".*",), "also take the head"),
        (("first/.*", "norm/.*"), "'second/kernel' in 0 blocks"),
        (("first/.*", "norm/.*", "second/.*", "(norm|second)/.*"), "'norm/gamma' in 2 blocks"),
        (("first/.*", "norm/.*", "second/.*", "third/.*"), "takes no variable"),
    ],
)
def test_blocks_that_do_not_cover_are_refused(blocks, problem):
    with pytest.raises(errors.InputError, match=problem):
        custom_backbone(member("custom").model, blocks=blocks)
