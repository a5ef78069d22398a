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

from kft import errors, optimizers, tables, tasks, training
from kft.models import HEAD_BLOCK, custom_backbone, make_backbone, weights
from kft.models.application_table import APPLICATIONS
from kft.models.backbone import make_features

SIZE = (64, 32)
# name: last channels, blocks. The smallest of each family.
FAMILIES = {
    "mobilenet_0.25": (256, 6),
    "mobilenet_v2_0.35": (1280, 9),
    "mobilenet_v3_small_0.75": (432, 7),
    "mobilenet_v3_large_0.75": (720, 8),
    "resnet50": (2048, 5),
    "resnet50_v2": (2048, 5),
    "vgg16": (512, 5),
    "xception": (2048, 14),
    "inception_v3": (2048, 12),
    "densenet121": (1024, 5),
    "nasnet_mobile": (1056, 8),
    "efficientnet_b0": (1280, 9),
    "efficientnet_v2_b0": (1280, 8),
    "convnext_tiny": (768, 5),
}
SIZES = {"xception": (96, 71), "inception_v3": (96, 75)}  # the smallest that they take
MEMBERS = [*FAMILIES, "custom"]


def make_custom():
    inputs = keras.Input((*SIZE, 3), name="photo")
    x = keras.layers.Conv2D(4, 3, strides=32, padding="same", name="first")(inputs)
    x = keras.layers.BatchNormalization(name="norm")(x)
    x = keras.layers.Conv2D(6, 1, name="second")(x)
    return custom_backbone(keras.Model(inputs, x))


@functools.cache
def member(name, copy=0):
    if name == "custom":
        return make_custom()
    keras.layers.Conv2D(2, 1)  # so that what Keras counts is at another number
    return make_backbone(name, image_size=SIZES.get(name, SIZE))


def pixels(name, channels=3):
    size = SIZES.get(name, SIZE)
    return np.random.default_rng(0).integers(0, 256, (2, *size, channels)).astype("uint8")


@pytest.mark.parametrize("name", MEMBERS)
def test_blocks_take_every_variable_once_and_none_is_a_catch_all(name):
    backbone = member(name)
    for variable in backbone.model.weights:
        assert sum(bool(re.fullmatch(block, variable.path)) for block in backbone.blocks) == 1, variable.path
    for block in backbone.blocks:
        for stranger in ("head/kernel", "head_hidden/bias", "head_hidden_2/bias", "stranger/kernel"):
            assert not re.fullmatch(block, stranger)
    assert len(backbone.blocks) == FAMILIES.get(name, (6, 3))[1]


@pytest.mark.parametrize("name", MEMBERS)
def test_blocks_go_from_bottom_to_top(name):
    backbone = member(name)
    layers = [layer for layer in backbone.model.layers if layer.weights]
    places = [
        [place for place, layer in enumerate(layers) if re.fullmatch(block, layer.weights[0].path)]
        for block in backbone.blocks
    ]
    for below, above in itertools.pairwise(places):
        if name.startswith("nasnet"):  # whose cells also look at the one before the last
            assert np.median(below) < np.median(above)
        else:
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
@pytest.mark.parametrize("name", [name for name in MEMBERS if name != "convnext_tiny"])
def test_features_are_pooled_over_height_and_width(name, pooling):
    backbone = dataclasses.replace(member(name), features=make_features(pooling))
    features = backbone.features(backbone.model.output)
    assert features.sequence is None
    assert features.pooled.shape == (None, FAMILIES.get(name, (6,))[0])
    images = np.random.default_rng(0).uniform(-1, 1, (2, *SIZES.get(name, SIZE), 3)).astype("float32")
    outputs, pooled = keras.Model(backbone.model.input, [backbone.model.output, features.pooled])(images)
    reduce = {"avg": np.mean, "max": np.max}[pooling]
    np.testing.assert_allclose(pooled, reduce(outputs.numpy().astype("float64"), axis=(1, 2)), rtol=1e-4, atol=1e-6)


# What the weights were trained with, written out; `inside` is the model's own.
NORMALIZED = {
    "caffe": lambda x: x[..., ::-1] - [103.939, 116.779, 123.68],
    "tf": lambda x: x / 127.5 - 1,
    "torch": lambda x: (x / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225],
    "inside": lambda x: x,
}


@pytest.mark.parametrize("name", FAMILIES)
def test_preprocessing_is_that_of_the_pretrained_weights(name):
    backbone, images = member(name), pixels(name)
    (batch,) = list(tf.data.Dataset.from_tensors(images).map(backbone.preprocess))
    assert batch.dtype == tf.float32
    row = APPLICATIONS[name]
    np.testing.assert_allclose(batch, NORMALIZED[row.preprocessing](images.astype("float64")), atol=2e-5)
    module = sys.modules[tables.load_place(row.make).__module__]
    np.testing.assert_allclose(batch, module.preprocess_input(images.astype("float32")), atol=2e-5)


@pytest.mark.parametrize("name", ["resnet50", "densenet121", "efficientnet_b0"])
def test_grey_is_repeated_and_other_channels_are_refused(name):
    backbone, images = member(name), pixels(name, channels=1)
    grey = backbone.preprocess(images)
    np.testing.assert_array_equal(grey, backbone.preprocess(np.repeat(images, 3, axis=-1)))
    with pytest.raises(errors.InputError, match="4 channels.*Drop alpha.*image_channels=4"):
        backbone.preprocess(pixels(name, channels=4))


@pytest.mark.parametrize("name", FAMILIES)
def test_one_step_moves_what_trains_and_nothing_else(name):
    backbone = member(name)
    task = tasks.make_task("image_classification", label_names=("a", "b"))
    model = training.build_model(backbone, task)
    before = {v.path: v.numpy() for v in model.weights}
    model.set_trainable([backbone.blocks[-1], HEAD_BLOCK])
    # Random features are small and alike: one label, so that gradients do not cancel, and steps of any gradient's size.
    adam = optimizers.make_optimizer("adam", learning_rate=1e-2, options={"epsilon": 1e-20})
    model.compile(adam, loss=task.loss, run_eagerly=True)
    model.fit(backbone.preprocess(pixels(name)), np.array([0, 0]), epochs=1, verbose=0)
    trained = {v.path for v in model.trainable_variables}
    assert trained > {"head/kernel", "head/bias"}
    for variable in model.weights:
        if variable.path in trained:
            assert (variable.numpy() != before[variable.path]).any(), variable.path
        else:
            np.testing.assert_array_equal(variable.numpy(), before[variable.path], err_msg=variable.path)
    for variable in model.weights:  # the model is shared
        variable.assign(before[variable.path])


@pytest.mark.parametrize("name", FAMILIES)
def test_too_small_images_are_refused(name):
    smallest = APPLICATIONS[name].smallest
    with pytest.raises(errors.InputError, match=f"at least {smallest}"):
        make_backbone(name, image_size=(96, smallest - 1))


def test_names_list_without_tensorflow():
    code = (
        "import sys, kft.models, kft.tasks; assert len(kft.models.BACKBONES) == 64; "
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
