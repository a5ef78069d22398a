"""RandAugment: some of fourteen operations, all of one magnitude."""

from collections.abc import Callable

import tensorflow as tf

from kft.data import colors

GREATEST = 10.0
_FILL = 128.0
_DEGREES, _SHEAR, _TRANSLATION, _BLEND, _BITS = 30.0, 0.3, 150 / 331, 0.9, 4.0


def rand_augment(image: tf.Tensor, seed: tf.Tensor, *, num_operations: int, magnitude: float) -> tf.Tensor:
    """Applies operations that are drawn from OPERATIONS, each as likely as the others and perhaps twice.

    With level = magnitude / 10, and a sign that is drawn:

        rotate                                       by +-30 * level degrees around the middle
        shear_x, shear_y                             by +-0.3 * level
        translate_x, translate_y                     by +-150 / 331 * level of the side
        saturation, contrast, brightness, sharpness  with the factor 1 +- 0.9 * level
        solarize                                     above 256 * (1 - level)
        posterize                                    to 8 - round(4 * level) bits
        identity, auto_contrast, equalize            have no magnitude

    What moves in from outside is grey, 128. Images that are not red, green and blue have no saturation to change.

    Args:
      image: (height, width, channels) float32, 0 to 255.
      seed: (2,) int64; the first number is counted up, by one for each operation.
      num_operations: int >= 1.
      magnitude: in [0, 10].

    Reference: Cubuk et al. 2020, figure 2. Differs: the factors of the four enhancements and the depth of posterize
      grow away from the image as it is with the magnitude, so that 0 changes little everywhere.
    """
    level = magnitude / GREATEST
    names = [name for name in OPERATIONS if name != "saturation" or image.shape[-1] == 3]
    for number in range(num_operations):
        draws = tf.random.stateless_uniform((2,), seed + tf.constant([number, 0], tf.int64))
        chosen = tf.minimum(tf.cast(draws[0] * len(names), tf.int32), len(names) - 1)
        signed = tf.where(draws[1] < 0.5, -level, level)
        branches = [lambda now=image, name=name, signed=signed: OPERATIONS[name](now, signed) for name in names]
        shape = image.shape
        image = tf.ensure_shape(tf.switch_case(chosen, branches), shape)
    return image


def _affine(image: tf.Tensor, xx=1.0, xy=0.0, x=0.0, yx=0.0, yy=1.0, y=0.0) -> tf.Tensor:
    """The image at (xx * dx + xy * dy + x, yx * dx + yy * dy + y), counted from its middle; bilinear."""
    shape = tf.shape(image)
    middle = tf.cast(shape[:2] - 1, tf.float32) / 2
    mid_y, mid_x = middle[0], middle[1]
    rows = [xx, xy, x + mid_x - xx * mid_x - xy * mid_y, yx, yy, y + mid_y - yx * mid_x - yy * mid_y, 0.0, 0.0]
    moved = tf.raw_ops.ImageProjectiveTransformV3(
        images=image[None],
        transforms=tf.stack([tf.cast(number, tf.float32) for number in rows])[None],
        output_shape=shape[:2],
        fill_value=_FILL,
        interpolation="BILINEAR",
        fill_mode="CONSTANT",
    )
    return moved[0]


def _rotate(image: tf.Tensor, signed: tf.Tensor) -> tf.Tensor:
    angle = signed * (_DEGREES * 3.141592653589793 / 180)
    sine, cosine = tf.sin(angle), tf.cos(angle)
    return _affine(image, xx=cosine, xy=-sine, yx=sine, yy=cosine)


def _side(image: tf.Tensor, axis: int) -> tf.Tensor:
    return tf.cast(tf.shape(image)[axis], tf.float32)


OPERATIONS: dict[str, Callable[[tf.Tensor, tf.Tensor], tf.Tensor]] = {
    "identity": lambda image, signed: tf.identity(image),
    "auto_contrast": lambda image, signed: colors.auto_contrast(image),
    "equalize": lambda image, signed: colors.equalize(image),
    "rotate": _rotate,
    "solarize": lambda image, signed: colors.solarize(image, 256 * (1 - tf.abs(signed))),
    "saturation": lambda image, signed: colors.saturation(image, 1 + _BLEND * signed),
    "posterize": lambda image, signed: colors.posterize(image, 8 - tf.round(_BITS * tf.abs(signed))),
    "contrast": lambda image, signed: colors.contrast(image, 1 + _BLEND * signed),
    "brightness": lambda image, signed: colors.brightness(image, 1 + _BLEND * signed),
    "sharpness": lambda image, signed: colors.sharpness(image, 1 + _BLEND * signed),
    "shear_x": lambda image, signed: _affine(image, xy=_SHEAR * signed),
    "shear_y": lambda image, signed: _affine(image, yx=_SHEAR * signed),
    "translate_x": lambda image, signed: _affine(image, x=_TRANSLATION * signed * _side(image, 1)),
    "translate_y": lambda image, signed: _affine(image, y=_TRANSLATION * signed * _side(image, 0)),
}
