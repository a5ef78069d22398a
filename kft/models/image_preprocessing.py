"""From pixels of 0 to 255 to what a model was trained on, as graph functions."""

from collections.abc import Callable

import tensorflow as tf

from kft import errors

# Of ImageNet: in bytes, blue, green, red; and in 0 to 1, red, green, blue.
BGR_MEAN = (103.939, 116.779, 123.68)
RGB_MEAN = (0.485, 0.456, 0.406)
RGB_DEVIATION = (0.229, 0.224, 0.225)


def tf_mode(images: tf.Tensor) -> tf.Tensor:
    """images / 127.5 - 1, so -1 to 1."""
    return images / 127.5 - 1.0


def caffe_mode(images: tf.Tensor) -> tf.Tensor:
    """images[..., ::-1] - BGR_MEAN: blue, green, red, around 0."""
    return images[..., ::-1] - tf.constant(BGR_MEAN)


def torch_mode(images: tf.Tensor) -> tf.Tensor:
    """(images / 255 - RGB_MEAN) / RGB_DEVIATION."""
    return (images / 255.0 - tf.constant(RGB_MEAN)) / tf.constant(RGB_DEVIATION)


def inside(images: tf.Tensor) -> tf.Tensor:
    """images: the model has layers that do it."""
    return images


MODES = {"tf": tf_mode, "caffe": caffe_mode, "torch": torch_mode, "inside": inside}


def make_preprocess(mode: str, *, name: str) -> Callable[[tf.Tensor], tf.Tensor]:
    """The `preprocess` of a backbone of images with three channels.

    Args:
      mode: key of MODES.
      name: of the backbone, for the error.

    Returns: graph function from images (batch, height, width, channels), uint8 or float, 0 to 255, to
      (batch, height, width, 3) float32. One channel, grey, is repeated to three.
    Raises: InputError, when called, for another number of channels.
    """
    normalize = MODES[mode]

    def preprocess(images: tf.Tensor) -> tf.Tensor:
        images = tf.cast(images, tf.float32)
        channels = images.shape[-1]
        if channels == 1:
            images = tf.repeat(images, 3, axis=-1)
        elif channels not in (3, None):
            raise errors.InputError(
                f"Got images with {channels} channels for backbone {name!r}. Expected 3 (red, green, blue), or 1 "
                "(grey), which is repeated to 3. Drop alpha (images[..., :3]); for other channels make a model of "
                "your own that begins with a convolution to 3, and give it as 'python:package.module:function'."
            )
        return normalize(images)

    return preprocess
