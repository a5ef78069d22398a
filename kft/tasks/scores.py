"""Scores over a whole corpus of predictions."""

from collections.abc import Sequence

import numpy as np

from kft import errors

OF_LABELS = ("accuracy", "macro_f1", "micro_f1", "matthews")


def of_labels(predicted: Sequence[str], references: Sequence[str]) -> dict[str, float]:
    """Accuracy, F1 and Matthews' correlation of one label for each example.

    With confusion matrix C (C[i, j]: how many of class i were predicted as j), trace c, sum s, row sums t and column
    sums p:

        accuracy = micro_f1 = c / s
        macro_f1 = mean over classes k of 2 * C[k, k] / (t[k] + p[k])
        matthews = (c * s - sum(t * p)) / sqrt((s**2 - sum(p**2)) * (s**2 - sum(t**2))), 0 where that is 0 / 0

    Classes that are neither referred to nor predicted are left out of the mean.

    Args:
      predicted, references: label names, as many of each.

    Raises: InputError if their numbers differ, or there are none.
    Reference: Gorodkin 2004, eq. 8 (Matthews' correlation of several classes).

    Example:
      >>> of_labels(["a", "a", "b", "b"], ["a", "b", "b", "b"])["accuracy"]
      0.75
    """
    check_pairs(predicted, references)
    names, ids = np.unique([*predicted, *references], return_inverse=True)
    ids = ids.reshape(2, -1)
    confusion = np.zeros((len(names), len(names)))
    np.add.at(confusion, (ids[1], ids[0]), 1)
    hits, total = np.diag(confusion), confusion.sum()
    given, found = confusion.sum(1), confusion.sum(0)
    accuracy = float(hits.sum() / total)
    spread = (total**2 - (found**2).sum()) * (total**2 - (given**2).sum())
    matthews = (hits.sum() * total - (given * found).sum()) / np.sqrt(spread) if spread else 0.0
    macro_f1 = float((2 * hits / (given + found)).mean())
    return {"accuracy": accuracy, "macro_f1": macro_f1, "micro_f1": accuracy, "matthews": float(matthews)}


def check_pairs(predictions: Sequence, references: Sequence) -> None:
    """Raises: InputError unless there are as many predictions as references, and some, and no reference is None."""
    if len(predictions) != len(references) or not len(predictions):
        raise errors.InputError(
            f"Got {len(predictions)} predictions and {len(references)} references. Expected as many of each, and one "
            "at least. Predict the examples that the references are of."
        )
    missing = sum(reference is None for reference in references)
    if missing:
        raise errors.InputError(
            f"Got {missing} of {len(references)} examples without a reference. Expected one each. Score labelled data."
        )
