"""From a raw image to the array that a model's preprocessing takes."""

from collections.abc import Callable, Mapping

import numpy as np
import tensorflow as tf

from kft import errors
from kft.data import augment, colors
from kft.data.source import Source

# At which JPEGs can be decoded: 1 / 1 to 1 / 8.
_SCALES = (1, 2, 4, 8)
# Pixels around a crop on which the colours at its edge depend.
_MARGIN = 16
Encode = Callable[[dict[str, tf.Tensor], tf.Tensor], tf.Tensor]


def image_encoder(
    *,
    image_size: tuple[int, int],
    channels: int = 3,
    augmentation: str = "none",
    augmentation_options: Mapping[str, float] | None = None,
) -> Encode:
    """Makes the graph function from one raw image and its seed to an array of one size.

        image = decode(raw), only the box of the random crop if "crop" is asked for
        image = resized to image_size: the whole of it, bilinear, its aspect not kept
        image = turned after EXIF
        image = changed at random by what is asked for of "flip", "randaugment", "color" and "erasing", in this order

    A JPEG whose sides are all at least 2, 4 or 8 times those asked for is decoded at 1/2, 1/4 or 1/8 of its size, which
    averages pixels and saves time. Whatever is still at least twice as large is resized with antialiasing, the rest
    without. All this depends on the file alone, so prediction sees the very pixels that training without augmentation
    sees.

    Args:
      image_size: (height, width) > 0, in pixels.
      channels: 3, to which grey images are repeated, and alpha is dropped; 1 for grey, which colour becomes by
        0.299 red + 0.587 green + 0.114 blue; 4 of files: red, green, blue and alpha, 255 where a file has none. Arrays
        may have any other number, if it is their own.
      augmentation: comma-separated subset of kft.data.augment.AUGMENTATIONS. A random crop is drawn before the image
        is turned.
      augmentation_options: some of kft.data.augment.OPTIONS, such as {"magnitude": 5}.

    Returns: encode(raw, seed), with raw as in kft.data.Source and seed (2,) int64; (height, width, channels) float32
      with values 0 to 255, not rounded after resizing.
    Raises: InputError if an argument is out of range; when called, for images that do not have the channels.
    Reference: ITU-R BT.601 for grey.
    """
    height, width = image_size
    if height < 1 or width < 1:
        raise errors.InputError(f"Got image_size={image_size!r}. Expected a height and width >= 1. Use (224, 224).")
    if channels < 1:
        raise errors.InputError(f"Got channels={channels!r}. Expected a number >= 1. Use 3 for a pretrained model.")
    names = augment.parse(augmentation)
    options = augment.check_options(names, augmentation_options or {})
    operations = augment.operations(names, options)

    def encode(raw: dict[str, tf.Tensor], seed: tf.Tensor) -> tf.Tensor:
        box_of = (lambda size: augment.crop_box(size, seed, options["crop_area"])) if "crop" in names else None
        wanted = tf.constant(image_size)
        if "orientation" in raw:
            wanted = tf.where(raw["orientation"] > 4, wanted[::-1], wanted)
        if "image" in raw:
            given = raw["image"].shape[-1]
            check_array(given, channels)
            kept = channels if given == channels or channels not in (1, 3) else 3
            image = _resize(_crop(raw["image"], box_of), wanted)
            image = _colours(image, 3) if given != kept == 3 else image
            image = tf.ensure_shape(image, (None, None, kept))
        else:
            image = _decode(raw, image_size, wanted, box_of, of_file(channels))
        if channels == 1:
            image = colors.grey(image)
        if "orientation" in raw:
            image = turn(image, raw["orientation"])
        image.set_shape((height, width, channels))
        for operation in operations:
            image = operation(image, seed)
        return image

    return encode


def check_channels(source: Source, channels: int) -> None:
    """Checks that the images of a source can be had in so many channels, as the encoder does.

    Within tf.data what the encoder raises would become an error of another kind.

    Raises: InputError if they cannot.
    """
    load = tf.function(source.load).get_concrete_function(tf.TensorSpec((), tf.int64))
    if "image_bytes" in load.structured_outputs:
        of_file(channels)
    elif "image" in load.structured_outputs:
        check_array(load.structured_outputs["image"].shape[-1], channels)


def check_array(given: int | None, channels: int) -> None:
    """Raises InputError for an array whose channels are not, and cannot become, those of a model."""
    if given not in (None, channels) and not (channels in (1, 3) and given in (1, 3, 4)):
        raise errors.InputError(
            f"Got arrays of {given} channels for a model of {channels}. Expected as many. Use image_channels={given}."
        )


