import numpy as np
import pytest
import tensorflow as tf
from scipy import ndimage

from kft.data import rand_augment

SIDE = 24


@pytest.fixture
def image():
    return np.random.default_rng(0).integers(0, 256, (SIDE, SIDE + 6, 3)).astype(np.float32)


def moved(image, matrix, shift=(0.0, 0.0)):
    """The image at matrix @ (row, column) + shift, counted from the middle; bilinear, 128 outside."""
    middle = (np.array(image.shape[:2]) - 1) / 2
    offset = middle + shift - np.array(matrix) @ middle
    return np.stack(
        [
            ndimage.affine_transform(
                image[..., channel].astype(np.float64), matrix, offset, order=1, mode="grid-constant", cval=128
            )
            for channel in range(image.shape[-1])
        ],
        -1,
    )


@pytest.mark.parametrize("level", [-0.8, 0.5])
@pytest.mark.parametrize("name", ["rotate", "shear_x", "shear_y", "translate_x", "translate_y"])
def test_movements_are_scipys(image, name, level):
    angle = np.deg2rad(30 * level)
    matrix, shift = {
        "rotate": ([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]], (0, 0)),
        "shear_x": ([[1, 0], [0.3 * level, 1]], (0, 0)),
        "shear_y": ([[1, 0.3 * level], [0, 1]], (0, 0)),
        "translate_x": (np.eye(2), (0, 150 / 331 * level * (SIDE + 6))),
        "translate_y": (np.eye(2), (150 / 331 * level * SIDE, 0)),
    }[name]
    got = rand_augment.OPERATIONS[name](tf.constant(image), tf.constant(level)).numpy()
    np.testing.assert_allclose(got, moved(image, matrix, shift), atol=0.02)
    assert np.abs(got - image).mean() > 10


@pytest.mark.parametrize("name", rand_augment.OPERATIONS)
@pytest.mark.parametrize("level", [-1.0, 0.0, 1.0])
def test_pictures_stay_pictures_and_level_0_changes_little(image, name, level):
    got = rand_augment.OPERATIONS[name](tf.constant(image), tf.constant(level)).numpy()
    assert got.shape == image.shape and got.dtype == np.float32
    assert np.isfinite(got).all() and got.min() >= 0 and got.max() <= 255
    if level == 0 and name not in ("auto_contrast", "equalize"):
        np.testing.assert_allclose(got, image, atol=1e-3)


def test_each_operation_is_drawn_about_as_often():
    """Of a picture of its own, what comes out tells which operation it was; of two, each position draws anew."""
    image = tf.constant(np.random.default_rng(1).integers(20, 200, (20, 20, 3)).astype(np.float32))
    names, kinds = [], []
    for name, operation in rand_augment.OPERATIONS.items():
        for level in (-0.5, 0.5):
            names.append(name)
            kinds.append(operation(image, tf.constant(level)).numpy())
    seeds = tf.stack([tf.zeros((1400,), tf.int64), tf.range(1400, dtype=tf.int64)], 1)
    once = tf.function(
        lambda: tf.map_fn(
            lambda seed: rand_augment.rand_augment(image, seed, num_operations=1, magnitude=5.0),
            seeds,
            fn_output_signature=tf.float32,
        )
    )
    distances = np.abs(once().numpy()[:, None] - np.stack(kinds)).max((2, 3, 4))
    assert distances.min(1).max() < 0.1 < np.sort(distances, 1)[:, 2].min()
    found = [names[nearest] for nearest in distances.argmin(1)]
    counts = np.array([found.count(name) for name in rand_augment.OPERATIONS])
    assert (np.abs(counts - 100) < 4 * np.sqrt(100)).all(), counts


def test_grey_images():
    image = tf.fill((6, 6, 1), 90.0)
    for example in range(12):
        got = rand_augment.rand_augment(image, tf.constant([0, example], tf.int64), num_operations=2, magnitude=9.0)
        assert got.shape == (6, 6, 1)
