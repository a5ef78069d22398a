"""Adadelta."""

import tensorflow as tf

from kft.optimizers.base import Optimizer, check_range


class Adadelta(Optimizer):
    """Steps in the unit of the parameter: the mean size of past steps over that of the gradients.

    For a parameter w with gradient g:

        g = g + weight_decay * w
        mean_square = rho * mean_square + (1 - rho) * g ** 2
        step = sqrt(mean_square_step + epsilon) / sqrt(mean_square + epsilon) * g
        mean_square_step = rho * mean_square_step + (1 - rho) * step ** 2
        w = w - learning_rate * step

    Args:
      learning_rate: float > 0, or a LearningRateSchedule; 1 is the published rule.
      rho: float in [0, 1), decay of the means.
      epsilon: float > 0, inside the roots; it sets the size of the first steps.
      **settings: see `Optimizer`.
    Shapes: mean_square and mean_square_step have the shape and dtype of w.
    Raises: InputError if an argument is out of range.
    Reference: Zeiler 2012, algorithm 1. Equal to Keras and PyTorch; Keras' default learning rate is 0.001.
    """

    def __init__(self, learning_rate=1.0, *, rho=0.95, epsilon=1e-6, **settings):
        super().__init__(learning_rate, **settings)
        self.rho = check_range("rho", rho, 0.0, 1.0)
        self.epsilon = check_range("epsilon", epsilon, 0.0, 1.0, include_low=False)

    def slots(self):
        return {"mean_square": 0.0, "mean_square_step": 0.0}

    def update(self, w, g, slot, c):
        tf.raw_ops.ResourceApplyAdadelta(
            var=w.handle,
            accum=slot["mean_square"].handle,
            accum_update=slot["mean_square_step"].handle,
            lr=c["learning_rate"],
            rho=tf.constant(self.rho, w.dtype),
            epsilon=tf.constant(self.epsilon, w.dtype),
            grad=g,
        )

    def get_config(self):
        return {**super().get_config(), "rho": self.rho, "epsilon": self.epsilon}
