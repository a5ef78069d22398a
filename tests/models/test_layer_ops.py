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
