"""A layer of a transformer encoder, computed with fewer and larger operations than Keras' attention."""

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from kft.models import layer_ops


def forward(
    layer: Any, queries: tf.Tensor, values: tf.Tensor, *, padding_mask: tf.Tensor | None, training: bool | None
) -> tf.Tensor:
    """What a TransformerEncoder of keras_nlp, its norms after the sums, makes of some tokens that attend to all.

    Args:
      layer: built, and called: the dtype that it computes in is that of variables read here.
      queries: the tokens to compute; `values` itself for all of them.
      values: the tokens to attend to.
      padding_mask: 1 for tokens, 0 for padding.
      training: whether dropout drops.
    Shapes: queries (batch, num_queries, channels), values (batch, length, channels), padding_mask (batch, length).
    """
    attended = attention(layer._self_attention_layer, queries, values, padding_mask=padding_mask, training=training)
    x = layer._self_attention_layer_norm(queries + layer._self_attention_dropout(attended, training=training))
    inner, outer = layer._feedforward_intermediate_dense, layer._feedforward_output_dense
    y = layer_ops.dense(_rows(x), *_kernel_and_bias([inner], 1))
    y = layer_ops.dense(inner.activation(y), *_kernel_and_bias([outer], 1))
    y = layer._feedforward_dropout(tf.reshape(y, tf.shape(x)), training=training)
    return layer._feedforward_layer_norm(x + y)


def attention(
    layer: Any, queries: tf.Tensor, values: tf.Tensor, *, padding_mask: tf.Tensor | None, training: bool | None
) -> tf.Tensor:
    """What a MultiHeadAttention of Keras gives: projections of one input are one product.

    Args: see `forward`; layer is a MultiHeadAttention, whose keys are as wide as its values.
    """
    heads = [layer._num_heads, layer._key_dim]
    projections = [layer._query_dense, layer._key_dense, layer._value_dense]
    if queries is values:
        query, key, value = _project(values, projections, heads)
    else:
        (query,) = _project(queries, projections[:1], heads)
        key, value = _project(values, projections[1:], heads)
    query *= tf.cast(layer._inverse_sqrt_key_dim, query.dtype)
    mask = None if padding_mask is None else padding_mask[:, None, None, :]
    shares = layer._softmax(tf.matmul(query, key, transpose_b=True), mask=mask)
    shares = layer._dropout_layer(shares, training=training)
    context = tf.transpose(tf.matmul(shares, value), [0, 2, 1, 3])
    context = tf.reshape(context, [-1, heads[0] * heads[1]])
    return tf.reshape(layer_ops.dense(context, *_kernel_and_bias([layer._output_dense], 2)), tf.shape(queries))


def _project(x: tf.Tensor, layers: Sequence[Any], heads: list[int]) -> list[tf.Tensor]:
    """What each of the layers makes of x, (batch, num_heads, length, key_dim) each."""
    y = layer_ops.dense(_rows(x), *_kernel_and_bias(layers, 1))
    y = tf.reshape(y, [*tf.unstack(tf.shape(x)[:2]), len(layers), *heads])
    return tf.unstack(tf.transpose(y, [2, 0, 3, 1, 4]))


def _kernel_and_bias(layers: Sequence[Any], input_rank: int) -> tuple[tf.Tensor, tf.Tensor | None]:
    """The kernels of dense layers with as many axes of input, side by side as one matrix; their biases likewise."""
    kernels, biases = [], []
    for layer in layers:
        kernel = tf.convert_to_tensor(layer.kernel)
        inputs = kernel.shape[:input_rank].num_elements()
        kernels.append(tf.reshape(kernel, [inputs, -1]))
        if layer.bias is not None:
            biases.append(tf.reshape(layer.bias, [-1]))
    if len(layers) == 1:
        return kernels[0], biases[0] if biases else None
    return tf.concat(kernels, 1), tf.concat(biases, 0) if biases else None


def _rows(x: tf.Tensor) -> tf.Tensor:
    return tf.reshape(x, [-1, x.shape[-1]])
