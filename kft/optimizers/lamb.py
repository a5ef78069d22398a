"""LAMB."""

import tensorflow as tf

from kft.optimizers.adam import Moments, single
from kft.optimizers.means import approach


class LAMB(Moments):
    """Adam whose step is as long as a share of its variable: for large batches.

    For a parameter w with gradient g, m_hat and v_hat as in `Adam`:

        u = m_hat / (sqrt(v_hat) + epsilon) + weight_decay * w
        trust = norm(w) / norm(u)               1 where either is 0, and for vectors: biases and norms
        w = w - learning_rate * trust * u

    Args:
      learning_rate: float > 0, or a LearningRateSchedule; per optimizer step.
      beta_1: float in [0, 1), decay of the mean of the gradients.
      beta_2: float in [0, 1), decay of the mean of their squares.
      epsilon: float > 0, added to the root.
      **settings: see `Optimizer`.
    Shapes: m and v have the shape and dtype of w.
    Raises: InputError if an argument is out of range.
    Reference: You et al. 2020, algorithm 2, with phi(z) = z. Differs: vectors are not adapted, as in the released code;
      Keras adapts all, and takes the decay out of u.
    """

    decay_form = "own"

    def __init__(self, learning_rate=0.001, *, epsilon=1e-6, **settings):
        super().__init__(learning_rate, epsilon=epsilon, **settings)

    def coefficients(self, step, learning_rate):
        return super().coefficients(step, tf.ones_like(step)) | {"rate": learning_rate}

    def update(self, w, g, slot, c):
        m = approach(slot["m"], g, single(self.beta_1))
        v = approach(slot["v"], tf.square(g), single(self.beta_2))
        u = c["learning_rate"] * m / (tf.sqrt(v) + c["epsilon"])
        if c["weight_decay"]:
            u += c["weight_decay"] * w
        trust = trust_ratio(tf.norm(w), tf.norm(u)) if w.shape.rank > 1 else 1.0
        tf.raw_ops.ResourceApplyGradientDescent(var=w.handle, alpha=c["rate"] * trust, delta=u)


def trust_ratio(size, step_size):
    """size / step_size; 1 where either is 0."""
    ratio = tf.math.divide_no_nan(size, step_size)
    return tf.where(ratio > 0, ratio, tf.ones_like(ratio))
