import numpy as np
import pytest
import tensorflow as tf

from kft.data import erasing


def erased(count, **options):
    image = tf.fill((40, 60, 3), -1.0)
    seeds = tf.stack([tf.fill((count,), tf.constant(3, tf.int64)), tf.range(count, dtype=tf.int64)], 1)
    return tf.function(
        lambda: tf.map_fn(lambda seed: erasing.erase(image, seed, **options), seeds, fn_output_signature=tf.float32)
    )().numpy()


def test_a_box_of_noise_and_nothing_else_with_its_probability():
    images = erased(600, probability=0.25, most=0.33)
    changed = (images != -1).any((1, 2, 3))
    assert abs(changed.mean() - 0.25) < 4 * np.sqrt(0.25 * 0.75 / 600)
    areas, aspects = [], []
    for image in images[changed]:
        rows, columns = np.nonzero((image != -1).any(-1))
        box = image[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
        assert (box >= 0).all() and (box <= 255).all()
        assert (image != -1).sum() == box.size
        areas.append(box.shape[0] * box.shape[1] / 2400)
        aspects.append(box.shape[0] / box.shape[1])
        if box.size > 300:
            assert abs(box.mean() - 127.5) < 4 * 74 / np.sqrt(box.size)
    assert min(areas) > 0.01 and 0.25 < max(areas) < 0.36
    assert min(aspects) < 0.5 and max(aspects) > 1.9


def test_boxes_reach_every_corner_and_never_further():
    draws = np.stack(np.meshgrid(*[[0.0, 0.5, 0.999999]] * 4), -1).reshape(-1, 4).astype(np.float32)
    for one in draws:
        begin, size = (part.numpy() for part in erasing.box(tf.constant([40, 60]), tf.constant(one), 1.0))
        assert (begin >= 0).all() and (size >= 1).all() and (begin + size <= [40, 60]).all()
        if (one[2:] > 0.9).all():
            np.testing.assert_array_equal(begin + size, [40, 60])
        if (one[2:] == 0).all():
            np.testing.assert_array_equal(begin, 0)


@pytest.mark.parametrize("probability", [0.0, 1.0])
def test_never_and_always(probability):
    assert ((erased(20, probability=probability, most=0.1) != -1).any((1, 2, 3)) == bool(probability)).all()
