"""Models with another number of channels than three: what they make of equal channels, of files, and what trains."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from kft import errors, optimizers, tasks, training
from kft.models import HEAD_BLOCK, first_convolution, make_backbone

MEAN, DEVIATION = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
# Of the families that normalize each channel in layers of their own: mean and deviation of red, green and blue, and of
# what is behind them, where mean, variance and factor are the means of the three. Pixels of 0 to 255.
INSIDE = {
    "efficientnet_b0": (MEAN, DEVIATION, DEVIATION.mean() ** 0.5 / (DEVIATION**-0.5).mean()),  # a variance and a factor
    "efficientnet_v2_b0": (MEAN, DEVIATION, (DEVIATION**2).mean() ** 0.5),
    "convnext_tiny": (MEAN, DEVIATION, (DEVIATION**2).mean() ** 0.5),
}
SLOW = ("vgg16", "inception_v3", "xception", "nasnet_mobile", "densenet121", "resnet50_v2", "mobilenet_v3_large_0.75")
NAMES = ("mobilenet_0.25", "mobilenet_v2_0.35", "mobilenet_v3_small_0.75", "resnet50", *INSIDE)
SIZES = {"inception_v3": 75, "xception": 71}


def raw_of(name, normalized, num_channels):
    """Pixels of which the model's own layers make the same numbers in each channel: (batch, side, side, channels)."""
    if name not in INSIDE:
        return np.repeat(normalized[..., None], num_channels, -1).astype("float32")
    mean, deviation, further = INSIDE[name]
    own = 3 if num_channels >= 3 else 0
    mean = np.array([*mean[:own], *[mean.mean()] * (num_channels - own)])
    deviation = np.array([*deviation[:own], *[further] * (num_channels - own)])
    return (255 * (normalized[..., None] * deviation + mean)).astype("float32")


@pytest.mark.parametrize("name", [*NAMES, *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW)])
def test_equal_channels_give_what_three_gave(name):
    backbone = make_backbone(name, image_size=SIZES.get(name, 32))
    if name == "efficientnet_b0":  # as Keras' files have it
        backbone.model.get_layer("stem_normalization_1").set_weights([MEAN, DEVIATION, np.int32(0)])
    normalized = np.random.default_rng(0).uniform(-1, 1, (2, *backbone.image_size))
    expected = backbone.model(raw_of(name, normalized, 3)).numpy()
    for num_channels in (1, 4):
        wider = first_convolution.made_anew(backbone.model, num_channels)
        first_convolution.adapt(wider, backbone.model)
        assert wider.input.shape[-1] == num_channels
        np.testing.assert_allclose(
            wider(raw_of(name, normalized, num_channels)), expected, rtol=1e-3, atol=1e-4 * np.abs(expected).max()
        )
        assert [weight.path for weight in wider.weights] == [weight.path for weight in backbone.model.weights]


def test_the_kernel_keeps_red_green_and_blue():
    kernel = np.random.default_rng(0).normal(size=(3, 3, 3, 8))
    five = first_convolution.adapted_kernel(kernel, 5)
    np.testing.assert_allclose(five[:, :, :3], 0.6 * kernel)
    for channel in (3, 4):
        np.testing.assert_allclose(five[:, :, channel], 0.2 * kernel.sum(2))
    np.testing.assert_array_equal(first_convolution.adapted_kernel(kernel, 3), kernel)
    np.testing.assert_allclose(first_convolution.adapted_kernel(kernel, 1)[:, :, 0], kernel.sum(2))
    np.testing.assert_allclose(first_convolution.adapted_kernel(kernel, 2), np.stack([kernel.sum(2) / 2] * 2, 2))


def test_preprocessing_of_further_channels_is_the_mean():
    images = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 5)).astype("uint8")
    red, green, blue, *more = np.moveaxis(images.astype("float64"), -1, 0)
    caffe = np.stack([blue - 103.939, green - 116.779, red - 123.68, *(x - 344.398 / 3 for x in more)], -1)
    torch = (images / 255 - [*MEAN, MEAN.mean(), MEAN.mean()]) / [*DEVIATION, DEVIATION.mean(), DEVIATION.mean()]
    for name, expected in (
        ("vgg16", caffe), ("densenet121", torch), ("mobilenet_0.25", images / 127.5 - 1), ("efficientnet_b0", images),
    ):  # fmt: skip
        from kft.models.application_table import APPLICATIONS
        from kft.models.image_preprocessing import make_preprocess

        preprocess = make_preprocess(APPLICATIONS[name].preprocessing, name=name, num_channels=5)
        (batch,) = tf.data.Dataset.from_tensors(images).map(preprocess)
        assert batch.dtype == tf.float32
        np.testing.assert_allclose(batch, expected, atol=2e-5)
        with pytest.raises(errors.InputError, match="3 channels .*Expected 5.*image_channels=3"):
            preprocess(images[..., :3])


