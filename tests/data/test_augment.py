import numpy as np
import pytest
import tensorflow as tf

from kft import errors
from kft.data import augment


def for_1000_seeds(function, *types):
    """What a function of the seed gives for 1,000 examples."""
    seeds = tf.stack([tf.fill((1000,), tf.constant(5, tf.int64)), tf.range(1000, dtype=tf.int64)], 1)
    results = tf.function(lambda: tf.map_fn(function, seeds, fn_output_signature=types))()
    return tuple(result.numpy() for result in results)


def test_names():
    assert augment.parse("none") == ()
    assert augment.parse("crop, flip") == ("crop", "flip")
    with pytest.raises(errors.InputError, match="Did you mean 'flip'"):
        augment.parse("flipp")
    with pytest.raises(errors.InputError, match="'none' alone"):
        augment.parse("none,flip")


def test_half_of_the_images_are_mirrored_and_none_changed_otherwise():
    image = tf.constant(np.random.default_rng(0).random((3, 4, 1)), tf.float32)
    (flipped,) = for_1000_seeds(lambda seed: (augment.flip(image, seed),), tf.float32)
    mirrored = np.array([np.array_equal(one, image[:, ::-1]) for one in flipped])
    same = np.array([np.array_equal(one, image) for one in flipped])
    assert (mirrored ^ same).all()
    assert abs(mirrored.mean() - 0.5) < 4 * 0.5 / np.sqrt(1000)


def test_boxes_keep_to_their_ranges_and_reach_every_corner():
    height, width = 400, 500
    begin, size = for_1000_seeds(lambda seed: augment.crop_box(tf.constant([height, width]), seed), tf.int32, tf.int32)
    assert (begin >= 0).all() and (begin + size <= [height, width]).all()
    areas = size.prod(1) / (height * width)
    aspects = size[:, 1] / size[:, 0]
    assert areas.min() > 0.34 and areas.max() > 0.9
    assert areas.min() < 0.4
    assert aspects.min() > 0.74 and aspects.max() < 1.35
    assert (begin.min(0) < 5).all()
    assert ((begin + size).max(0) > [height - 5, width - 5]).all()


def test_operations_draw_from_branches_of_their_own():
    """Whether an image is mirrored says nothing about where it is cropped."""
    image = tf.constant([[[0.0], [1.0]]])
    mirrored, left = for_1000_seeds(
        lambda seed: (augment.flip(image, seed)[0, 0, 0], augment.crop_box(tf.constant([100, 100]), seed)[0][1]),
        tf.float32,
        tf.int32,
    )
    assert abs(np.corrcoef(mirrored, left)[0, 1]) < 4 / np.sqrt(1000)


def test_options_are_checked():
    assert augment.check_options(("crop",), {"crop_area": 0.2}) == {
        option: default for option, (_, default, _, _) in augment.OPTIONS.items()
    } | {"crop_area": 0.2}
    for names, options, message in (
        (("crop",), {"crop_aera": 0.2}, "Did you mean 'crop_area'"),
        (("crop",), {"magnitude": 5}, "Expected it with 'randaugment'"),
        (("randaugment",), {"magnitude": 11}, r"\[0.0, 10.0\]"),
        (("randaugment",), {"num_operations": 1.5}, "a whole number"),
        (("color",), {"color_strength": "much"}, "a number"),
    ):
        with pytest.raises(errors.InputError, match=message):
            augment.check_options(names, options)


@pytest.mark.parametrize("name", ["flip", "randaugment", "color", "erasing"])
@pytest.mark.parametrize("channels", [1, 3])
def test_pictures_stay_valid_and_differ_by_seed(name, channels):
    image = tf.constant(np.random.default_rng(0).integers(0, 256, (8, 9, channels)), tf.float32)
    options = augment.check_options((name,), {"erasing_probability": 1.0} if name == "erasing" else {})
    (operation,) = augment.operations((name,), options)
    seen = set()
    for example in range(6):
        for key in (1, 2):
            seed = tf.constant([key, example], tf.int64)
            got = operation(image, seed).numpy()
            np.testing.assert_array_equal(got, operation(image, seed))
            assert got.shape == image.shape and got.min() >= 0 and got.max() <= 255
            seen.add(got.tobytes())
    assert len(seen) > (1 if name == "flip" else 6)
