"""One label out of several for each example, whatever the examples are."""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np

from kft import errors
from kft.tasks import scores
from kft.tasks.head_settings import HeadSettings
from kft.tasks.losses import SmoothedCrossentropy, hard_labels
from kft.tasks.task import Task

TOP_K = 5


def classification(
    name: str,
    *,
    label_names: Sequence[str],
    settings: HeadSettings,
    tokenize: Callable | None = None,
) -> Task:
    """Classes that exclude each other: cross-entropy, accuracy, and top-5 accuracy for more than 5 classes.

    Scores over the whole data: accuracy, macro and micro F1, Matthews' correlation, F1 of each class.

    Args:
      name: of the task.
      label_names: of the classes.
      settings: of head and loss.
      tokenize: of the task.

    Raises: InputError, see `kft.tasks.make_task`.
    """
    label_names = as_label_names(label_names)
    return Task(
        name=name,
        label_names=label_names,
        head=settings.head(num_outputs=len(label_names)),
        loss=settings.loss(SmoothedCrossentropy, label_names),
        metrics=functools.partial(_metrics, len(label_names)),
        monitor="val_accuracy",
        monitor_mode="max",
        decode=functools.partial(_decode, label_names),
        references=_references,
        corpus_scores=functools.partial(_corpus_scores, label_names),
        score_names=(*scores.OF_LABELS, *(f"f1_{label}" for label in label_names)),
        tokenize=tokenize,
    )


def as_label_names(label_names: Sequence[str]) -> tuple[str, ...]:
    """Raises: InputError unless there are two at least, each one once."""
    label_names = tuple(label_names)
    twice = sorted({name for name in label_names if label_names.count(name) > 1})
    if len(label_names) < 2 or twice:
        raise errors.InputError(
            f"Got {len(label_names)} label names{', twice each: ' if twice else ''}{', '.join(map(repr, twice))}. "
            "Expected at least 2 classes, each named once. Check the class folders or the label column."
        )
    return label_names


def balanced_class_weights(num_examples_per_class: Mapping[str, int]) -> tuple[float, ...]:
    """Weights by which all classes count the same: examples / (classes * examples of the class); 1 without examples.

    Example:
      >>> balanced_class_weights({"no": 30, "yes": 10})
      (0.6666666666666666, 2.0)
    """
    counts = num_examples_per_class.values()
    share = sum(counts) / max(1, sum(count > 0 for count in counts))
    return tuple(share / count if count else 1.0 for count in counts)


def softmax(logits: np.ndarray) -> np.ndarray:
    """Probabilities over the last axis, float64."""
    logits = np.asarray(logits, "float64")
    exponentials = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return exponentials / exponentials.sum(axis=-1, keepdims=True)


def _metrics(num_classes: int) -> list[keras.metrics.Metric]:
    top = (1, TOP_K) if num_classes > TOP_K else (1,)
    names = {1: "accuracy", TOP_K: f"top_{TOP_K}_accuracy"}
    return [keras.metrics.MeanMetricWrapper(_is_among, name=names[k], k=k) for k in top]


def _is_among(y_true, y_pred, k: int):
    """Whether the label is among the k classes with the highest logits."""
    labels = hard_labels(y_true, y_pred)
    if k == 1:
        return keras.ops.cast(keras.ops.equal(labels, keras.ops.argmax(y_pred, axis=-1)), "float32")
    return keras.ops.cast(keras.ops.in_top_k(labels, keras.ops.cast(y_pred, "float32"), k), "float32")


def _decode(label_names: tuple[str, ...], logits: np.ndarray, table=None, source=None) -> list[dict[str, Any]]:
    del table, source
    return [
        {"label": label_names[row.argmax()], "probabilities": dict(zip(label_names, row.tolist()))}
        for row in softmax(logits)
    ]


def _references(source: Any) -> list[str | None]:
    return [source.label_names[label] if label >= 0 else None for label in source.labels]


def _corpus_scores(label_names, predictions, references) -> dict[str, float]:
    return scores.of_labels([prediction["label"] for prediction in predictions], references, label_names)
