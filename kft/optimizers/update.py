"""One update on one device: the order of what `Optimizer` documents."""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from kft.optimizers import gradients as gradients_lib
from kft.optimizers import penalties, slots

GOOD_UPDATES_TO_DOUBLE = 2000


def update(optimizer, indices: Sequence[int], gradients: Sequence[tf.Tensor], weight: tf.Tensor | None):
    """Updates, or accumulates, unless there is nothing to divide by or the gradient is not finite.

    Args:
      optimizer: the Optimizer, built.
      indices: which of its variables.
      gradients: their sums over all examples; with weight None, their means.
      weight: float32 scalar, the sum of all examples' weights; or None.

    Returns: the norm of the mean gradient; None where weight is None and nobody needs it.
    """
    dynamic = optimizer.loss_scale_factor == "dynamic"
    unscale = None if optimizer.loss_scale_factor is None else 1.0 / slots.loss_scale(optimizer)
    if weight is None and optimizer.accumulate_steps == 1 and not dynamic:
        _update_all(optimizer, indices, gradients, unscale)
        return None
    means = weight is None
    checked = dynamic or not means
    weight = tf.ones([]) if means else weight
    factor = _product(tf.math.divide_no_nan(1.0, weight), unscale)
    squares = gradients_lib.squares(gradients)
    norm = tf.sqrt(tf.reduce_sum(squares)) * factor
    if optimizer.gradient_listener is not None:
        optimizer.gradient_listener(indices, squares * factor**2)
    finite = tf.math.is_finite(norm) if checked else tf.constant(True)
    if dynamic:
        if means:  # who hands over sums looks at the norm
            can_fall = slots.loss_scale(optimizer) > 1.0
            tf.debugging.check_numerics(
                tf.where(can_fall, 0.0, norm), "Got a gradient that is not finite at loss scale 1"
            )
        _adapt_loss_scale(optimizer, finite, weight > 0.0)

    if optimizer.accumulate_steps > 1:
        # A call without weight counts as one, so that the number of updates does not depend on the data.
        ready, act = finite, lambda: _accumulate(optimizer, indices, gradients, unscale, weight)
    else:
        ready, act = finite & (weight > 0.0), lambda: _update_all(optimizer, indices, gradients, factor, norm)
    _when(ready, act)
    return norm


def flush(optimizer, indices: Sequence[int]) -> None:
    """Updates with what is accumulated, if anything, and empties it."""
    weight = optimizer.accumulated_weight.value
    accumulated = [optimizer.accumulated[index].value for index in indices]

    def update_accumulated():
        _update_all(optimizer, indices, [tf.convert_to_tensor(value) for value in accumulated], 1.0 / weight)

    _when(weight > 0.0, update_accumulated)
    for variable in (*accumulated, weight, optimizer.accumulated_calls.value):
        variable.assign(tf.zeros_like(variable))


def _accumulate(optimizer, indices, gradients, unscale, weight):
    for index, gradient in zip(indices, gradients):
        accumulated = optimizer.accumulated[index].value
        accumulated.assign_add(gradients_lib.dense(gradients_lib.times(gradient, unscale), accumulated.shape))
    optimizer.accumulated_weight.value.assign_add(weight)
    calls = optimizer.accumulated_calls.value
    calls.assign_add(1)
    _when(calls >= optimizer.accumulate_steps, lambda: flush(optimizer, indices))


def _when(condition, act):
    """Does it or not, in a graph too."""

    def do():
        act()
        return True

    tf.cond(condition, do, lambda: False)


