"""What layers compute by hand equals the formula in float64, and so do the gradients that TensorFlow derives of it."""

import functools

import numpy as np
import pytest
import tensorflow as tf

from kft.models import layer_ops

RANDOM = np.random.default_rng(0)
X = RANDOM.normal(1.0, 2.0, (3, 5, 8))
KERNEL, BIAS, GAMMA, BETA = (RANDOM.normal(size=size) for size in ((8, 6), 6, 8, 8))


def norm_formula(x, gamma, beta):
    mean, variance = tf.nn.moments(x, -1, keepdims=True)
    return gamma * (x - mean) / tf.sqrt(variance + 1e-3) + beta


CASES = {
    "dense": (layer_ops.dense, lambda x, kernel, bias: x @ kernel + bias, (X.reshape(15, 8), KERNEL, BIAS)),
    "gelu": (layer_ops.gelu, lambda x: 0.5 * x * (1.0 + tf.math.erf(x / np.sqrt(2.0))), (X,)),
    "layer_norm": (functools.partial(layer_ops.layer_norm, epsilon=1e-3), norm_formula, (X, GAMMA, BETA)),
}


def value_and_gradients(function, arguments, dtype):
    values = [tf.constant(argument, dtype) for argument in arguments]
    with tf.GradientTape() as tape:
        tape.watch(values)
        y = function(*values)
        loss = tf.reduce_sum(tf.cast(y, tf.float64) * np.linspace(-1.0, 1.0, y.shape.num_elements()).reshape(y.shape))
    return [y, *tape.gradient(loss, values)]


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("dtype, tolerance", [("float64", 1e-12), ("float32", 1e-5), ("bfloat16", 3e-2)])
@pytest.mark.parametrize("case", CASES)
def test_values_and_gradients_are_those_of_the_formula(case, dtype, tolerance, compiled):
    function, formula, arguments = CASES[case]
    rounded = [np.asarray(tf.cast(tf.cast(argument, dtype), tf.float64)) for argument in arguments]
    run = functools.partial(value_and_gradients, function, arguments, dtype)
    found = tf.function(run, jit_compile=True, autograph=False)() if compiled else run()
    expected = value_and_gradients(formula, rounded, "float64")
    for number, (got, wanted) in enumerate(zip(found, expected, strict=True)):
        assert got.dtype == dtype and got.shape == wanted.shape, number
        scale = np.abs(wanted).max()
        np.testing.assert_allclose(tf.cast(got, tf.float64) / scale, wanted / scale, atol=tolerance, err_msg=number)


def test_gelu_of_bfloat16_is_rounded_once():
    """Not at each of its operations, as the derived one is."""
    x = tf.cast(tf.linspace(-4.0, 4.0, 1001), tf.bfloat16)
    exact = tf.nn.gelu(tf.cast(x, tf.float64), approximate=False)
    np.testing.assert_array_equal(layer_ops.gelu(x), tf.cast(tf.cast(exact, tf.float32), tf.bfloat16))


def test_dense_goes_without_a_bias():
    x, kernel = tf.constant(X.reshape(15, 8)), tf.constant(KERNEL)
    np.testing.assert_allclose(layer_ops.dense(x, kernel, None), x @ kernel)


@pytest.mark.parametrize("shape", [(301, 333), (1,), (64, 12, 13, 13)])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("rate", [0.1, 0.5])
def test_dropout_drops_that_share_and_keeps_the_rest(rate, dtype, shape):
    x = tf.ones(shape, dtype)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = layer_ops.dropout(x, rate, tf.constant([3, 4], tf.int64))
    gradient = tape.gradient(y, x)
    assert y.dtype == x.dtype and y.shape == x.shape
    np.testing.assert_array_equal(y, gradient)
    values = np.asarray(tf.cast(y, tf.float64)).ravel()
    kept = values > 0
    np.testing.assert_allclose(values[kept], 1 / (1 - rate), rtol=1e-4 if dtype == "float32" else 4e-3)
    assert abs((~kept).mean() - rate) < 5 * np.sqrt(rate * (1 - rate) / kept.size)


def test_dropout_is_a_function_of_the_seed():
    x = tf.ones((40, 50))
    first, again, other = (layer_ops.dropout(x, 0.3, tf.constant([0, last])) for last in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert np.not_equal(first, other).any()


def test_dropout_decides_neighbours_independently():
    """The two halves of a random word are both random."""
    kept = np.asarray(layer_ops.dropout(tf.ones((2**18,)), 0.5, tf.constant([0, 1]))) > 0
    first, second = kept[::2], kept[1::2]
    for share in (first.mean(), second.mean(), (first == second).mean(), (first[1:] == first[:-1]).mean()):
        assert abs(share - 0.5) < 5 * 0.5 / np.sqrt(2**17)