def test_files_of_three_channels_are_adapted_and_those_of_as_many_load_as_they_are(tmp_path):
    colour = make_backbone("mobilenet_0.25", image_size=32)
    numbers = np.random.default_rng(0)
    for weight in colour.model.weights:
        weight.assign(weight + numbers.uniform(0.01, 0.02, weight.shape))
    colour.model.save_weights(str(tmp_path / "colour.weights.h5"))
    adapted = make_backbone("mobilenet_0.25", image_size=32, image_channels=4, weights=tmp_path / "colour.weights.h5")
    for weight, expected in zip(adapted.model.weights, colour.model.weights, strict=True):
        expected = expected.numpy()
        if weight.path == "conv1/kernel":
            expected = first_convolution.adapted_kernel(expected, 4)
        np.testing.assert_array_equal(weight.numpy(), expected, err_msg=weight.path)
    first = adapted.model.get_layer("conv1")
    first.kernel.assign(numbers.normal(size=first.kernel.shape))
    adapted.model.save_weights(str(tmp_path / "four.weights.h5"))
    again = make_backbone("mobilenet_0.25", image_size=32, image_channels=4, weights=tmp_path / "four.weights.h5")
    for weight, expected in zip(again.model.weights, adapted.model.weights, strict=True):
        np.testing.assert_array_equal(weight.numpy(), expected.numpy(), err_msg=weight.path)
    with pytest.raises(errors.InputError, match="do not fit backbone 'mobilenet_0.25'"):
        make_backbone("mobilenet_0.25", image_size=32, image_channels=5, weights=tmp_path / "four.weights.h5")


def test_normalization_computes_with_the_weights_that_it_has():
    """As after a checkpoint of another process; Keras' own layer goes on with what they were when it was made."""
    model = make_backbone("efficientnet_b0", image_size=32).model
    layer = model.get_layer("stem_normalization_1")
    images = np.random.default_rng(0).uniform(0, 255, (2, 32, 32, 3)).astype("float32")
    normalize = tf.function(keras.Model(model.input, layer.output))
    for mean, variance in ((np.zeros(3), np.ones(3)), (MEAN, DEVIATION)):
        layer.adapt_mean.assign(mean)
        layer.adapt_variance.assign(variance)
        np.testing.assert_allclose(normalize(images), (images / 255 - mean) / np.sqrt(variance), rtol=1e-5, atol=1e-5)


def test_random_weights_are_random_in_every_channel():
    kernel = make_backbone("mobilenet_0.25", image_size=32, image_channels=6).model.get_layer("conv1").kernel.numpy()
    assert kernel.shape[2] == 6 and np.ptp(kernel[:, :, 3:], axis=2).min() > 0


@pytest.mark.parametrize("frozen", [True, False])
def test_the_new_convolution_belongs_to_the_lowest_block(frozen):
    backbone = make_backbone("mobilenet_0.25", image_size=32, image_channels=4)
    model = training.build_model(backbone, tasks.make_task("image_classification", label_names=("a", "b")))
    kernel = next(weight for weight in model.weights if weight.path == "conv1/kernel")
    before = kernel.numpy()
    model.set_trainable([*(() if frozen else backbone.blocks[:1]), HEAD_BLOCK])
    model.compile(
        optimizers.make_optimizer("adam", learning_rate=1e-2, options={"epsilon": 1e-20}),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        run_eagerly=True,
    )
    images = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 4)).astype("uint8")
    model.fit(backbone.preprocess(images), np.array([0, 0]), verbose=0)
    assert (kernel.numpy() == before).all() == frozen


@pytest.mark.parametrize(
    ("name", "channels", "words"),
    [
        ("mobilenet_0.25", 0, "image_channels=0. Expected a whole number"),
        ("bert_tiny_random", 4, "reads text"),
        ("python:tests.run.tiny_models:make@features", 4, "image_channels=4 .*Build the model for these channels"),
    ],
)
def test_channels_that_cannot_be(name, channels, words):
    with pytest.raises(errors.InputError, match=words):
        make_backbone(name, image_channels=channels)