def _update_all(optimizer, indices, gradients, factor, norm=None):
    """Updates the variables at these indices with gradients * factor; norm, if known, is that of the product."""
    variables = [optimizer._trainable_variables[index] for index in indices]
    if optimizer.l1_penalties[indices].any() or optimizer.l2_penalties[indices].any():
        gradients = [
            penalties.with_gradient(
                gradients_lib.dense(gradients_lib.times(gradient, factor), variable.shape),
                variable.value,
                optimizer.l1_penalties[i],
                optimizer.l2_penalties[i],
            )
            for i, gradient, variable in zip(indices, gradients, variables)
        ]
        factor = norm = None
    if optimizer.global_clipnorm:
        norm = _product(gradients_lib.global_norm(gradients), factor) if norm is None else norm
        factor = _product(gradients_lib.clip_factor(norm, optimizer.global_clipnorm), factor)
    for index, variable, gradient, c in zip(
        indices, variables, gradients, _coefficients(optimizer, indices, variables)
    ):
        w = variable.value
        g = gradients_lib.times(gradient, factor)
        if not optimizer.slices_will_do():
            g = _clipped(optimizer, gradients_lib.dense(g, w.shape))
        slot = {name: members[index].value for name, members in optimizer.slot_variables.items()}
        optimizer.update(w, _decayed(optimizer, index, w, g, c), slot, c)
        if variable.constraint is not None:
            w.assign(variable.constraint(w))
        if optimizer.use_ema:
            average = optimizer.averages[index].value
            tf.raw_ops.ResourceApplyGradientDescent(var=average.handle, alpha=c["ema"], delta=average - w)
    optimizer.iterations.value.assign_add(1)


def _coefficients(optimizer, indices, variables):
    """Counts the variables' steps, and gives each what depends on its own step and rate: scalars in its dtype."""
    steps = optimizer.steps.value
    steps.assign_add(np.bincount(indices, minlength=steps.shape[0]).astype("int64"))
    step = tf.cast(tf.gather(steps, indices), tf.float64)
    learning_rate = tf.cast(optimizer.learning_rate, tf.float64) * optimizer.rate_scales[indices]
    vectors = dict(optimizer.coefficients(step, learning_rate))
    if optimizer.decay_form == "decoupled":
        vectors["shrink"] = learning_rate * optimizer.decays[indices]
    if optimizer.use_ema:
        vectors["ema"] = tf.where(step > 1.0, 1.0 - optimizer.ema_momentum, 1.0)
    dtypes = [tf.as_dtype(variable.dtype) for variable in variables]
    scalars = {
        name: {dtype: tf.unstack(tf.cast(vector, dtype)) for dtype in set(dtypes)} for name, vector in vectors.items()
    }
    return [
        {"weight_decay": float(optimizer.decays[index])} | {name: by[dtype][i] for name, by in scalars.items()}
        for i, (index, dtype) in enumerate(zip(indices, dtypes))
    ]


def _decayed(optimizer, index, w, g, c):
    """Shrinks w, or adds the decay to its gradient, as the rule says; the gradient to go on with."""
    if c["weight_decay"] == 0 or optimizer.decay_form == "own":
        return g
    start = optimizer.starts[index]
    distance = w if start is None else w - start.value
    if optimizer.decay_form == "coupled":
        return g + c["weight_decay"] * distance
    tf.raw_ops.ResourceApplyGradientDescent(var=w.handle, alpha=c["shrink"], delta=distance)
    return g


def _clipped(optimizer, g):
    if optimizer.clipnorm:
        g = tf.clip_by_norm(g, optimizer.clipnorm)
    if optimizer.clipvalue:
        g = tf.clip_by_value(g, -optimizer.clipvalue, optimizer.clipvalue)
    return g


def _adapt_loss_scale(optimizer, finite, any_weight):
    scale, good, skipped = (
        variable.value for variable in (optimizer.loss_scale, optimizer.good_updates, optimizer.skipped_updates)
    )
    counted = tf.cast(any_weight, tf.int64)
    new_good = tf.where(finite, good + counted, 0)
    grown = tf.where(new_good >= GOOD_UPDATES_TO_DOUBLE, 2.0 * scale, scale)
    scale.assign(tf.where(finite, grown, tf.maximum(0.5 * scale, 1.0)))
    good.assign(tf.where(new_good >= GOOD_UPDATES_TO_DOUBLE, tf.zeros_like(new_good), new_good))
    skipped.assign_add(tf.cast(~finite, tf.int64))


def _product(first, second):
    return first if second is None else first * second
