"""RMSProp."""

import tensorflow as tf

from kft.optimizers.base import Optimizer, check_range
from kft.optimizers.means import approach, store


class RMSProp(Optimizer):
    """Gradient descent by the gradient over its root mean square.

    For a parameter w with gradient g:

        g = g + weight_decay * w
        mean_square = rho * mean_square + (1 - rho) * g ** 2
        mean = rho * mean + (1 - rho) * g                                   with centered; otherwise mean = 0
        step = momentum * step + learning_rate * g / sqrt(mean_square - mean ** 2 + epsilon)
        w = w - step

    Args:
      learning_rate: float > 0, or a LearningRateSchedule; per optimizer step.
      rho: float in [0, 1), decay of the means.
      momentum: float in [0, 1); 0 keeps no slot for it.
      epsilon: float > 0, inside the root.
      centered: whether to divide by the standard deviation.
      **settings: see `Optimizer`.
    Shapes: mean_square, mean and step have the shape and dtype of w.
    Raises: InputError if an argument is out of range.
    Reference: Tieleman and Hinton 2012, lecture 6.5; Graves 2013, eq. 38-41, whose form this is (rho 0.95, momentum
      0.9, epsilon 1e-4 there). Equal to Keras; differs from PyTorch, which adds epsilon to the root and multiplies
      the momentum by the learning rate.
    """

    def __init__(self, learning_rate=0.001, *, rho=0.9, momentum=0.0, epsilon=1e-7, centered=False, **settings):
        super().__init__(learning_rate, **settings)
        self.rho = check_range("rho", rho, 0.0, 1.0)
        self.momentum = check_range("momentum", momentum, 0.0, 1.0)
        self.epsilon = check_range("epsilon", epsilon, 0.0, 1.0, include_low=False)
        self.centered = bool(centered)

    def slots(self):
        used = {"mean_square": True, "mean": self.centered, "step": self.momentum > 0}
        return {name: 0.0 for name in used if used[name]}

    def first_moments(self):
        return {"step": self.momentum}

    def update(self, w, g, slot, c):
        approach(slot["mean_square"], tf.square(g), self.rho)
        variance = slot["mean_square"] + tf.constant(self.epsilon, w.dtype)
        if self.centered:
            approach(slot["mean"], g, self.rho)
            variance -= tf.square(slot["mean"])
        step = g * tf.math.rsqrt(variance)
        if self.momentum:
            momentum = tf.constant(self.momentum, w.dtype)
            w.assign_sub(store(slot["step"], momentum * tf.cast(slot["step"], w.dtype) + c["learning_rate"] * step))
        else:
            tf.raw_ops.ResourceApplyGradientDescent(var=w.handle, alpha=c["learning_rate"], delta=step)

    def get_config(self):
        return {
            **super().get_config(),
            "rho": self.rho,
            "momentum": self.momentum,
            "epsilon": self.epsilon,
            "centered": self.centered,
        }
