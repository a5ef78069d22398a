"""Any number of labels for each example, whatever the examples are."""

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np

from kft import errors
from kft.tasks import scores
from kft.tasks.head_settings import HeadSettings
from kft.tasks.losses import SigmoidCrossentropy
from kft.tasks.task import Task

THRESHOLD = 0.5


def multi_label(
    name: str,
    *,
    label_names: Sequence[str],
    settings: HeadSettings,
    tokenize: Callable | None = None,
) -> Task:
    """Labels that do not exclude each other: a sigmoid for each, and a threshold that can be chosen.

    Scores over the whole data: micro and macro F1, the share of examples without any mistake, F1 of each label.

    Args:
      name: of the task.
      label_names: of the labels.
      settings: of head and loss.
      tokenize: of the task.

    Raises: InputError, see `kft.tasks.make_task`.
    """
    label_names = tuple(label_names)
    if not label_names or len(set(label_names)) < len(label_names):
        raise errors.InputError(
            f"Got the label names {label_names!r}. Expected at least one, each named once. Check the label column."
        )
    task = Task(
        name=name,
        label_names=label_names,
        head=settings.head(num_outputs=len(label_names)),
        loss=settings.loss(SigmoidCrossentropy, label_names),
        metrics=lambda: [keras.metrics.MeanMetricWrapper(_accuracy, name="label_accuracy")],
        monitor="val_micro_f1",
        monitor_mode="max",
        decode=functools.partial(_decode, label_names, {}),
        references=_references,
        corpus_scores=functools.partial(_corpus_scores, label_names),
        score_names=(*scores.OF_SETS, *(f"f1_{label}" for label in label_names)),
        tokenize=tokenize,
        calibrate=functools.partial(best_thresholds, label_names),
    )
    return dataclasses.replace(task, calibrated=functools.partial(_calibrated, task))


def best_thresholds(
    label_names: Sequence[str], predictions: Sequence[dict[str, Any]], references: Sequence[Sequence[str]]
) -> dict[str, dict[str, float]]:
    """For each label the threshold of its probability with the highest F1: the one nearest to 0.5, if several have it.

    Args:
      label_names: of the model.
      predictions: with "probabilities".
      references: the label names of each example.

    Returns: {"thresholds": {label name: threshold}}; a probability equal to the threshold is enough.
    Raises: InputError if the numbers of examples differ, or there are none.
    """
    scores.check_pairs(predictions, references)
    thresholds = {}
    for name in label_names:
        probabilities = np.array([prediction["probabilities"][name] for prediction in predictions])
        given = np.array([name in reference for reference in references])
        thresholds[name] = _best_threshold(probabilities, given) if given.any() else THRESHOLD
    return {"thresholds": thresholds}


def _best_threshold(probabilities: np.ndarray, given: np.ndarray) -> float:
    """Among the middles between neighbouring probabilities, or 0.5 where it parts the same ones."""
    order = np.argsort(-probabilities, kind="stable")
    high, hits = probabilities[order], np.cumsum(given[order])
    last_of_equal = np.append(high[1:] < high[:-1], True)
    f1 = (2 * hits / (np.arange(1, len(high) + 1) + given.sum()))[last_of_equal]
    high = high[last_of_equal]
    low = np.append(high[1:], 0.0)
    cuts = np.where((low < THRESHOLD) & (high >= THRESHOLD), THRESHOLD, (high + low) / 2)
    best = cuts[f1 >= f1.max() - 1e-12]
    return float(best[np.argmin(np.abs(best - THRESHOLD))])


def _calibrated(task: Task, calibration: Mapping[str, Mapping[str, float]]) -> Task:
    thresholds = dict(calibration["thresholds"])
    return dataclasses.replace(
        task, decode=functools.partial(_decode, task.label_names, thresholds), calibration=dict(calibration)
    )


def _accuracy(y_true, y_pred):
    right = keras.ops.equal(y_true > 0.5, y_pred > 0)
    return keras.ops.mean(keras.ops.cast(right, "float32"), axis=-1)


def _decode(label_names, thresholds, logits: np.ndarray, table=None, source=None) -> list[dict[str, Any]]:
    del table, source
    least = np.array([thresholds.get(name, THRESHOLD) for name in label_names])
    probabilities = 0.5 * (1 + np.tanh(0.5 * np.asarray(logits, "float64")))
    return [
        {
            "labels": [name for name, enough in zip(label_names, row >= least) if enough],
            "probabilities": dict(zip(label_names, row.tolist())),
        }
        for row in probabilities
    ]


def _references(source: Any) -> list[list[str]]:
    return [[source.label_names[place] for place in np.flatnonzero(row > 0.5)] for row in source.targets]


def _corpus_scores(label_names, predictions, references) -> dict[str, float]:
    return scores.of_sets([prediction["labels"] for prediction in predictions], references, label_names)
