"""What a pretrained model is to the rest of kft: a flat graph, its blocks from bottom to top, its preprocessing."""

import dataclasses
import pathlib
import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import keras
import tensorflow as tf

from kft import errors
from kft.models.tokenizer import Tokenizer

POOLINGS = ("auto", "avg", "max")
POOL_LAYER = "features_pool"
RESERVED_LAYERS = re.compile(rf"head(_.*)?|{POOL_LAYER}")


class Features(NamedTuple):
    """What a backbone gives to a head.

    Shapes: pooled (batch, channels); sequence (batch, time, channels), or None where the model has no time;
      padding_mask (batch, time), 1 for a token and 0 for padding, or None where nothing is padded.
    """

    pooled: keras.KerasTensor
    sequence: keras.KerasTensor | None = None
    padding_mask: keras.KerasTensor | None = None


@dataclasses.dataclass(frozen=True)
class Backbone:
    """A pretrained model, ready for a head.

    A block is a pattern for `re.fullmatch` on `variable.path`. Blocks go from the input to the output; every weight
    (`model.weights`) is in exactly one of them. States of seed generators are no weights and in no block.

    Args:
      name: as in the table, or the user's "python:..." spec.
      model: a flat functional model, inputs -> outputs; its outputs are what `features` takes.
      blocks: patterns, bottom to top.
      preprocess: graph function from a BATCH of raw examples to model inputs; for images (batch, height, width,
        channels) of 0 to 255, uint8 or float, to float32.
      features: model outputs -> Features; builds the pooling layer, so call it once per model.
      image_size: (height, width) in pixels; None where the input is not an image or has an open size.
      tokenizer: of text; None for images.
      save: writes into a folder what `make_backbone("hf:FOLDER", weights="none")` needs to make it again; None where
        the name says all.

    Raises: InputError if two weights share a path, or the blocks do not take every weight exactly once.
    """

    name: str
    model: keras.Model
    blocks: tuple[str, ...]
    preprocess: Callable[[tf.Tensor], Any]
    features: Callable[[Any], Features]
    image_size: tuple[int, int] | None
    tokenizer: Tokenizer | None = None
    save: Callable[[str | pathlib.Path], None] | None = None

    def __post_init__(self):
        _check_blocks(self.blocks, [weight.path for weight in self.model.weights])


def _check_blocks(blocks: Sequence[str], paths: Sequence[str]) -> None:
    twice = sorted({path for path in paths if paths.count(path) > 1})
    if twice:
        raise errors.InputError(
            f"Got variable paths that name two variables each: {', '.join(map(repr, twice))}. Expected every variable "
            "to have its own. Give each layer its own name where the model is built."
        )
    taken = {path: [block for block in blocks if re.fullmatch(block, path)] for path in paths}
    for path, takers in taken.items():
        if len(takers) != 1:
            raise errors.InputError(
                f"Got variable {path!r} in {len(takers)} blocks{': ' if takers else ''}{', '.join(map(repr, takers))}. "
                "Expected every variable in exactly one block. Correct the patterns in `blocks`."
            )
    for block in blocks:
        if not any(block in takers for takers in taken.values()):
            raise errors.InputError(
                f"Got block {block!r}, which takes no variable. Expected every block to take at least one of "
                f"{', '.join(map(repr, paths[:5]))}, ... Correct or remove it."
            )
        if re.fullmatch(block, "head/kernel"):
            raise errors.InputError(
                f"Got block {block!r}, which would also take the head's variables. Expected it to take some of the "
                "backbone's only. Name its layers in the pattern, such as 'conv1/.*'."
            )


def make_features(pooling: str) -> Callable[[keras.KerasTensor], Features]:
    """The `features` of a model with one output.

    (batch, channels) stays as it is; (batch, time, channels) is also the sequence; time, or height and width, are
    averaged or their maximum is taken.

    Args:
      pooling: "avg" or "max"; "auto" is "avg".

    Raises: InputError for another pooling; when called, for an output of another rank.
    """
    if pooling not in POOLINGS:
        raise errors.unknown_name("pooling", pooling, POOLINGS)
    pooling = "avg" if pooling == "auto" else pooling

    def features(outputs: keras.KerasTensor) -> Features:
        outputs = outputs[0] if isinstance(outputs, (list, tuple)) and len(outputs) == 1 else outputs
        rank = len(getattr(outputs, "shape", ()))
        if rank == 2:
            return Features(outputs)
        if rank not in (3, 4):
            raise errors.InputError(
                f"Got a backbone that gives {outputs!r}. Expected one tensor of rank 2, 3 or 4. "
                "Cut the model at a layer that gives one: '@layer_name', or cut_at in user code."
            )
        layers = {
            ("avg", 3): keras.layers.GlobalAveragePooling1D,
            ("max", 3): keras.layers.GlobalMaxPooling1D,
            ("avg", 4): keras.layers.GlobalAveragePooling2D,
            ("max", 4): keras.layers.GlobalMaxPooling2D,
        }
        pooled = layers[pooling, rank](name=POOL_LAYER)(outputs)
        return Features(pooled, outputs if rank == 3 else None)

    return features


def as_image_size(image_size: int | Sequence[int], *, smallest: int = 1, usual: int = 224) -> tuple[int, int]:
    """(height, width) from one number or two.

    Args:
      image_size: pixels; int for a square, or (height, width).
      smallest: the least that the model can take, in pixels.
      usual: what its weights were trained at, for the error.

    Raises: InputError if it is neither or too small.

    Example:
      >>> as_image_size(224)
      (224, 224)
    """
    sides = (image_size, image_size) if isinstance(image_size, int) else tuple(image_size)
    if len(sides) != 2 or not all(isinstance(side, int) and side >= smallest for side in sides):
        raise errors.InputError(
            f"Got image_size={image_size!r}. Expected a whole number of pixels, or (height, width), each at least "
            f"{smallest}. Use {max(smallest, usual)}, or leave it out."
        )
    return sides
