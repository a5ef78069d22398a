"""Every change of colours against Pillow's, on whole numbers."""

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageEnhance, ImageOps

from kft.data import colors


@pytest.fixture
def picture():
    """A dark picture with a gradient, so that stretching and equalising have something to do."""
    rows, columns = np.mgrid[0:40, 0:50]
    noise = np.random.default_rng(0).integers(0, 30, (40, 50, 3))
    return np.stack([rows * 3, columns * 2, 90 - rows], -1) // 1 + noise


def pillow(image, operation):
    return np.asarray(operation(Image.fromarray(image.astype(np.uint8))), np.float64)


@pytest.mark.parametrize("factor", [0.0, 0.3, 1.0, 1.7])
@pytest.mark.parametrize("name, enhancer", [
    ("brightness", ImageEnhance.Brightness), ("contrast", ImageEnhance.Contrast),
    ("saturation", ImageEnhance.Color), ("sharpness", ImageEnhance.Sharpness),
])  # fmt: skip
def test_enhancements_are_pillows(picture, name, enhancer, factor):
    got = getattr(colors, name)(tf.constant(picture, tf.float32), factor).numpy()
    np.testing.assert_allclose(got, pillow(picture, lambda image: enhancer(image).enhance(factor)), atol=1.51)
    assert got.min() >= 0 and got.max() <= 255


@pytest.mark.parametrize("name, operation, atol", [
    ("auto_contrast", ImageOps.autocontrast, 1.01),
    ("equalize", ImageOps.equalize, 0),
])  # fmt: skip
def test_what_goes_by_the_histogram_is_pillows(picture, name, operation, atol):
    got = getattr(colors, name)(tf.constant(picture, tf.float32)).numpy()
    np.testing.assert_allclose(got, pillow(picture, operation), atol=atol)
    assert np.abs(got - picture).max() > 20


@pytest.mark.parametrize("threshold", [0, 60, 256])
def test_solarize_is_pillows(picture, threshold):
    got = colors.solarize(tf.constant(picture, tf.float32), threshold)
    np.testing.assert_array_equal(got, pillow(picture, lambda image: ImageOps.solarize(image, threshold)))


@pytest.mark.parametrize("bits", [4, 6, 8])
def test_posterize_is_pillows(picture, bits):
    got = colors.posterize(tf.constant(picture, tf.float32), bits)
    np.testing.assert_array_equal(got, pillow(picture, lambda image: ImageOps.posterize(image, bits)))


@pytest.mark.parametrize("name", ["auto_contrast", "equalize"])
@pytest.mark.parametrize("value", [0.0, 77.0, 255.0])
def test_a_single_value_stays(name, value):
    image = tf.fill((5, 5, 3), value)
    np.testing.assert_array_equal(getattr(colors, name)(image), image)


def test_jitter_is_within_its_strength_and_none_at_0(picture):
    image = tf.constant(picture, tf.float32)
    np.testing.assert_allclose(colors.jitter(image, tf.constant([1, 2], tf.int64), strength=0.0, hue_shift=0.0), image)
    grey = tf.fill((4, 4, 1), 100.0)
    seeds = tf.stack([tf.zeros((300,), tf.int64), tf.range(300, dtype=tf.int64)], 1)
    of = tf.function(
        lambda: tf.map_fn(
            lambda seed: colors.jitter(grey, seed, strength=0.2, hue_shift=0.1), seeds, fn_output_signature=tf.float32
        )
    )
    values = of().numpy()[:, 0, 0, 0]
    assert 80 <= values.min() < 85 and 115 < values.max() <= 120.001


def test_hue_turns_and_keeps_the_value():
    """From 60 to 300 degrees around red; the brightest of red, green and blue is as bright as before."""
    red = tf.constant([[[200.0, 0.0, 0.0]]])
    hues = set()
    for example in range(20):
        seed = tf.constant([0, example], tf.int64)
        turned = colors.jitter(red, seed, strength=0.0, hue_shift=1 / 6).numpy()[0, 0]
        assert turned.max() == pytest.approx(200, abs=0.1) and turned.min() == pytest.approx(0, abs=0.1)
        assert turned.argmax() == 0
        hues.add(int(turned[1] - turned[2]))
    assert min(hues) < -60 and max(hues) > 60
