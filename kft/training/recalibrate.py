"""BatchNorm statistics of the data that is trained on."""

from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras.src.models.functional import operation_fn


def recalibrate_batchnorm(model: Any, data: Any) -> int:
    """Replaces the moving statistics of every BatchNorm by those of the data, in one pass.

    With each BatchNorm of a batch b of n_b examples normalising by that batch:

        moving_mean     = sum_b(n_b * mean_b) / sum_b(n_b)
        moving_variance = sum_b(n_b * (variance_b + mean_b ** 2)) / sum_b(n_b) - moving_mean ** 2

    Batches are those of epoch 0 in the order of the data; one that is padded is left out, unless it is the only one.

    Args:
      model: FineTuneModel; nothing of it but the statistics changes.
      data: of `kft.data.batches`.

    Returns: the number of BatchNorm layers.
    Reference: Li et al. 2016, "Revisiting Batch Normalization for Practical Domain Adaptation" (AdaBN), algorithm 1.
      Differs: the variance is that over all batches, as if they were one.
    """
    layers = [layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)]
    if not layers:
        return 0
    moments = tf.function(lambda x: _moments(model, x), autograph=False)
    sums: dict[str, list[Any]] = {}
    for x, _, weight in data.examples([(np.arange(data.num_examples), 0)]):
        if sums and not np.all(weight):
            continue
        for name, calls in moments(x).items():
            for mean, variance in calls:
                mean, variance = (value.numpy().astype(np.float64) for value in (mean, variance))
                total = sums.setdefault(name, [0, 0.0, 0.0])
                total[0] += 1
                total[1] += mean
                total[2] += variance + mean**2
    for layer in layers:
        count, first, second = sums[layer.name]
        layer.moving_mean.assign(first / count)
        layer.moving_variance.assign(second / count - (first / count) ** 2)
    return len(layers)


def _moments(model: Any, x: Any) -> dict[str, list[tuple[tf.Tensor, tf.Tensor]]]:
    """Mean and variance of what goes into each BatchNorm, at each of its calls; all else runs in inference mode."""
    found: dict[str, list[tuple[tf.Tensor, tf.Tensor]]] = {}

    def operation(op):
        if not isinstance(op, keras.layers.BatchNormalization):
            return operation_fn(op, training=False)

        def normalize(value, **_):
            axes = [axis for axis in range(value.shape.rank) if axis != op.axis % value.shape.rank]
            mean, variance = tf.nn.moments(tf.cast(value, tf.float32), axes, keepdims=True)
            found.setdefault(op.name, []).append((tf.reshape(mean, [-1]), tf.reshape(variance, [-1])))
            scale = [
                None if own is None else tf.reshape(own.value, mean.shape)
                for own in (getattr(op, "beta", None), getattr(op, "gamma", None))
            ]
            result = tf.nn.batch_normalization(tf.cast(value, tf.float32), mean, variance, *scale, op.epsilon)
            return tf.cast(result, value.dtype)

        return normalize

    model._run_through_graph(model._standardize_inputs(x), operation_fn=operation)
    return found
