"""Examples of a data set as a person looks at them: pictures and texts."""

import base64
import dataclasses
import io
from collections.abc import Sequence
from typing import Any

import numpy as np

_SIDE, _TINY = 112, 32


@dataclasses.dataclass(frozen=True)
class Plain:
    """What `pixels` needs of a data set, with another encoding, such as one without augmentation."""

    source: Any
    encode: Any
    seed: int = 0


def pixels(batches: Any, indices: Sequence[int], *, epoch: int = 0) -> list[np.ndarray]:
    """Images as a model gets them before its own preprocessing, with the augmentation of an epoch.

    Args:
      batches: of `kft.data.batches`.
      indices: of the examples.
      epoch: int >= 0.

    Returns: for each (height, width, 1 or 3) uint8; of more than 3 channels the first 3, of 2 the first.
    """
    import tensorflow as tf

    from kft.data.order import epoch_key

    key = epoch_key(seed=batches.seed, epoch=epoch)
    made = []
    for index in indices:
        seed = tf.constant([key, index], tf.int64)
        image = batches.encode(batches.source.load(tf.constant(index, tf.int64)), seed)
        shown = image.numpy()[..., : 3 if image.shape[-1] >= 3 else 1]
        made.append(np.clip(np.rint(shown), 0, 255).astype(np.uint8))
    return made


def are_images(batches: Any) -> bool:
    """Whether a data set is one of images of kft."""
    return getattr(batches, "encode", None) is not None and getattr(batches.source, "load", None) is not None


def are_texts(batches: Any) -> bool:
    """Whether a data set is one of texts of kft."""
    return getattr(getattr(batches, "source", None), "records", None) is not None


def num_examples_seen(model: Any) -> float | None:
    """The weight of the mean of an epoch's loss so far, which is its number of examples without padding."""
    means = [metric for metric in model.metrics if metric.name == "loss" and hasattr(metric, "count")]
    return float(means[0].count.numpy()) if means else None


def text_of(record: dict[str, Any]) -> str:
    """A raw example of text as one string.

    Example:
      >>> text_of({"texts": ("Who?", "Me.")})
      'Who?\\nMe.'
    """
    if "words" in record:
        return " ".join(record["words"])
    if "question" in record:
        return f"{record['question']}\n{record['context']}"
    return "\n".join(record["texts"])


def data_uri(image: np.ndarray) -> str:
    """An image (height, width, 1 or 3) uint8 as a data: URI; small ones exact, others as a JPEG of 112 pixels."""
    from PIL import Image

    picture = Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image)
    kind = "PNG" if max(picture.size) <= _TINY else "JPEG"
    picture.thumbnail((_SIDE, _SIDE))
    buffer = io.BytesIO()
    picture.save(buffer, kind, **({"quality": 82} if kind == "JPEG" else {}))
    return f"data:image/{kind.lower()};base64,{base64.b64encode(buffer.getvalue()).decode()}"


def truth_of(source: Any, index: int) -> Any:
    """What is right for an example, as a person writes it; None where that is not in its label or target."""
    if source.label_names and source.labels[index] >= 0:
        return source.label_names[source.labels[index]]
    if source.targets is None:
        return None
    target = source.targets[index]
    return [n for n, on in zip(source.label_names, target) if on] if np.ndim(target) else float(target)
