"""One label out of several for each example, whatever the examples are."""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np

from kft import errors
from kft.models import heads
from kft.tasks import scores
from kft.tasks.losses import SmoothedCrossentropy, hard_labels
from kft.tasks.task import Task

TOP_K = 5


def classification(
    name: str,
    *,
    label_names: Sequence[str],
    head_dropout: float = 0.0,
    head_dropout_samples: int = 1,
    head_hidden_units: Sequence[int] | str = (),
    head_activation: str = "relu",
    label_smoothing: float = 0.0,
    class_weights: Sequence[float] | Mapping[str, float] = (),
    focal_gamma: float = 0.0,
    tokenize: Callable | None = None,
) -> Task:
    """Classes that exclude each other: cross-entropy, accuracy, and top-5 accuracy for more than 5 classes.

    Scores over the whole data: accuracy, macro and micro F1, Matthews' correlation.

    Args:
      name: of the task.
      tokenize: of the task.

    The others, and Raises: see `kft.tasks.make_task`.
    """
    label_names = as_label_names(label_names)
    return Task(
        name=name,
        label_names=label_names,
        head=functools.partial(
            heads.make_head,
            num_outputs=len(label_names),
            dropout=head_dropout,
            dropout_samples=head_dropout_samples,
            hidden_units=heads.as_hidden_units(head_hidden_units),
            activation=head_activation,
        ),
        loss=SmoothedCrossentropy(label_smoothing, as_class_weights(class_weights, label_names), focal_gamma),
        metrics=functools.partial(_metrics, len(label_names)),
        monitor="val_accuracy",
        monitor_mode="max",
        decode=functools.partial(_decode, label_names),
        references=_references,
        corpus_scores=_corpus_scores,
        score_names=scores.OF_LABELS,
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


def as_class_weights(
    class_weights: Sequence[float] | Mapping[str, float], label_names: Sequence[str]
) -> tuple[float, ...]:
    """One weight for each class.

    Args:
      class_weights: in the order of the classes, or by their names, where those left out have 1; empty for none.
      label_names: of the classes.

    Raises: InputError for an unknown class, another number of weights, a weight below 0 or all of them 0.

    Example:
      >>> as_class_weights({"yes": 3}, ["no", "yes"])
      (1.0, 3.0)
    """
    if isinstance(class_weights, Mapping):
        for name in class_weights:
            if name not in label_names:
                raise errors.unknown_name("class with a weight", name, label_names)
        class_weights = [class_weights.get(name, 1) for name in label_names] if class_weights else ()
    weights = tuple(map(float, class_weights))
    if weights and (len(weights) != len(label_names) or not all(0 <= w < np.inf for w in weights) or not any(weights)):
        raise errors.InputError(
            f"Got class_weights={class_weights!r}. Expected {len(label_names)} numbers >= 0, not all of them 0, one "
            f"for each of {', '.join(map(repr, label_names))}. Use 'balanced', or leave it out."
        )
    return weights


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


def _corpus_scores(predictions: Sequence[dict[str, Any]], references: Sequence[str]) -> dict[str, float]:
    return scores.of_labels([prediction["label"] for prediction in predictions], references)
