"""One vector from the tokens of a text; padding never counts."""

from typing import Any

import keras
from keras import ops

from kft import errors
from kft.models.backbone import POOL_LAYER

POOLINGS = ("mean", "max", "attention")
LEAST = -1e9


def pool(sequence: keras.KerasTensor, mask: keras.KerasTensor, pooling: str) -> keras.KerasTensor:
    """Pools tokens.

    For the tokens x_t with mask 1, of all T:

        mean:       sum_t x_t / sum_t 1
        max:        max_t x_t
        attention:  sum_t softmax_t(x_t . kernel + bias) x_t

    Args:
      sequence: tokens.
      mask: 1 for a token, 0 for padding; at least one token a text.
      pooling: one of these three.
    Shapes: sequence (batch, time, channels), mask (batch, time), the result (batch, channels).
    Raises: InputError for another pooling.
    """
    if pooling == "attention":  # new weights, so that it belongs to the head
        return AttentionPooling(name="head_attention")([sequence, mask])
    if pooling not in ("mean", "max"):
        raise errors.unknown_name("pooling of tokens", pooling, POOLINGS)
    return TokenPooling(pooling, name=POOL_LAYER)([sequence, mask])


@keras.saving.register_keras_serializable(package="kft")
class TokenPooling(keras.layers.Layer):
    """The mean or the maximum over the tokens, in float32; see `pool`."""

    def __init__(self, pooling: str, **arguments: Any):
        super().__init__(**arguments)
        self.pooling = pooling

    def call(self, inputs):
        sequence, mask = inputs
        x = ops.cast(sequence, "float32")
        weight = ops.expand_dims(ops.cast(mask, "float32"), -1)
        if self.pooling == "max":
            pooled = ops.max(ops.where(weight > 0, x, LEAST), axis=1)
        else:
            pooled = ops.sum(x * weight, axis=1) / ops.sum(weight, axis=1)
        return ops.cast(pooled, self.compute_dtype)

    def get_config(self):
        return {**super().get_config(), "pooling": self.pooling}


@keras.saving.register_keras_serializable(package="kft")
class AttentionPooling(keras.layers.Layer):
    """A learned weighted mean over the tokens; see `pool`. It begins as the mean: kernel and bias are zeros."""

    def build(self, shapes):
        self.kernel = self.add_weight(name="kernel", shape=(shapes[0][-1], 1), initializer="zeros")
        self.bias = self.add_weight(name="bias", shape=(1,), initializer="zeros")

    def call(self, inputs):
        sequence, mask = inputs
        scores = ops.cast(ops.matmul(sequence, ops.cast(self.kernel, sequence.dtype)), "float32") + self.bias
        scores = ops.where(ops.expand_dims(mask, -1) > 0, scores, LEAST)
        weights = ops.cast(ops.softmax(scores, axis=1), sequence.dtype)
        return ops.sum(weights * sequence, axis=1)
