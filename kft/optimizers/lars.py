"""LARS."""

import tensorflow as tf

from kft.optimizers.base import Optimizer, check_range
from kft.optimizers.lamb import trust_ratio
from kft.optimizers.momentum import move


class LARS(Optimizer):
    """Momentum with a rate of its own for each layer, by the size of weights and gradient: for large batches.

    For a parameter w with gradient g:

        trust = trust_coefficient * norm(w) / (norm(g) + weight_decay * norm(w))
                                                1 where either norm is 0, and for vectors: biases and norms
        velocity = momentum * velocity + learning_rate * trust * (g + weight_decay * w)
        w = w - velocity

    Args:
      learning_rate: float > 0, or a LearningRateSchedule; per optimizer step.
      momentum: float in [0, 1).
      trust_coefficient: float > 0, eta of the paper.
      **settings: see `Optimizer`.
    Shapes: velocity has the shape and dtype of w.
    Raises: InputError if an argument is out of range.
    Reference: You et al. 2017, eq. 6 and algorithm 1. Differs: vectors are not adapted, as in the released code.
    """

    decay_form = "own"

    def __init__(self, learning_rate=0.1, *, momentum=0.9, trust_coefficient=0.001, **settings):
        super().__init__(learning_rate, **settings)
        self.momentum = check_range("momentum", momentum, 0.0, 1.0)
        self.trust_coefficient = check_range("trust_coefficient", trust_coefficient, 0.0, 1e6, include_low=False)

    def slots(self):
        return {"velocity": 0.0}

    def first_moments(self):
        return {"velocity": self.momentum}

    def update(self, w, g, slot, c):
        rate = c["learning_rate"]
        if w.shape.rank > 1:
            size = tf.norm(w)
            rate *= trust_ratio(self.trust_coefficient * size, tf.norm(g) + c["weight_decay"] * size)
        if c["weight_decay"]:
            g += c["weight_decay"] * w
        move(w, rate * g, slot["velocity"], tf.ones([], w.dtype), self.momentum)

    def get_config(self):
        return {**super().get_config(), "momentum": self.momentum, "trust_coefficient": self.trust_coefficient}
