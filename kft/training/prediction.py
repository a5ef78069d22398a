"""What a model says of each example, in the order of the data."""

import weakref
from typing import Any

import numpy as np
import tensorflow as tf

_FORWARD: weakref.WeakKeyDictionary = weakref.WeakKeyDictionary()


def predict(model: Any, batches: tf.data.Dataset, *, per_token: bool = False) -> np.ndarray:
    """What the model gives for each example, in the order of the data, whatever the order of the batches.

    Args:
      model: FineTuneModel, in which nothing is changed.
      batches: of `kft.data.batches` or `kft.data.token_batches`, not shuffled.
      per_token: whether the model of texts gives something for each token.

    Returns: (examples, ...); of texts (rows of the table, ...), or with per_token (total tokens, ...) without padding.
    """
    table = getattr(batches, "table", None)
    if table is None:
        return model.predict(batches, verbose=0)
    forward, plan = _forward(model, batches.element_spec[0]), batches.plan.epoch(0)
    ordered: list[Any] = [None] * table.num_rows
    one_epoch = batches.from_epoch(0).take(batches.steps_per_epoch)
    for (x, *_), rows, weights in zip(one_epoch, plan.indices, plan.weights):
        outputs = forward(x).numpy()
        for place in np.flatnonzero(weights):
            row = rows[place]
            ordered[row] = outputs[place, : table.lengths[row]] if per_token else outputs[place]
    return np.concatenate(ordered) if per_token else np.stack(ordered)


def _forward(model: Any, spec: Any) -> tf.types.experimental.PolymorphicFunction:
    """What computes a batch; traced once for a model, however often it predicts."""
    made = _FORWARD.setdefault(model, {})
    key = repr(spec), bool(model.jit_compile)
    if key not in made:
        of = weakref.ref(model)  # the table above does not keep the model alive
        made[key] = tf.function(
            lambda x: of()(x, training=False), input_signature=[spec], autograph=False, jit_compile=key[1]
        )
    return made[key]
