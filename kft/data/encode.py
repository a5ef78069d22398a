"""From a raw image to the array that a model's preprocessing takes."""

from collections.abc import Callable

import tensorflow as tf

from kft import errors
from kft.data import augment

Encode = Callable[[dict[str, tf.Tensor], tf.Tensor], tf.Tensor]


def image_encoder(*, image_size: tuple[int, int], channels: int = 3, augmentation: str = "none") -> Encode:
    """Makes the graph function from one raw image and its seed to an array of one size.

        image = decode(raw), only the box of the random crop if "crop" is asked for
        image = turned after EXIF
        image = resized to image_size: the whole of it, bilinear, its aspect not kept
        image = mirrored with probability 1/2, if "flip" is asked for

    A JPEG at least 2, 4 or 8 times as large as asked for is decoded at 1/2, 1/4 or 1/8 of its size, which averages
    pixels and saves time; what is still at least twice as large is resized with antialiasing, the rest without. All
    of this depends on the file alone, so prediction sees the very pixels that training without augmentation sees.

    Args:
      image_size: (height, width) > 0, in pixels.
      channels: 3, or 1 for grey. Grey images are repeated to 3, colour is weighted to 1, alpha is dropped.
      augmentation: comma-separated subset of kft.data.augment.AUGMENTATIONS. A random crop is drawn before the image
        is turned.

    Returns: encode(raw, seed), with raw as in kft.data.Source and seed (2,) int64; (height, width, channels) float32
      with values 0 to 255, not rounded after resizing.
    Raises: InputError if an argument is out of range.
    """
    height, width = image_size
    if height < 1 or width < 1:
        raise errors.InputError(f"Got image_size={image_size!r}. Expected a height and width >= 1. Use (224, 224).")
    if channels not in (1, 3):
        raise errors.InputError(f"Got channels={channels!r}. Expected 1 or 3. Use 3 for a pretrained model.")
    operations = augment.parse(augmentation)

    def encode(raw: dict[str, tf.Tensor], seed: tf.Tensor) -> tf.Tensor:
        image = _pixels(raw, seed, image_size, channels, crop="crop" in operations)
        if "orientation" in raw:
            image = turn(image, raw["orientation"])
        image = _resize(image, image_size)
        if "flip" in operations:
            image = augment.flip(image, seed)
        image.set_shape((height, width, channels))
        return image

    return encode


def turn(image: tf.Tensor, orientation: tf.Tensor) -> tf.Tensor:
    """Turns stored pixels the way that EXIF says they are to be seen.

    Args:
      image: (height, width, channels).
      orientation: () int32: 1 as it is, 2 mirrored, 3 turned by 180 degrees, 4 upside down; 5 to 8 the same after
        exchanging rows and columns.

    Reference: CIPA DC-008 (EXIF 2.3), tag 0x0112.
    """

    def turned() -> tf.Tensor:
        swapped = tf.cond(orientation > 4, lambda: tf.transpose(image, (1, 0, 2)), lambda: image)
        kind = (orientation - 1) % 4
        vertical = tf.where(kind >= 2, -1, 1)
        horizontal = tf.where((kind == 1) | (kind == 2), -1, 1)
        return swapped[::vertical, ::horizontal]

    return tf.cond(orientation > 1, turned, lambda: image)


def _pixels(raw, seed, image_size, channels, *, crop):
    """Stored pixels, or the random box of them: (height, width, channels)."""
    if "image" in raw:
        image = _with_channels(raw["image"], channels)
        if crop:
            shape = tf.shape(image)
            image = _slice(image, *augment.crop_box(shape[0], shape[1], seed))
        return image
    contents, header = raw["image_bytes"], raw["image_header"]
    size = header[:2]
    begin = tf.zeros((2,), tf.int32)
    if crop:
        begin, size = augment.crop_box(header[0], header[1], seed)

    def other() -> tf.Tensor:
        image = _with_channels(tf.io.decode_image(contents, expand_animations=False), channels)
        return _slice(image, begin, size) if crop else image

    wanted = tf.constant(image_size)
    if "orientation" in raw:
        wanted = tf.where(raw["orientation"] > 4, wanted[::-1], wanted)
    times = tf.reduce_min(size // wanted)

    def jpeg(ratio: int) -> Callable[[], tf.Tensor]:
        def decode() -> tf.Tensor:
            if not crop:
                return tf.io.decode_jpeg(contents, channels=channels, ratio=ratio)
            window = tf.concat([begin // ratio, tf.maximum(size // ratio, 1)], 0)
            return tf.io.decode_and_crop_jpeg(contents, window, channels=channels, ratio=ratio)

        return decode

    is_jpeg = header[2] > 0
    branch = tf.where(is_jpeg, tf.reduce_sum(tf.cast(times >= tf.constant([2, 4, 8]), tf.int32)), 4)
    return tf.switch_case(branch, [jpeg(1), jpeg(2), jpeg(4), jpeg(8), other])


def _with_channels(image: tf.Tensor, channels: int) -> tf.Tensor:
    """Grey, grey with alpha, colour or colour with alpha -> the number of channels asked for."""
    red_green_blue = tf.where(tf.shape(image)[-1] >= 3, [0, 1, 2], [0, 0, 0])
    if image.shape[-1] == channels:
        return image
    image = tf.gather(image, red_green_blue, axis=-1)
    image.set_shape((None, None, 3))
    return image if channels == 3 else tf.image.rgb_to_grayscale(image)


def _slice(image, begin, size):
    return tf.slice(image, tf.concat([begin, [0]], 0), tf.concat([size, [-1]], 0))


def _resize(image: tf.Tensor, image_size: tuple[int, int]) -> tf.Tensor:
    large = tf.reduce_any(tf.shape(image)[:2] >= 2 * tf.constant(image_size))
    resized = tf.cond(
        large,
        lambda: tf.image.resize(image, image_size, antialias=True),
        lambda: tf.cast(tf.image.resize(image, image_size), tf.float32),
    )
    return resized
