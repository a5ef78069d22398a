"""From pixels of 0 to 255 to what a model was trained on, as graph functions."""

from collections.abc import Callable

import tensorflow as tf

from kft import errors
from kft.models.first_convolution import extended

# Of ImageNet: in bytes, blue, green, red; and in 0 to 1, red, green, blue.
BGR_MEAN = (103.939, 116.779, 123.68)
RGB_MEAN = (0.485, 0.456, 0.406)
RGB_DEVIATION = (0.229, 0.224, 0.225)


def tf_mode(images: tf.Tensor) -> tf.Tensor:
    """images / 127.5 - 1, so -1 to 1."""
    return images / 127.5 - 1.0


def caffe_mode(images: tf.Tensor) -> tf.Tensor:
    """images[..., ::-1] - BGR_MEAN: blue, green, red, around 0; further channels stay behind these."""
    channels = images.shape[-1]
    if channels >= 3:
        images = tf.concat([images[..., 2::-1], images[..., 3:]], -1)
    return images - tf.constant(extended(BGR_MEAN, channels))


def torch_mode(images: tf.Tensor) -> tf.Tensor:
    """(images / 255 - RGB_MEAN) / RGB_DEVIATION."""
    mean, deviation = (tf.constant(extended(values, images.shape[-1])) for values in (RGB_MEAN, RGB_DEVIATION))
    return (images / 255.0 - mean) / deviation


def inside(images: tf.Tensor) -> tf.Tensor:
    """images: the model has layers that do it."""
    return images


MODES = {"tf": tf_mode, "caffe": caffe_mode, "torch": torch_mode, "inside": inside}


def make_preprocess(mode: str, *, name: str, num_channels: int = 3) -> Callable[[tf.Tensor], tf.Tensor]:
    """The `preprocess` of a backbone of images.

    Args:
      mode: key of MODES; its constants are `extended` to the channels.
      name: of the backbone, for the error.
      num_channels: that the model takes.

    Returns: graph function from images (batch, height, width, num_channels), uint8 or float, 0 to 255, to float32 of
      the same shape. Of a model of three, one channel, grey, is repeated to three.
    Raises: InputError, when called, for another number of channels.
    """
    normalize = MODES[mode]

    def preprocess(images: tf.Tensor) -> tf.Tensor:
        images = tf.cast(images, tf.float32)
        channels = images.shape[-1]
        if channels == 1 and num_channels == 3:
            images = tf.repeat(images, 3, axis=-1)
        elif channels not in (num_channels, None):
            expected = (
                "3 (red, green, blue), or 1 (grey), which is repeated to 3" if num_channels == 3 else num_channels
            )
            raise errors.InputError(
                f"Got images with {channels} channels for backbone {name!r}. Expected {expected}. Drop alpha "
                f"(images[..., :3]), or make the backbone with image_channels={channels}."
            )
        return normalize(tf.ensure_shape(images, (*images.shape[:-1], num_channels)))

    return preprocess
