"""Gradient descent with momentum."""

import tensorflow as tf

from kft.optimizers.base import Optimizer, check_range
from kft.optimizers.means import store


class Momentum(Optimizer):
    """Gradient descent with momentum.

    For a parameter w with gradient g:

        g = g + weight_decay * w
        velocity = momentum * velocity + g
        w = w - learning_rate * velocity
        w = w - learning_rate * (g + momentum * velocity)    with nesterov, instead of the line above

    Args:
      learning_rate: float > 0, or a LearningRateSchedule; per optimizer step.
      momentum: float in [0, 1); 0 keeps no slot.
      nesterov: whether to look ahead by one step.
      **settings: see `Optimizer`.
    Shapes: velocity has the shape and dtype of w.
    Raises: InputError if an argument is out of range.
    Reference: Polyak 1964; Sutskever et al. 2013, eq. 1-2 and 7.1-7.4. Differs: the learning rate multiplies the
      velocity, not the gradient (as in PyTorch, not as in Keras), so a change of the rate acts at once.
    """

    def __init__(self, learning_rate=0.01, *, momentum=0.9, nesterov=False, **settings):
        super().__init__(learning_rate, **settings)
        self.momentum = check_range("momentum", momentum, 0.0, 1.0)
        self.nesterov = bool(nesterov)

    def slots(self):
        return {"velocity": 0.0} if self.momentum else {}

    def first_moments(self):
        return {"velocity": self.momentum}

    def update(self, w, g, slot, c):
        if not self.momentum:
            tf.raw_ops.ResourceApplyGradientDescent(var=w.handle, alpha=c["learning_rate"], delta=g)
            return
        move(w, g, slot["velocity"], c["learning_rate"], self.momentum, nesterov=self.nesterov)

    def get_config(self):
        return {**super().get_config(), "momentum": self.momentum, "nesterov": self.nesterov}


def move(
    w: tf.Variable, g: tf.Tensor, velocity: tf.Variable, rate: tf.Tensor, momentum: float, *, nesterov: bool = False
) -> None:
    """The rule of `Momentum`, for a velocity of any dtype."""
    factor = tf.constant(momentum, w.dtype)
    if velocity.dtype == w.dtype:
        tf.raw_ops.ResourceApplyMomentum(
            var=w.handle, accum=velocity.handle, lr=rate, grad=g, momentum=factor, use_nesterov=nesterov
        )
        return
    new = store(velocity, factor * tf.cast(velocity, w.dtype) + g)
    delta = g + factor * new if nesterov else new
    tf.raw_ops.ResourceApplyGradientDescent(var=w.handle, alpha=rate, delta=delta)
