"""R-Drop: what two draws of dropout say of one example is drawn together."""

from typing import Any

import keras
import tensorflow as tf

from kft import errors
from kft.tasks.losses import SmoothedCrossentropy
from kft.training import mixout


def check(task: Any, r_drop: float) -> float:
    """The strength as a float.

    Raises: InputError if it is negative, or the task's outputs are no logits of classes.
    """
    if not 0 <= r_drop < float("inf"):
        raise errors.InputError(f"Got r_drop={r_drop!r}. Expected a number >= 0. Use 0 for none, or 1.")
    if r_drop and not isinstance(task.loss, SmoothedCrossentropy):
        raise errors.InputError(
            f"Got r_drop={r_drop!r} for the task {task.name!r}. Expected a task with one class of several for each "
            "example or token. Use r_drop=0."
        )
    return float(r_drop)


def forward(model: Any, x: Any, y: Any, weight: tf.Tensor) -> tuple[Any, tf.Tensor, tf.Tensor]:
    """Outputs of a training step, and its sums of losses and of weights.

    With r_drop = a > 0 the batch runs through the model twice, side by side, so that each example meets two draws of
    dropout. With their logits p and q:

        loss_i = (loss(y_i, p_i) + loss(y_i, q_i)) / 2 + a / 4 * (KL(p_i || q_i) + KL(q_i || p_i))

    Args:
      model: FineTuneModel.
      x, y, weight: a batch.

    Returns: the outputs of the first draw, and the two sums of `weighted.loss_sums`.
    Reference: Liang et al. 2021, eq. 4. Differs: half of it, so that the scale is that of the loss without R-Drop.
    """
    if not model.r_drop:
        y_pred = mixout.forward(model, lambda: model._forward(x, training=True))
        return y_pred, *model._loss_sums(y, y_pred, weight)
    twice = keras.tree.map_structure(lambda value: tf.concat([value, value], 0), x)
    both = mixout.forward(model, lambda: model._forward(twice, training=True))
    p, q = tf.split(both, 2)
    (p_sum, weight_sum), (q_sum, _) = (model._loss_sums(y, logits, weight) for logits in (p, q))
    log_p, log_q = (tf.nn.log_softmax(tf.cast(logits, tf.float32)) for logits in (p, q))
    # KL(p || q) + KL(q || p), of each example or token
    distance = tf.reduce_sum((tf.exp(log_p) - tf.exp(log_q)) * (log_p - log_q), -1)
    element_weight = tf.cast(weight, tf.float32)
    while element_weight.shape.rank < distance.shape.rank:
        element_weight = tf.expand_dims(element_weight, -1)
    between = tf.reduce_sum(tf.where(element_weight > 0, distance * element_weight, 0.0))
    return p, 0.5 * (p_sum + q_sum) + 0.25 * model.r_drop * between, weight_sum
