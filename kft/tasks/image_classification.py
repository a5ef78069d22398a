"""One label per image."""

import functools
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from kft import errors
from kft.models import heads
from kft.tasks.task import Task

TOP_K = 5


def image_classification(
    *,
    label_names: Sequence[str],
    head_dropout: float = 0.0,
    head_hidden_units: Sequence[int] | str = (),
    head_activation: str = "relu",
    label_smoothing: float = 0.0,
) -> Task:
    """Classes that exclude each other: cross-entropy, accuracy, and top-5 accuracy for more than 5 classes.

    Args and Raises: see `kft.tasks.make_task`.
    """
    label_names = tuple(label_names)
    twice = sorted({name for name in label_names if label_names.count(name) > 1})
    if len(label_names) < 2 or twice:
        raise errors.InputError(
            f"Got {len(label_names)} label names{', twice each: ' if twice else ''}{', '.join(map(repr, twice))}. "
            "Expected at least 2 classes, each named once. Check the class folders or the label column."
        )
    return Task(
        name="image_classification",
        label_names=label_names,
        head=functools.partial(
            heads.make_head,
            num_outputs=len(label_names),
            dropout=head_dropout,
            hidden_units=heads.as_hidden_units(head_hidden_units),
            activation=head_activation,
        ),
        loss=SmoothedCrossentropy(label_smoothing),
        metrics=functools.partial(_metrics, len(label_names)),
        monitor="val_accuracy",
        monitor_mode="max",
        decode=functools.partial(_decode, label_names),
    )


@keras.saving.register_keras_serializable(package="kft")
class SmoothedCrossentropy(keras.losses.Loss):
    """Cross-entropy of integer labels and logits, with label smoothing.

    For one example with label y and K classes:

        log_p = log_softmax(logits)
        loss = -(1 - label_smoothing) * log_p[y] - label_smoothing * mean(log_p)

    which is the cross-entropy with the target (1 - label_smoothing) * one_hot(y, K) + label_smoothing / K.

    Args:
      label_smoothing: in [0, 1).
    Shapes: labels (batch,) integers; logits (batch, K); the loss of `call` (batch,).
    Raises: InputError if label_smoothing is out of range.
    Reference: Szegedy et al. 2016, section 7.
    """

    def __init__(self, label_smoothing: float = 0.0, name: str = "smoothed_crossentropy", **arguments: Any):
        super().__init__(name=name, **arguments)
        if not 0 <= label_smoothing < 1:
            raise errors.InputError(
                f"Got label_smoothing={label_smoothing!r}. Expected a number in [0, 1). Use 0 for none, or 0.1."
            )
        self.label_smoothing = label_smoothing

    def call(self, y_true, y_pred):
        # Of sparse labels, as one_hot would take a label out of range for no class at all, and say nothing.
        loss = keras.losses.sparse_categorical_crossentropy(y_true, y_pred, from_logits=True)
        if self.label_smoothing:
            uniform = -keras.ops.mean(keras.ops.log_softmax(y_pred), axis=-1)
            loss = (1 - self.label_smoothing) * loss + self.label_smoothing * uniform
        return loss

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "label_smoothing": self.label_smoothing}


def _metrics(num_classes: int) -> list[keras.metrics.Metric]:
    metrics: list[keras.metrics.Metric] = [keras.metrics.SparseCategoricalAccuracy(name="accuracy")]
    if num_classes > TOP_K:
        metrics.append(keras.metrics.SparseTopKCategoricalAccuracy(TOP_K, name=f"top_{TOP_K}_accuracy"))
    return metrics


def _decode(label_names: tuple[str, ...], logits: np.ndarray) -> list[dict[str, Any]]:
    logits = np.asarray(logits, "float64")
    exponentials = np.exp(logits - logits.max(axis=-1, keepdims=True))
    rows = exponentials / exponentials.sum(axis=-1, keepdims=True)
    return [{"label": label_names[row.argmax()], "probabilities": dict(zip(label_names, row.tolist()))} for row in rows]
