"""Adam."""

import numpy as np
import tensorflow as tf

from kft.optimizers.base import Optimizer, check_range
from kft.optimizers.means import approach


class Moments(Optimizer):
    """The base of Adam and its like: the moments m and v, and what they lack at the start."""

    def __init__(self, learning_rate=0.001, *, beta_1=0.9, beta_2=0.999, epsilon=1e-8, **settings):
        super().__init__(learning_rate, **settings)
        self.beta_1 = check_range("beta_1", beta_1, 0.0, 1.0)
        self.beta_2 = check_range("beta_2", beta_2, 0.0, 1.0)
        self.epsilon = check_range("epsilon", epsilon, 0.0, 1.0, include_low=False)

    def slots(self):
        return {"m": 0.0, "v": 0.0}

    def first_moments(self):
        return {"m": self.beta_1}

    def coefficients(self, step, learning_rate):
        # m_hat / (sqrt(v_hat) + epsilon) = root / mean * m / (sqrt(v) + epsilon * root)
        mean = missing(self.beta_1, step)
        root = tf.sqrt(missing(self.beta_2, step))
        return {"learning_rate": learning_rate * root / mean, "epsilon": self.epsilon * root}

    def update(self, w, g, slot, c):
        if slot["m"].dtype != w.dtype or "v_max" in slot:
            m = approach(slot["m"], g, single(self.beta_1))
            v = approach(slot["v"], tf.square(g), single(self.beta_2))
            if "v_max" in slot:
                v = slot["v_max"].assign(tf.maximum(slot["v_max"], v))
            delta = m / (tf.sqrt(v) + c["epsilon"])
            tf.raw_ops.ResourceApplyGradientDescent(var=w.handle, alpha=c["learning_rate"], delta=delta)
            return
        tf.raw_ops.ResourceApplyAdam(
            var=w.handle,
            m=slot["m"].handle,
            v=slot["v"].handle,
            beta1_power=tf.zeros([], w.dtype),  # the kernel's own correction, off: c has it for this variable's step
            beta2_power=tf.zeros([], w.dtype),
            lr=c["learning_rate"],
            beta1=tf.constant(single(self.beta_1), w.dtype),
            beta2=tf.constant(single(self.beta_2), w.dtype),
            epsilon=c["epsilon"],
            grad=g,
        )

    def get_config(self):
        return {**super().get_config(), "beta_1": self.beta_1, "beta_2": self.beta_2, "epsilon": self.epsilon}


class Adam(Moments):
    """Adaptive moment estimation.

    For a parameter w with gradient g at its own step t = 1, 2, ...:

        g = g + weight_decay * w
        m = beta_1 * m + (1 - beta_1) * g
        v = beta_2 * v + (1 - beta_2) * g ** 2
        v_max = maximum(v_max, v)                                        with amsgrad, used in place of v
        m_hat = m / (1 - beta_1 ** t)                                    bias_correction=False: m_hat = m
        v_hat = v / (1 - beta_2 ** t)                                    bias_correction=False: v_hat = v
        w = w - learning_rate * m_hat / (sqrt(v_hat) + epsilon)

    t counts the updates of this variable, not of the optimizer: one that is unfrozen at step 1,000 starts with t = 1.

    Args:
      learning_rate: float > 0, or a LearningRateSchedule; per optimizer step.
      beta_1: float in [0, 1), decay of the mean of the gradients.
      beta_2: float in [0, 1), decay of the mean of their squares.
      epsilon: float > 0, added to the root.
      bias_correction: whether m and v are divided by what they lack at the start. Without it the first step is
        (1 - beta_1) / sqrt(1 - beta_2) times as long: 3.2 times with the defaults.
      amsgrad: whether the second moment may never fall.
      **settings: see `Optimizer`.
    Shapes: m, v and v_max have the shape and dtype of w.
    Raises: InputError if an argument is out of range.
    Reference: Kingma and Ba 2015, algorithm 1; Reddi et al. 2018 for amsgrad. Differs from Keras, which adds epsilon
      before the correction ("epsilon hat"); equal to PyTorch. The original BERT leaves the correction out
      (Mosbach et al. 2021, section 5). weight_decay is coupled, as in PyTorch; Keras' Adam decouples it, see `AdamW`.
    """

    def __init__(
        self,
        learning_rate=0.001,
        *,
        beta_1=0.9,
        beta_2=0.999,
        epsilon=1e-8,
        bias_correction=True,
        amsgrad=False,
        **settings,
    ):
        super().__init__(learning_rate, beta_1=beta_1, beta_2=beta_2, epsilon=epsilon, **settings)
        self.bias_correction = bool(bias_correction)
        self.amsgrad = bool(amsgrad)

    def slots(self):
        return super().slots() | ({"v_max": 0.0} if self.amsgrad else {})

    def coefficients(self, step, learning_rate):
        if self.bias_correction:
            return super().coefficients(step, learning_rate)
        return {"learning_rate": learning_rate, "epsilon": self.epsilon * tf.ones_like(step)}

    def get_config(self):
        return {**super().get_config(), "bias_correction": self.bias_correction, "amsgrad": self.amsgrad}


def single(beta):
    """beta as float32 kernels see it: 0.999 is 0.99900001 there, which changes 1 - beta by a part in 10**5."""
    return float(np.float32(beta))


def missing(beta, step):
    """1 - beta ** step, the share of the moments that is there already, for the beta of the kernels."""
    return 1.0 - tf.pow(tf.constant(single(beta), step.dtype), step)
