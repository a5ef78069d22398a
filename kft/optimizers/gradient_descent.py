"""Gradient descent."""

import tensorflow as tf

from kft.optimizers.base import Optimizer


class GradientDescent(Optimizer):
    """Gradient descent.

    For a parameter w with gradient g:

        g = g + weight_decay * w
        w = w - learning_rate * g

    On a random batch it is stochastic gradient descent; with `accumulate_steps` over the whole data set it is
    full-batch gradient descent.

    Args:
      learning_rate: float > 0, or a LearningRateSchedule; per optimizer step.
      **settings: see `Optimizer`.
    Shapes: no slots.
    Raises: InputError if an argument is out of range.
    Reference: Robbins and Monro 1951; Cauchy 1847 for the full batch.
    """

    takes_slices = True

    def __init__(self, learning_rate=0.01, **settings):
        super().__init__(learning_rate, **settings)

    def update(self, w, g, slot, c):
        if isinstance(g, tf.IndexedSlices):
            step = c["learning_rate"] * g.values
            tf.raw_ops.ResourceScatterSub(resource=w.handle, indices=g.indices, updates=step)
            return
        tf.raw_ops.ResourceApplyGradientDescent(var=w.handle, alpha=c["learning_rate"], delta=g)
