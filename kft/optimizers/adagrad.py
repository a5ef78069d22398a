"""Adagrad."""

import tensorflow as tf

from kft.optimizers.base import Optimizer, check_range


class Adagrad(Optimizer):
    """Adaptive subgradient method: elements with large gradients so far move slowly.

    For a parameter w with gradient g:

        g = g + weight_decay * w
        total = total + g ** 2
        w = w - learning_rate * g / (sqrt(total) + epsilon)

    Args:
      learning_rate: float > 0, or a LearningRateSchedule; per optimizer step.
      initial_total: float >= 0, where total starts; more than 0 shortens the first steps.
      epsilon: float > 0, added to the root.
      **settings: see `Optimizer`.
    Shapes: total has the shape and dtype of w.
    Raises: InputError if an argument is out of range.
    Reference: Duchi et al. 2011, figure 1 with diagonal matrices; delta is epsilon. Equal to PyTorch. Differs from
      Keras, which starts total at 0.1 and puts epsilon inside the root.
    """

    def __init__(self, learning_rate=0.01, *, initial_total=0.0, epsilon=1e-10, **settings):
        super().__init__(learning_rate, **settings)
        self.initial_total = check_range("initial_total", initial_total, 0.0, float("inf"))
        self.epsilon = check_range("epsilon", epsilon, 0.0, 1.0, include_low=False)

    def slots(self):
        return {"total": self.initial_total}

    def update(self, w, g, slot, c):
        tf.raw_ops.ResourceApplyAdagradV2(
            var=w.handle,
            accum=slot["total"].handle,
            lr=c["learning_rate"],
            epsilon=tf.constant(self.epsilon, w.dtype),
            grad=g,
        )

    def get_config(self):
        return {**super().get_config(), "initial_total": self.initial_total, "epsilon": self.epsilon}
