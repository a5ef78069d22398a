"""A layer computed with fewer operations gives what the layer of keras_nlp gives, and its gradients."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from kft.models import bert, transformer_layer

keras_nlp = pytest.importorskip("keras_nlp")
RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(3, 5, 16)).astype("float32")
PADDING_MASK = np.array([[1, 1, 1, 1, 1], [1, 1, 0, 0, 0], [1, 1, 1, 1, 0]])


def layer_of(precision, dropout=0.0):
    keras.utils.set_random_seed(0)
    layer = keras_nlp.layers.TransformerEncoder(32, 4, dropout, dtype=precision)
    layer(X)
    for variable in layer.trainable_variables:  # biases and shifts begin as zeros
        variable.assign_add(0.1 * RANDOM.normal(size=variable.shape))
    return layer


def outputs_and_gradients(layer, function):
    variables = [variable.value for variable in layer.trainable_variables]
    with tf.GradientTape() as tape:
        x = tf.constant(X)
        tape.watch(x)
        y = tf.cast(function(x), tf.float32)
        loss = tf.reduce_sum(y * PADDING_MASK[..., None] * np.linspace(-1.0, 1.0, 16))
    return [y * PADDING_MASK[..., None], *tape.gradient(loss, [x, *variables])]


@pytest.mark.parametrize("precision, tolerance", [("float32", 1e-5), ("mixed_bfloat16", 5e-2)])
def test_outputs_and_gradients_are_those_of_keras(precision, tolerance):
    layer = layer_of(precision)
    expected = outputs_and_gradients(layer, lambda x: layer(x, padding_mask=PADDING_MASK))
    layer.__class__ = bert._layers().encoder
    found = outputs_and_gradients(layer, lambda x: layer(x, padding_mask=PADDING_MASK))
    most = max(np.abs(wanted).max() for wanted in expected)
    for got, wanted in zip(found, expected, strict=True):
        scale = max(np.abs(wanted).max(), 0.01 * most)  # the keys' bias has a gradient of 0, to rounding
        np.testing.assert_allclose(got / scale, wanted / scale, atol=tolerance)


def test_some_tokens_attend_to_all():
    layer = layer_of("float32")
    layer.__class__ = bert._layers().encoder
    x = tf.constant(X)
    some = transformer_layer.forward(layer, x[:, 1:3], x, padding_mask=tf.constant(PADDING_MASK), training=False)
    np.testing.assert_allclose(some, layer(x, padding_mask=PADDING_MASK)[:, 1:3], atol=1e-6)


def test_what_it_does_not_compute_is_left_to_keras():
    layer = layer_of("float32")
    mask = np.tril(np.ones((3, 5, 5), "int32"))
    expected, without = layer(X, attention_mask=mask), layer(X)
    layer.__class__ = bert._layers().encoder
    np.testing.assert_array_equal(layer(X, attention_mask=mask), expected)
    np.testing.assert_array_equal(layer(X), without)


def test_dropout_drops_while_training_alone():
    layer = layer_of("float32", dropout=0.5)
    layer.__class__ = bert._layers().encoder
    first, second = (layer(X, padding_mask=PADDING_MASK, training=False) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    first, second = (layer(X, padding_mask=PADDING_MASK, training=True) for _ in range(2))
    assert np.abs(first - second).max() > 0.1
