"""The new layers on top of a backbone."""

from collections.abc import Sequence

import keras

from kft import errors
from kft.models.backbone import Features

LEAST = -1e9
HEAD_BLOCK = r"head(_.*)?/.*"

__all__ = ["HEAD_BLOCK", "Features", "as_hidden_units", "make_head", "make_span_head"]


def make_head(
    features: Features,
    num_outputs: int,
    *,
    dropout: float = 0.0,
    dropout_samples: int = 1,
    hidden_units: Sequence[int] | str = (),
    activation: str = "relu",
    per_token: bool = False,
) -> keras.KerasTensor:
    """Logits from pooled features, or from the features of each token.

        x = dropout(pooled or sequence)
        for units in hidden_units:
            x = dropout(activation(dense(x, units)))
        logits = dense(x, num_outputs)          with dropout_samples the mean over so many draws of the last dropout

    Names: "head_dropout", "head_hidden", "head_hidden_dropout", "head_hidden_2", ..., and "head" for the last one, so
    that HEAD_BLOCK takes every variable. Without dropout there are no dropout layers.

    Args:
      features: of the backbone; `pooled` is used, or with per_token `sequence`.
      num_outputs: int >= 1, number of logits.
      dropout: share of values set to 0 in training, in [0, 1).
      dropout_samples: int >= 1; draws of the last dropout, each through the same dense layer.
      hidden_units: widths of hidden layers, each >= 1, or as text, "256,128".
      activation: Keras' name of the hidden layers' activation.
      per_token: whether there are logits for each token.
    Shapes: features.pooled (batch, channels) or features.sequence (batch, length, channels); logits (batch,
      num_outputs) or (batch, length, num_outputs), float32 under every precision.
    Reference: Inoue 2019, "Multi-Sample Dropout". Differs: the mean of the logits, not of the losses.
    Raises: InputError if an argument is out of range, or the backbone gives no features of tokens.
    """
    hidden_units = as_hidden_units(hidden_units)
    if num_outputs < 1:
        raise errors.InputError(
            f"Got num_outputs={num_outputs!r}. Expected a whole number >= 1. Use the number of classes."
        )
    if not 0 <= dropout < 1:
        raise errors.InputError(f"Got head dropout={dropout!r}. Expected a number in [0, 1). Use 0 for none, or 0.2.")
    if not (isinstance(dropout_samples, int) and dropout_samples >= 1) or (dropout_samples > 1 and not dropout):
        raise errors.InputError(
            f"Got dropout_samples={dropout_samples!r} with head dropout={dropout!r}. Expected a whole number >= 1, and "
            "dropout for more than one. Use 1, or give a dropout."
        )
    _check_activation(activation)
    x = features.sequence if per_token else features.pooled
    if x is None:
        raise errors.InputError(
            "Got a backbone without features of each token. Expected some for a task with labels of tokens. Use a "
            "model of text, cut below its pooling."
        )
    last = "head"
    for index, units in enumerate(hidden_units):
        if dropout:
            x = keras.layers.Dropout(dropout, name=f"{last}_dropout")(x)
        last = "head_hidden" if index == 0 else f"head_hidden_{index + 1}"
        x = keras.layers.Dense(units, activation=activation, name=last)(x)
    dense = keras.layers.Dense(num_outputs, dtype="float32", name="head")
    if not dropout:
        return dense(x)
    names = [f"{last}_dropout", *(f"{last}_dropout_{index + 1}" for index in range(1, dropout_samples))]
    draws = [dense(keras.layers.Dropout(dropout, name=name)(x)) for name in names]
    return draws[0] if len(draws) == 1 else keras.layers.Average(dtype="float32", name="head_average")(draws)


def make_span_head(features: Features, **options) -> keras.KerasTensor:
    """Logits of where an answer starts and ends, for each token; LEAST for padding.

    Args:
      features: of the backbone, `sequence` and `padding_mask`.
      options: as of `make_head`.
    Shapes: logits (batch, length, 2).
    """
    logits = make_head(features, 2, per_token=True, **options)
    if features.padding_mask is None:
        return logits
    return WithoutPadding(dtype="float32", name="head_mask")([logits, features.padding_mask])


@keras.saving.register_keras_serializable(package="kft")
class WithoutPadding(keras.layers.Layer):
    """Logits (batch, length, outputs), LEAST where the mask (batch, length) is 0."""

    def call(self, inputs):
        logits, mask = inputs
        return keras.ops.where(keras.ops.expand_dims(mask > 0, -1), logits, LEAST)


def as_hidden_units(hidden_units: Sequence[int] | str) -> tuple[int, ...]:
    """Widths of hidden layers, from numbers or from text.

    Raises: InputError unless they are whole numbers >= 1.

    Example:
      >>> as_hidden_units("256,128")
      (256, 128)
    """
    words = hidden_units.split(",") if isinstance(hidden_units, str) else list(hidden_units)
    words = [str(word).strip() for word in words if str(word).strip()]
    if not all(word.isdecimal() and int(word) >= 1 for word in words):
        raise errors.InputError(
            f"Got hidden_units={hidden_units!r}. Expected whole numbers >= 1, such as '256,128'. "
            "Leave it empty for no hidden layer."
        )
    return tuple(map(int, words))


def _check_activation(activation: str) -> None:
    names = [
        name for name in dir(keras.activations) if name not in ("deserialize", "get", "serialize") and name[0] != "_"
    ]
    if activation not in names:
        raise errors.unknown_name("head activation", activation, names)
