"""Image files that are decoded once and kept in memory."""

import dataclasses
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from kft import errors
from kft.data.progress import Progress
from kft.data.source import Source
from kft.memory import free_memory

if TYPE_CHECKING:
    import tensorflow as tf

SHARE_OF_FREE = 4
_AT_ONCE = 64


class InMemory(NamedTuple):
    """What `in_memory` made.

    Args:
      source: with decoded images, or the one that was given.
      bytes: that are kept; 0 for none.
      reason: what was done and why, for a person.
    """

    source: Source
    bytes: int
    reason: str


def in_memory(
    source: Source, *, image_size: tuple[int, int], channels: int = 3, augmentation: str = "none", budget: int = 0
) -> InMemory:
    """Decodes the image files of a source once, if all of them fit, so that epochs need not do it again.

    What the encoder makes of them stays equal to the bit. Without a random crop the images are kept at image_size, in
    float32, so that nothing is left to do but what is random. With a random crop the stored pixels are kept; but not
    where an image has both sides at least twice as long as image_size: of such ones the encoder decodes each crop at a
    scale of its own, which is cheaper than what would have to be kept.

    Args:
      source: of image files; others are left as they are.
      image_size: height and width, as the encoder has it.
      channels, augmentation: as the encoder has them.
      budget: bytes; 0 for a quarter of the memory that is free now.

    Raises: InputError for a budget below 0.
    """
    import tensorflow as tf

    from kft.data import augment
    from kft.data.encode import of_file

    if budget < 0:
        raise errors.InputError(f"Got budget={budget!r}. Expected bytes >= 0. Use 0 for a quarter of what is free.")
    if source.load is None or not source.num_examples:
        return InMemory(source, 0, "no images")
    spec = tf.function(source.load).get_concrete_function(tf.TensorSpec((), tf.int64)).structured_outputs
    if "image_bytes" not in spec:
        return InMemory(source, 0, "images are arrays already")
    channels = of_file(channels)
    limit = budget or free_memory() // SHARE_OF_FREE
    cropped = "crop" in augment.parse(augmentation)
    size = source.num_examples * image_size[0] * image_size[1] * channels * 4
    if cropped:
        heights, widths = _stored_sizes(source, image_size)
        if heights is None:
            return InMemory(source, 0, "some images are twice as large as the input: crops are decoded at their scale")
        size = int((heights * widths).sum()) * channels
    if size > limit:
        return InMemory(source, 0, f"{size / 2**20:,.0f} MiB do not fit the budget of {limit / 2**20:,.0f} MiB")
    if cropped:
        load = _whole(source, heights, widths, channels, "orientation" in spec)
    else:
        load = _resized(source, image_size, channels)
    return InMemory(dataclasses.replace(source, load=load), size, f"decoded once, {size / 2**20:,.0f} MiB")


def _stored_sizes(source, image_size) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Heights and widths of the stored pixels; None for both if the encoder may decode one at a smaller scale."""
    import tensorflow as tf

    def size_of(index):
        raw = source.load(index)  # the file is not read, as nothing here needs its bytes
        return raw["image_header"][:2], raw.get("orientation", tf.constant(1))

    found = list(_parts(source, size_of, batch=True))
    sizes, orientations = (np.concatenate(column) for column in zip(*found, strict=True))
    wanted = np.where(orientations[:, None] > 4, image_size[::-1], image_size)
    if ((sizes // wanted).min(1) >= 2).any():
        return None, None
    return sizes[:, 0].astype(np.int64), sizes[:, 1].astype(np.int64)


def _resized(source, image_size, channels):
    """load: index -> the whole image at image_size, turned, not rounded."""
    import tensorflow as tf

    from kft.data.encode import image_encoder

    encode = image_encoder(image_size=image_size, channels=channels)
    images = np.empty((source.num_examples, *image_size, channels), np.float32)
    at = 0
    for (part,) in _parts(source, lambda index: (encode(source.load(index), tf.zeros(2, tf.int64)),), batch=True):
        images[at : at + len(part)] = part
        at += len(part)
    kept = _on_host(images)
    return lambda index: {"image": tf.gather(kept, index)}


def _whole(source, heights, widths, channels, turned):
    """load: index -> the stored pixels, and the orientation where some are to be turned."""
    import tensorflow as tf

    from kft.data.encode import decode_whole

    ends = np.cumsum(heights * widths * channels)
    starts = ends - heights * widths * channels
    pixels = np.empty(ends[-1], np.uint8)
    orientations = np.ones(source.num_examples, np.int32)

    def decoded(index):
        raw = source.load(index)
        return decode_whole(raw, channels), raw.get("orientation", tf.constant(1))

    for index, (image, orientation) in enumerate(_parts(source, decoded, batch=False)):
        pixels[starts[index] : ends[index]] = image.reshape(-1)
        orientations[index] = orientation
    kept, orientations = _on_host(pixels), _on_host(orientations)
    places = _on_host(np.stack([starts, heights, widths], 1))

    def load(index):
        start, height, width = tf.unstack(tf.gather(places, index))
        image = tf.reshape(tf.slice(kept, [start], [height * width * channels]), tf.stack([height, width, channels]))
        image = tf.ensure_shape(image, (None, None, channels))
        return {"image": image} | ({"orientation": tf.gather(orientations, index)} if turned else {})

    return load


def _parts(source: Source, function, *, batch: bool) -> Iterator[tuple[np.ndarray, ...]]:
    """What a graph function of the index gives for all examples, in their order."""
    import tensorflow as tf

    dataset = tf.data.Dataset.range(source.num_examples)
    dataset = dataset.map(function, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
    dataset = (dataset.batch(_AT_ONCE) if batch else dataset).prefetch(tf.data.AUTOTUNE)
    with Progress(f"Decoding {source.name}", "images", source.num_examples) as told:
        for number, part in enumerate(dataset.as_numpy_iterator(), 1):
            yield part
            told.update(number * (_AT_ONCE if batch else 1), at_once=batch)


def _on_host(array: np.ndarray) -> "tf.Tensor":
    import tensorflow as tf

    with tf.init_scope(), tf.device("CPU:0"):
        return tf.constant(array)
