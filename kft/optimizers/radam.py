"""RAdam."""

import tensorflow as tf

from kft.optimizers.adam import Moments, missing, single

# An epsilon next to which any root of v is nothing, so that the rule of Adam divides by a constant.
_CONSTANT = 1e20


class RAdam(Moments):
    """Adam that waits with the adaptive step until the variance of v can be trusted: a warm-up by itself.

    For a parameter w with gradient g at its own step t = 1, 2, ..., m and v as in `Adam`:

        rho_max = 2 / (1 - beta_2) - 1
        rho = rho_max - 2 * t * beta_2 ** t / (1 - beta_2 ** t)
        r = sqrt((rho - 4) * (rho - 2) * rho_max / ((rho_max - 4) * (rho_max - 2) * rho))
        w = w - learning_rate * r * m_hat / (sqrt(v_hat) + epsilon)         where rho > 4
        w = w - learning_rate * m_hat                                       elsewhere: the first 4 steps at 0.999

    Args:
      learning_rate: float > 0, or a LearningRateSchedule; per optimizer step.
      beta_1: float in [0, 1), decay of the mean of the gradients.
      beta_2: float in [0, 1), decay of the mean of their squares.
      epsilon: float > 0, added to the root.
      **settings: see `Optimizer`.
    Shapes: m and v have the shape and dtype of w.
    Raises: InputError if an argument is out of range.
    Reference: Liu et al. 2020, algorithm 2. Differs from PyTorch, which waits until rho > 5; epsilon as in `Adam`.
    """

    def coefficients(self, step, learning_rate):
        adam = super().coefficients(step, learning_rate)
        beta_2 = tf.constant(single(self.beta_2), step.dtype)
        share = missing(self.beta_2, step)
        rho_max = 2.0 / (1.0 - beta_2) - 1.0
        rho = rho_max - 2.0 * step * (1.0 - share) / share
        safe = tf.maximum(rho, 4.0)
        r = tf.sqrt((safe - 4.0) * (safe - 2.0) * rho_max / ((rho_max - 4.0) * (rho_max - 2.0) * safe))
        plain = learning_rate / missing(self.beta_1, step)
        return {
            "learning_rate": tf.where(rho > 4.0, r * adam["learning_rate"], plain * _CONSTANT),
            "epsilon": tf.where(rho > 4.0, adam["epsilon"], _CONSTANT),
        }
