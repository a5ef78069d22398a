"""Losses and metrics as sums over weighted examples, so that padding, replicas and accumulation change nothing."""

from typing import Any

import keras
import tensorflow as tf

from kft import errors

MEANS = ("sum_over_batch_size", "mean", "mean_with_sample_weight")


def loss_sums(losses: Any, y: Any, y_pred: Any, weight: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """The weighted sum of a compiled loss, and the sum of the weights it is to be divided by.

        loss_sum   = sum over elements of weight * loss
        weight_sum = sum over elements of weight

    where the weight of an example counts for each of its elements (tokens, pixels), and a Keras mask of y_pred
    makes the weight 0. With several losses each one is averaged over an example's elements first, so that all
    share the sum of the examples' weights as divisor.

    Args:
      losses: what Keras' `compile(loss=...)` resolved to: items with path, loss, loss_weights.
      y: targets, in the structure of y_pred.
      y_pred: outputs of the model.
      weight: (B,) or the shape of the losses, >= 0.

    Shapes: both results are float32 scalars.
    Raises: InputError for a loss that is no mean over examples.
    """
    several = len(losses) > 1
    total, weight_sum = 0.0, tf.reduce_sum(tf.cast(weight, tf.float32))
    for path, loss, loss_weight, _ in losses:
        if loss.reduction not in MEANS:
            raise errors.InputError(
                f"Got loss {loss.name!r} with reduction={loss.reduction!r}. Expected a mean over the examples: "
                f"one of {', '.join(map(repr, MEANS))}. Leave `reduction` out."
            )
        values, element_weight = _elements(loss, _follow(path, y), _follow(path, y_pred), weight)
        if several:
            elements = tf.maximum(tf.size(values) // tf.size(weight), 1)
            values = values / tf.cast(elements, tf.float32)
        else:
            weight_sum = tf.reduce_sum(element_weight)
        value = tf.reduce_sum(tf.where(element_weight > 0, values * element_weight, 0.0))
        total += value * (1.0 if loss_weight is None else loss_weight)
    return total, weight_sum


def _elements(loss: keras.Loss, y: Any, y_pred: Any, weight: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Loss of every element, and its weight, in the same shape."""
    mask = getattr(y_pred, "_keras_mask", None)
    convert = lambda tensor: tf.cast(tensor, loss.dtype)  # noqa: E731  as Keras does before it calls a loss
    values = tf.cast(loss.call(keras.tree.map_structure(convert, y), convert(y_pred)), tf.float32)
    weight = tf.cast(weight, tf.float32)
    if weight.shape.rank == values.shape.rank + 1 and weight.shape[-1] == 1:
        weight = tf.squeeze(weight, -1)
    while weight.shape.rank < values.shape.rank:
        weight = tf.expand_dims(weight, -1)
    weight = weight * tf.ones_like(values)
    if mask is not None:
        weight = weight * tf.cast(mask, tf.float32)
    return values, weight


def _follow(path: tuple, structure: Any) -> Any:
    for key in path:
        structure = structure[key]
    return structure


def drop_padding(weight: tf.Tensor, *structures: Any) -> tuple[Any, ...]:
    """Takes out what has weight 0, so that any metric is right, also one that takes no weights.

    Args:
      weight: (B,) or (B, T), >= 0.
      structures: tensors, or nests of tensors, that start with the shape of weight.

    Returns: the weight and the structures with only the rows (B,) or elements (B, T) of positive weight, in
      their order, along one first axis.
    """
    keep = weight > 0
    select = lambda tensor: tf.boolean_mask(tensor, keep)  # noqa: E731
    return tuple(keras.tree.map_structure(select, structure) for structure in (weight, *structures))
