"""Random erasing: a box of an image becomes noise."""

import tensorflow as tf

LEAST = 0.02
ASPECTS = (0.3, 1 / 0.3)
_NOISE = (0, 2**32)


def erase(image: tf.Tensor, seed: tf.Tensor, *, probability: float, most: float) -> tf.Tensor:
    """Fills a box with random values from 0 to 255, with some probability.

    The box covers uniform(0.02, most) of the image, its height / width is in [0.3, 1 / 0.3], with its logarithm
    uniform, and it lies anywhere inside.

    Args:
      image: (height, width, channels) float32, 0 to 255.
      seed: (2,) int64.
      probability: in [0, 1].
      most: the largest part of the image to erase, in [0.02, 1].

    Reference: Zhong et al. 2020, algorithm 1, with random values (RE-R). Differs: the logarithm of the aspect is
      uniform, so that wide and high boxes are as likely; a box that does not fit is cut to the side, not drawn again.
    """
    draws = tf.random.stateless_uniform((5,), seed)

    def erased() -> tf.Tensor:
        begin, size = box(tf.shape(image)[:2], draws[1:], most)
        rows, columns = (tf.range(tf.shape(image)[axis]) for axis in (0, 1))
        inside_rows, inside_columns = (
            (places >= begin[axis]) & (places < begin[axis] + size[axis]) for axis, places in enumerate((rows, columns))
        )
        inside = inside_rows[:, None, None] & inside_columns[None, :, None]
        noise = tf.random.stateless_uniform(tf.shape(image), seed + _NOISE, 0.0, 255.0)
        return tf.where(inside, noise, image)

    return tf.ensure_shape(tf.cond(draws[0] < probability, erased, lambda: image), image.shape)


def box(size: tf.Tensor, draws: tf.Tensor, most: float) -> tuple[tf.Tensor, tf.Tensor]:
    """The box: (top, left) and (height, width), both (2,) int32.

    Args:
      size: (2,) int32, height and width of the image.
      draws: (4,) in [0, 1): of area, aspect, top and left.
      most: see `erase`.
    """
    sides = tf.cast(size, tf.float32)
    area = (LEAST + (most - LEAST) * draws[0]) * sides[0] * sides[1]
    low, high = tf.math.log(ASPECTS[0]), tf.math.log(ASPECTS[1])
    aspect = tf.exp(low + (high - low) * draws[1])
    box_sides = tf.minimum(tf.round(tf.sqrt(tf.stack([area * aspect, area / aspect]))), sides)
    begin = tf.floor(draws[2:] * (sides - box_sides + 1))
    return tf.cast(begin, tf.int32), tf.cast(box_sides, tf.int32)
