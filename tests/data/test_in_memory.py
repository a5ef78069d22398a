"""Images that are decoded once are, to the bit, what the encoder makes of their files."""

import numpy as np
import pytest
import tensorflow as tf

from kft import data, errors

SIZE = (16, 20)


@pytest.fixture
def mixed(tmp_path, noise, encoded):
    """A source of JPEG, PNG and GIF files of several sizes and modes, some of them to be turned."""
    for number, (form, size) in enumerate(
        [
            ("JPEG", (21, 33)),
            ("PNG", (40, 30)),
            ("JPEG", (38, 27)),
            ("GIF", (17, 20)),
            ("JPEG", (31, 31)),
            ("PNG", (9, 8)),
        ]
    ):
        image = noise(*size, number)
        exif = image.getexif()
        exif[0x0112] = 1 + number % 8
        options = {} if form == "GIF" else {"exif": exif}
        if number == 1:
            image.putalpha(99)
        if number == 5:
            image = image.convert("L")
        (tmp_path / f"{number}.img").write_bytes(encoded(image, form, **options))
    return data.image_files(sorted(map(str, tmp_path.glob("*.img"))))


def images(source, **options):
    encode = data.image_encoder(image_size=SIZE, **options)
    one = tf.function(lambda index: encode(source.load(index), tf.stack([tf.constant(7, tf.int64), index])))
    return np.stack([one(tf.constant(index, tf.int64)) for index in range(source.num_examples)])


@pytest.mark.parametrize("augmentation", ["none", "flip,erasing", "flip,crop"])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_what_the_encoder_makes_is_equal_to_the_bit(mixed, augmentation, channels):
    kept = data.in_memory(mixed, image_size=SIZE, channels=channels, augmentation=augmentation)
    assert kept.bytes > 0 and kept.source.load is not mixed.load, kept.reason
    options = {"augmentation": augmentation, "channels": channels}
    np.testing.assert_array_equal(images(kept.source, **options), images(mixed, **options))


def test_files_are_read_no_more(tmp_path, noise, encoded):
    (tmp_path / "1.jpg").write_bytes(encoded(noise(20, 20), "JPEG"))
    source = data.image_files([str(tmp_path)])
    for augmentation in ("none", "crop"):
        kept = data.in_memory(source, image_size=SIZE, augmentation=augmentation)
        expected = images(source, augmentation=augmentation)
        content = (tmp_path / "1.jpg").read_bytes()
        (tmp_path / "1.jpg").unlink()
        np.testing.assert_array_equal(images(kept.source, augmentation=augmentation), expected)
        (tmp_path / "1.jpg").write_bytes(content)


def test_what_is_left_as_it_is(tmp_path, noise, encoded):
    (tmp_path / "1.jpg").write_bytes(encoded(noise(32, 40), "JPEG"))
    source = data.image_files([str(tmp_path)])
    large = data.in_memory(source, image_size=SIZE, augmentation="crop")
    assert (large.source, large.bytes) == (source, 0) and "twice as large" in large.reason
    assert data.in_memory(source, image_size=SIZE).bytes == 16 * 20 * 3 * 4
    full = data.in_memory(source, image_size=SIZE, budget=16 * 20 * 3 * 4 - 1)
    assert full.source is source and "do not fit" in full.reason
    arrays = data.from_arrays(np.zeros((2, 3, 3), np.uint8), [0, 1])
    assert data.in_memory(arrays, image_size=SIZE).source is arrays
    with pytest.raises(errors.InputError, match="budget=-1"):
        data.in_memory(source, image_size=SIZE, budget=-1)


def test_flowers(test_data):
    source = data.subset(data.load(f"folder:{test_data}/flowers/val"), np.arange(0, 736, 23))
    kept = data.in_memory(source, image_size=(128, 128), augmentation="crop")
    assert kept.bytes
    encode = data.image_encoder(image_size=(128, 128), augmentation="crop")
    for index in map(tf.constant, range(0, source.num_examples, 4)):
        seed = tf.constant([1, 2], tf.int64)
        np.testing.assert_array_equal(
            encode(kept.source.load(tf.cast(index, tf.int64)), seed),
            encode(source.load(tf.cast(index, tf.int64)), seed),
        )
