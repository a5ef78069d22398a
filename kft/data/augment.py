"""Augmentation of images, a function of (seed, epoch, example)."""

from collections.abc import Callable, Mapping

import tensorflow as tf

from kft import errors
from kft.data import colors, erasing, rand_augment

AUGMENTATIONS = ("none", "flip", "crop", "color", "randaugment", "erasing")
ASPECT_RANGE = (3 / 4, 4 / 3)
# For each option the operation that it is of, its default, and its lowest and highest value.
OPTIONS = {
    "crop_area": ("crop", 0.35, 0.01, 1.0),
    "color_strength": ("color", 0.4, 0.0, 1.0),
    "hue_shift": ("color", 0.05, 0.0, 0.5),
    "num_operations": ("randaugment", 2, 1, 14),
    "magnitude": ("randaugment", 9.0, 0.0, 10.0),
    "erasing_probability": ("erasing", 0.25, 0.0, 1.0),
    "erased_area": ("erasing", 0.33, 0.02, 1.0),
}
# What each operation adds to the example's seed, so that it draws numbers of its own, and adding one changes no other.
# RandAugment has one for each of its operations.
_FLIP, _CROP, _COLOR, _ERASING, _RAND_AUGMENT = (1, 0), (2, 0), (3, 0), (4, 0), (16, 0)
Operation = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]


def parse(text: str) -> tuple[str, ...]:
    """Reads a comma-separated subset of AUGMENTATIONS.

    Raises: InputError for an unknown name, and for "none" beside others.

    Example:
      >>> parse("flip, crop")
      ('flip', 'crop')
    """
    names = tuple(name.strip() for name in text.split(",") if name.strip())
    for name in names:
        if name not in AUGMENTATIONS:
            raise errors.unknown_name("augmentation", name, AUGMENTATIONS)
    if "none" in names and len(names) > 1:
        raise errors.InputError(f"Got augmentation {text!r}. Expected 'none' alone, or names without it. Drop one.")
    return tuple(name for name in names if name != "none")


def check_options(names: tuple[str, ...], options: Mapping[str, float]) -> dict[str, float]:
    """All options, those given and the defaults of the others.

    Args:
      names: of the operations that are used.
      options: some of OPTIONS.

    Raises: InputError for an unknown option, one of an operation that is not used, or one out of range.

    Example:
      >>> check_options(("randaugment",), {"magnitude": 5})["magnitude"]
      5
    """
    for option, value in options.items():
        if option not in OPTIONS:
            raise errors.unknown_name("option of augmentation", option, OPTIONS)
        operation, default, low, high = OPTIONS[option]
        if operation not in names:
            raise errors.InputError(
                f"Got {option}={value!r} with the augmentation {','.join(names) or 'none'}. Expected it with "
                f"{operation!r}. Leave it out, or add {operation!r}."
            )
        kinds = int if isinstance(default, int) else (int, float)
        if isinstance(value, bool) or not isinstance(value, kinds) or not low <= value <= high:
            what = "a whole number" if isinstance(default, int) else "a number"
            raise errors.InputError(f"Got {option}={value!r}. Expected {what} in [{low}, {high}]. Use {default}.")
    return {option: default for option, (_, default, _, _) in OPTIONS.items()} | dict(options)


def operations(names: tuple[str, ...], options: Mapping[str, float]) -> list[Operation]:
    """What is done to an image of its final size, in this order: flip, randaugment, color, erasing.

    Args:
      names: of the operations that are used; "crop" is part of decoding.
      options: of `check_options`.

    Returns: functions (image (height, width, channels) float32, seed (2,) int64) -> image of the same shape, with
      values from 0 to 255.
    """
    made = {
        "flip": flip,
        "randaugment": lambda image, seed: rand_augment.rand_augment(
            image,
            seed + _RAND_AUGMENT,
            num_operations=int(options["num_operations"]),
            magnitude=options["magnitude"],
        ),
        "color": lambda image, seed: colors.jitter(
            image, seed + _COLOR, strength=options["color_strength"], hue_shift=options["hue_shift"]
        ),
        "erasing": lambda image, seed: erasing.erase(
            image, seed + _ERASING, probability=options["erasing_probability"], most=options["erased_area"]
        ),
    }
    return [operation for name, operation in made.items() if name in names]


def crop_box(size: tf.Tensor, seed: tf.Tensor, area: float = OPTIONS["crop_area"][1]) -> tuple[tf.Tensor, tf.Tensor]:
    """A box for the random resized crop: area in [area, 1] of the image, width / height in ASPECT_RANGE.

    Args:
      size: (2,) int32, height and width of the image.
      seed: (2,) int64.
      area: the least part of the image that the box shows, in (0, 1].

    Returns: (top, left) and (height, width), both (2,) int32. The whole image where no such box fits.
    Reference: Szegedy et al. 2015, section 6. Differs: by default at least 35 % of the area rather than 8 %, as a
      fine-tuned model sees few epochs.
    """
    begin, box, _ = tf.image.stateless_sample_distorted_bounding_box(
        tf.concat([size, [3]], 0),
        bounding_boxes=tf.constant([[[0.0, 0.0, 1.0, 1.0]]]),
        seed=seed + _CROP,
        min_object_covered=0.0,
        aspect_ratio_range=ASPECT_RANGE,
        area_range=(area, 1.0),
        max_attempts=10,
    )
    return begin[:2], box[:2]


def slice_box(image: tf.Tensor, begin: tf.Tensor, size: tf.Tensor) -> tf.Tensor:
    """The box of an image (height, width, channels)."""
    return tf.slice(image, tf.concat([begin, [0]], 0), tf.concat([size, [-1]], 0))


def flip(image: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Mirrors left and right with probability 1/2."""
    return tf.image.stateless_random_flip_left_right(image, seed + _FLIP)
