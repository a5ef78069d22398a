"""One number for each image, text, or pair of texts."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from kft import errors
from kft.tasks import scores, text_rows
from kft.tasks.head_settings import HeadSettings
from kft.tasks.losses import SquaredError
from kft.tasks.task import Task


def regression(
    *,
    label_names: Sequence[str] = (),
    settings: HeadSettings,
    images: bool = False,
) -> Task:
    """A number: squared error. Scores over the whole data: Pearson's and Spearman's correlation, mean squared error.

    Args:
      label_names: none.
      settings: of the head.
      images: whether the examples are images.

    Raises: InputError for label names; and see `kft.tasks.make_task`.
    """
    if label_names:
        raise errors.InputError(
            f"Got the label names {tuple(label_names)!r} for a regression. Expected numbers to learn. Use "
            "text_classification, or read the labels as numbers."
        )
    return Task(
        name="regression",
        label_names=(),
        head=settings.head(num_outputs=1),
        loss=SquaredError(),
        metrics=lambda: [keras.metrics.MeanMetricWrapper(_absolute_error, name="mean_absolute_error")],
        monitor="val_loss",
        monitor_mode="min",
        decode=_decode,
        references=lambda source: np.asarray(source.targets, "float64").tolist(),
        corpus_scores=_corpus_scores,
        score_names=scores.OF_VALUES,
        tokenize=None if images else text_rows.with_targets,
    )


def _absolute_error(y_true, y_pred):
    return keras.ops.abs(y_true - keras.ops.squeeze(y_pred, -1))


def _decode(logits: np.ndarray, table=None, source=None) -> list[dict[str, Any]]:
    del table, source
    return [{"value": float(value)} for value in np.asarray(logits).reshape(-1)]


def _corpus_scores(predictions: Sequence[dict[str, Any]], references: Sequence[float]) -> dict[str, float]:
    return scores.of_values([prediction["value"] for prediction in predictions], references)
