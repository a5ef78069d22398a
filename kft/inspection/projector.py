"""Embeddings of evaluation examples for TensorBoard's projector: before and after a training."""

import pathlib
import re
from collections.abc import Iterator, Sequence
from typing import Any

import keras
import numpy as np

from kft.inspection import examples, pictures

_SPRITE = 48


def features(model: keras.Model, batches: Any, most: int) -> tuple[np.ndarray, np.ndarray] | None:
    """What the head of a model gets, for some examples of a data set, evenly taken.

    Args:
      model: with `blocks`, the head last.
      batches: of `kft.data`.
      most: examples.

    Returns: indices of the examples, and (examples, channels) float32; None where the head gets no vectors.
    """
    head = re.compile(model.blocks[-1])
    layers = [layer for layer in model.layers if any(head.fullmatch(weight.path) for weight in layer.weights)]
    if not layers or not isinstance(layers[0].input, keras.KerasTensor) or len(layers[0].input.shape) != 2:
        return None
    body = keras.Model(model.input, layers[0].input)
    indices, parts = [], []
    for x, rows, kept in _some(batches, most):
        indices.append(rows)
        parts.append(np.asarray(body(x, training=False))[kept])
    return np.concatenate(indices), np.concatenate(parts)


def _some(batches: Any, most: int) -> Iterator[tuple[Any, np.ndarray, np.ndarray]]:
    """Inputs, rows, and which of the inputs they are: evenly taken from all the data."""
    chosen = np.linspace(0, batches.num_examples - 1, min(most, batches.num_examples)).astype(np.int64)
    done = 0
    for x, _, weight in batches.examples([(chosen, 0)]):
        weight = np.asarray(weight)
        kept = weight.reshape(len(weight), -1).max(1) > 0
        yield x, chosen[done : done + int(kept.sum())], kept
        done += int(kept.sum())


def row_order(batches: Any) -> np.ndarray:
    """The rows of a data set in the order in which their batches come."""
    order = getattr(batches, "order", None)
    return np.asarray(order()) if callable(order) else np.arange(batches.num_examples)


def write(folder: pathlib.Path, name: str, batches: Any, indices: Sequence[int], values: np.ndarray) -> None:
    """Writes an embedding with its labels and thumbnails, and lists all of the folder for the projector.

    Args:
      folder: of one writer.
      name: of the embedding, such as "before".
      batches: which the examples are of.
      indices: of the examples.
      values: (examples, channels).
    """
    place = folder / "projector"
    place.mkdir(parents=True, exist_ok=True)
    np.savetxt(place / f"{name}.tsv", values, fmt="%.4g", delimiter="\t")
    source, table = batches.source, getattr(batches, "table", None)
    records = [int(index) if table is None else int(table.record[index]) for index in indices]
    lines = ["label\texample"]
    for record in records:
        said = source.keys[record] if source.records is None else examples.text_of(source.records[record])[:120]
        lines.append(f"{_cell(examples.truth_of(source, record))}\t{_cell(said)}")
    (place / f"{name}_labels.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    sprite = ""
    if examples.are_images(batches):
        from PIL import Image

        picture = pictures.sprite(examples.pixels(batches, records), side=_SPRITE)
        Image.fromarray(picture).save(place / "sprite.png")
        sprite = (
            f'  sprite {{\n    image_path: "projector/sprite.png"\n    single_image_dim: {_SPRITE}\n'
            f"    single_image_dim: {_SPRITE}\n  }}\n"
        )
    entries = [
        f'embeddings {{\n  tensor_name: "{file.stem}"\n  tensor_path: "projector/{file.name}"\n'
        f'  metadata_path: "projector/{file.stem}_labels.tsv"\n{sprite}}}\n'
        for file in sorted(place.glob("*.tsv"), reverse=True)
        if not file.stem.endswith("_labels")
    ]
    (folder / "projector_config.pbtxt").write_text("".join(entries), encoding="utf-8")


def _cell(given: Any) -> str:
    return re.sub(r"\s+", " ", str(given))
