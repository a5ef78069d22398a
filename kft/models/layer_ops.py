"""What transformer layers compute, with gradients that take fewer passes over memory than those derived by rule."""

import math

import tensorflow as tf


def dense(x: tf.Tensor, kernel: tf.Tensor, bias: tf.Tensor | None) -> tf.Tensor:
    """matmul(x, kernel) + bias.

    Shapes: x (rows, inputs), kernel (inputs, outputs), bias (outputs,); the result (rows, outputs).
    """
    if bias is None:
        return tf.matmul(x, kernel)

    @tf.custom_gradient
    def product(x, kernel, bias):
        def gradient(dy):
            return tf.matmul(dy, kernel, transpose_b=True), tf.matmul(x, dy, transpose_a=True), _sum_of_rows(dy)

        return tf.nn.bias_add(tf.matmul(x, kernel), bias), gradient

    return product(x, kernel, bias)


@tf.custom_gradient
def gelu(x):
    """x * Phi(x), with the error function: at least in float32, returned in the dtype of x.

    The derivative, Phi(x) + x * phi(x), is computed with the value, and kept in the dtype of x for the gradient.

    Reference: Hendrycks and Gimpel 2016, section 2.
    """
    wide = tf.cast(x, _accumulated_in(x))
    phi = tf.exp(-0.5 * tf.square(wide)) / math.sqrt(2.0 * math.pi)
    cumulative = 0.5 * tf.math.erfc(wide * -math.sqrt(0.5))
    slope = tf.cast(cumulative + wide * phi, x.dtype)
    return tf.cast(wide * cumulative, x.dtype), lambda dy: dy * slope


def layer_norm(x: tf.Tensor, gamma: tf.Tensor, beta: tf.Tensor, epsilon: float) -> tf.Tensor:
    """gamma * (x - mean) / sqrt(variance + epsilon) + beta, over the last axis.

    Computed at least in float32, and returned in the dtype of x. With unit = (x - mean) / sqrt(variance + epsilon) and
    the gradient dy, that of x is (dy * gamma - mean(dy * gamma) - unit * mean(dy * gamma * unit)) / sqrt(...).

    Shapes: x and the result (..., channels), gamma and beta (channels,).
    Reference: Ba et al. 2016, eq. 4.
    """

    @tf.custom_gradient
    def normalized(x, gamma, beta):
        shape = tf.shape(x)
        rows = tf.reshape(tf.cast(x, gamma.dtype), [-1, gamma.shape[0]])
        centered = rows - tf.reduce_mean(rows, -1, keepdims=True)
        inverse = tf.math.rsqrt(tf.reduce_mean(tf.square(centered), -1, keepdims=True) + epsilon)
        unit = centered * inverse

        def gradient(dy):
            dy = tf.reshape(tf.cast(dy, gamma.dtype), [-1, gamma.shape[0]])
            product = dy * unit
            column = gamma[:, None] / gamma.shape[0]
            dx = dy * gamma - tf.matmul(dy, column) - unit * tf.matmul(product, column)
            return tf.reshape(tf.cast(dx * inverse, x.dtype), shape), _sum_of_rows(product), _sum_of_rows(dy)

        return tf.reshape(tf.cast(unit * gamma + beta, x.dtype), shape), gradient

    wide = _accumulated_in(x)
    y = normalized(x, tf.cast(gamma, wide), tf.cast(beta, wide))
    y.set_shape(x.shape)
    return y


def dropout(x: tf.Tensor, rate: float, seed: tf.Tensor) -> tf.Tensor:
    """Each element is 0 with probability rate, else divided by 1 - rate.

    An element is decided by 16 bits, half of what a random number takes, so rate is rounded to a multiple of 2 ** -16.

    Args:
      x: what is dropped from.
      rate: float in (0, 1).
      seed: two integers, all that the choice depends on.
    Reference: Srivastava et al. 2014, section 10.
    """
    seed = tf.cast(tf.math.floormod(seed, tf.int32.max - 1), tf.int32)
    shape, count = tf.shape(x), tf.size(x)
    pairs = tf.random.stateless_uniform([(count + 1) // 2], seed, minval=None, maxval=None, dtype=tf.uint32)
    dropped = min(max(round(rate * 2**16), 1), 2**16 - 1)
    kept = tf.reshape(tf.reshape(tf.bitcast(pairs, tf.uint16), [-1])[:count] >= tf.constant(dropped, tf.uint16), shape)

    def drop(values):
        scaled = values * tf.constant(2**16 / (2**16 - dropped), values.dtype)
        return tf.where(kept, scaled, tf.zeros([], values.dtype))

    return tf.custom_gradient(lambda x: (drop(x), drop))(x)


def _accumulated_in(x):
    return x.dtype if x.dtype == tf.float64 else tf.float32


def _sum_of_rows(matrix):
    """By a product, as reductions over rows are slow on CPUs, in bfloat16 above all."""
    return tf.matmul(tf.ones([1, tf.shape(matrix)[0]], matrix.dtype), matrix)[0]
