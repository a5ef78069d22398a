"""Changes of an image's colours and sharpness: float32 values from 0 to 255, before and after.

On whole numbers each one is what Pillow's operation of the same name gives, up to its rounding.
"""

import tensorflow as tf

# Of red, green and blue in the brightness that a person sees.
GREY = (0.299, 0.587, 0.114)


def jitter(image: tf.Tensor, seed: tf.Tensor, *, strength: float, hue_shift: float) -> tf.Tensor:
    """Changes brightness, contrast, saturation and hue at random, one after the other.

        image = brightness(image, uniform(1 - strength, 1 + strength)), and so contrast and saturation
        image = hue turned by uniform(-hue_shift, hue_shift) of the circle

    Images that are not red, green and blue keep saturation and hue.

    Args:
      image: (height, width, channels).
      seed: (2,) int64.
      strength: in [0, 1].
      hue_shift: in [0, 0.5].

    Reference: Howard 2013, section 2; Krizhevsky et al. 2012 draw along principal components instead.
    """
    draws = tf.random.stateless_uniform((4,), seed, -1.0, 1.0)
    factors = 1 + strength * draws
    image = contrast(brightness(image, factors[0]), factors[1])
    if image.shape[-1] != 3:
        return image
    image = saturation(image, factors[2])
    return _valid(tf.image.adjust_hue(image, hue_shift * draws[3])) if hue_shift else image


def grey(image: tf.Tensor) -> tf.Tensor:
    """Red, green and blue -> (height, width, 1) brightness; what has one channel stays."""
    return image if image.shape[-1] != 3 else tf.tensordot(image, tf.constant(GREY)[:, None], 1)


def brightness(image: tf.Tensor, factor: tf.Tensor | float) -> tf.Tensor:
    """factor * image: 0 is black, 1 the image."""
    return _valid(factor * image)


def contrast(image: tf.Tensor, factor: tf.Tensor | float) -> tf.Tensor:
    """From the image's mean brightness (0) to the image (1), and further."""
    return _blend(tf.reduce_mean(grey(image)), image, factor)


def saturation(image: tf.Tensor, factor: tf.Tensor | float) -> tf.Tensor:
    """From grey (0) to the image (1), and further."""
    return _blend(grey(image), image, factor)


def sharpness(image: tf.Tensor, factor: tf.Tensor | float) -> tf.Tensor:
    """From a smoothed image (0) to the image (1), and further; the outermost pixels stay.

    Smooth is the mean over 3 x 3 pixels in which the middle one counts 5 times.
    """
    channels = image.shape[-1]
    kernel = tf.constant([[1.0, 1, 1], [1, 5, 1], [1, 1, 1]]) / 13
    kernel = tf.tile(kernel[:, :, None, None], (1, 1, channels, 1))
    smooth = tf.nn.depthwise_conv2d(image[None], kernel, (1, 1, 1, 1), "VALID")[0]
    inner = tf.pad(tf.ones_like(smooth[..., :1]), ((1, 1), (1, 1), (0, 0)))
    smooth = tf.pad(smooth, ((1, 1), (1, 1), (0, 0)))
    return _blend(tf.where(inner > 0, smooth, image), image, factor)


def solarize(image: tf.Tensor, threshold: tf.Tensor | float) -> tf.Tensor:
    """Inverts what is at least as bright as the threshold."""
    return tf.where(image < threshold, image, 255 - image)


def posterize(image: tf.Tensor, bits: tf.Tensor | int) -> tf.Tensor:
    """Keeps so many bits of each value."""
    step = 2.0 ** (8.0 - tf.cast(bits, tf.float32))
    return tf.floor(image / step) * step


def auto_contrast(image: tf.Tensor) -> tf.Tensor:
    """Stretches each channel from 0 to 255; one that has a single value stays."""
    low, high = tf.reduce_min(image, (0, 1)), tf.reduce_max(image, (0, 1))
    stretched = (image - low) * tf.math.divide_no_nan(255.0, high - low)
    return tf.where(high > low, stretched, image)


def equalize(image: tf.Tensor) -> tf.Tensor:
    """Spreads the values of each channel, rounded, so that all become about equally frequent."""
    values = tf.cast(tf.round(image), tf.int32)
    channels = [_equalized(values[..., channel]) for channel in range(image.shape[-1])]
    return tf.stack(channels, -1)


def _equalized(values: tf.Tensor) -> tf.Tensor:
    counts = tf.math.bincount(tf.reshape(values, (-1,)), minlength=256, maxlength=256)
    last = tf.reduce_max(values)
    step = (tf.size(values) - counts[last]) // 255
    spread = (tf.cumsum(counts, exclusive=True) + step // 2) // tf.maximum(step, 1)
    table = tf.where(step > 0, tf.minimum(spread, 255), tf.range(256))
    return tf.cast(tf.gather(table, values), tf.float32)


def _blend(other: tf.Tensor, image: tf.Tensor, factor: tf.Tensor | float) -> tf.Tensor:
    return _valid(other + factor * (image - other))


def _valid(image: tf.Tensor) -> tf.Tensor:
    return tf.clip_by_value(image, 0.0, 255.0)