def of_file(channels: int) -> int:
    """How many channels of a file are read for a model with so many: 3, or 4 with alpha.

    Raises: InputError for a number that files do not have.
    """
    if channels not in (1, 3, 4):
        raise errors.InputError(
            f"Got image files for a model of {channels} channels. Expected 1 (grey), 3 (red, green, blue) or 4 (with "
            "alpha). Put the images into arrays ('arrays:FILE.npz'), or change image_channels."
        )
    return 4 if channels == 4 else 3


def decode_whole(raw: dict[str, tf.Tensor], channels: int = 3) -> tf.Tensor:
    """The stored pixels of an image file, at their own size and not turned: (height, width, channels) uint8."""
    contents = raw["image_bytes"]
    return tf.cond(
        raw["image_header"][2] > 0,
        lambda: _colours(tf.io.decode_jpeg(contents, channels=3), channels),
        lambda: _colours(tf.io.decode_image(contents, expand_animations=False), channels),
    )


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


def _decode(raw, image_size, wanted, box_of, channels) -> tf.Tensor:
    """A file, or the box of it that `box_of` gives for its size, resized: (*wanted, channels) float32."""
    contents, header = raw["image_bytes"], raw["image_header"]
    size = header[:2]
    if box_of is not None:
        begin, size = box_of(size)

    def jpeg(ratio: int) -> tf.Tensor:
        if box_of is None:
            return tf.io.decode_jpeg(contents, channels=3, ratio=ratio)
        first, end = begin // ratio, (begin + size) // ratio
        low, high = tf.maximum(first - _MARGIN, 0), tf.minimum(end + _MARGIN, -(-header[:2] // ratio))
        around = tf.io.decode_and_crop_jpeg(contents, tf.concat([low, high - low], 0), channels=3, ratio=ratio)
        return augment.slice_box(around, first - low, end - first)

    def other() -> tf.Tensor:
        image = tf.io.decode_image(contents, expand_animations=False)
        return image if box_of is None else augment.slice_box(image, begin, size)

    scales, others = _needed(raw, image_size)
    branches = [lambda ratio=ratio: _colours(_bilinear(jpeg(ratio), wanted), channels) for ratio in scales if ratio < 8]
    branches += [lambda: _colours(_resize(jpeg(8), wanted), channels)] * (8 in scales)
    branches += [lambda: _colours(_resize(other(), wanted), channels)] * others
    if len(branches) == 1:
        return branches[0]()
    times = tf.reduce_min(size // wanted)
    branch = sum((tf.cast(times >= ratio, tf.int32) for ratio in scales[1:]), tf.constant(0))
    return tf.switch_case(tf.where(header[2] > 0, branch, len(branches) - 1) if others else branch, branches)


def _needed(raw, image_size) -> tuple[tuple[int, ...], bool]:
    """The scales that some JPEG of the source is decoded at, and whether there may be other files than JPEG."""
    bounds = tf.get_static_value(tf.convert_to_tensor(raw["image_bounds"]))
    if bounds is None:
        return _SCALES, True
    largest, others = bounds[:2], bool(bounds[2])
    sizes = [np.array(image_size), np.array(image_size[::-1])][: 2 if "orientation" in raw else 1]
    times = max(int((largest // size).min()) for size in sizes)
    return tuple(ratio for ratio in _SCALES if ratio <= max(times, 1)), others


def _colours(image: tf.Tensor, channels: int) -> tf.Tensor:
    """Grey, grey with alpha, colour or colour with alpha -> red, green, blue and, of 4, alpha."""
    if image.shape[-1] == channels:
        return image
    given = tf.shape(image)[-1]
    colours = image
    if image.shape[-1] != 3:
        colours = tf.gather(image, tf.where(given >= 3, [0, 1, 2], [0, 0, 0]), axis=-1)
    if channels == 3:
        return colours
    alpha = tf.cond(given % 2 == 0, lambda: image[..., -1:], lambda: tf.zeros_like(image[..., -1:]) + 255)
    return tf.concat([colours, alpha], -1)


def _crop(image, box_of):
    return image if box_of is None else augment.slice_box(image, *box_of(tf.shape(image)[:2]))


def _resize(image: tf.Tensor, size: tf.Tensor) -> tf.Tensor:
    return tf.cond(
        tf.reduce_min(tf.shape(image)[:2] // size) >= 2,
        lambda: tf.image.resize(image, size, antialias=True),
        lambda: _bilinear(image, size),
    )


def _bilinear(image: tf.Tensor, size: tf.Tensor) -> tf.Tensor:
    return tf.cast(tf.image.resize(image, size), tf.float32)
