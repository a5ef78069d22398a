"""What happens to gradients between the backward pass and the rule."""

from collections.abc import Sequence

import tensorflow as tf


def dense(gradient: tf.Tensor | tf.IndexedSlices, shape: Sequence[int]) -> tf.Tensor:
    """The gradient as one tensor; rows of an embedding that were looked up several times are summed."""
    if isinstance(gradient, tf.IndexedSlices):
        return tf.math.unsorted_segment_sum(gradient.values, gradient.indices, shape[0])
    return gradient


def sum_over_replicas(values: Sequence[tf.Tensor | tf.IndexedSlices]) -> list[tf.Tensor | tf.IndexedSlices]:
    """Adds up what the replicas hold, all values in one all-reduce. Called in replica context."""
    replica = tf.distribute.get_replica_context()
    if replica.num_replicas_in_sync == 1:
        return list(values)
    return replica.all_reduce(tf.distribute.ReduceOp.SUM, list(values))


def times(gradient: tf.Tensor | tf.IndexedSlices, factor: tf.Tensor | float | None):
    """gradient * factor, slices as slices; with None the gradient."""
    if factor is None:
        return gradient
    if isinstance(gradient, tf.IndexedSlices):
        return tf.IndexedSlices(times(gradient.values, factor), gradient.indices, gradient.dense_shape)
    return gradient * tf.cast(factor, gradient.dtype)


def global_norm(gradients: Sequence[tf.Tensor | tf.IndexedSlices]) -> tf.Tensor:
    """sqrt(sum of the squares of all elements), float32; rows of one id are summed first, else it is too small.

    One read of the gradients, no copy of dense ones.
    """
    return tf.sqrt(tf.reduce_sum(squares(gradients)))


def squares(gradients: Sequence[tf.Tensor | tf.IndexedSlices]) -> tf.Tensor:
    """The squared norm of each, float32; rows of one id are summed first.

    Sum them with `tf.reduce_sum`, not `tf.add_n`: on a CPU that begins with whichever of its arguments nobody else
    needs any more at that moment, so with a second consumer the last bit depends on which thread is faster.
    """
    parts = [_summed_rows(part) if isinstance(part, tf.IndexedSlices) else part for part in gradients]
    return tf.stack([2.0 * tf.cast(tf.nn.l2_loss(part), tf.float32) for part in parts])


def _summed_rows(slices):
    """A row for each id, and zeros for the rest, in the shape of the slices' values."""
    _, row = tf.unique(slices.indices)
    return tf.math.unsorted_segment_sum(slices.values, row, tf.shape(slices.values)[0])


def clip_factor(norm: tf.Tensor, max_norm: float) -> tf.Tensor:
    """What to multiply gradients of this norm with: min(1, max_norm / norm).

    Reference: Pascanu et al. 2013, algorithm 1.
    """
    return tf.minimum(1.0, max_norm / norm)
