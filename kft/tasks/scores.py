"""Scores over a whole corpus of predictions."""

from collections.abc import Sequence

import numpy as np

from kft import errors

OF_LABELS = ("accuracy", "macro_f1", "micro_f1", "matthews")
OF_SETS = ("micro_f1", "macro_f1", "exact_match")
OF_VALUES = ("pearson", "spearman", "mean_squared_error")


def of_labels(predicted: Sequence[str], references: Sequence[str], label_names: Sequence[str] = ()) -> dict[str, float]:
    """Accuracy, F1 and Matthews' correlation of one label for each example; "f1_" and its name for each class.

    With confusion matrix C (C[i, j]: how many of class i were predicted as j), trace c, sum s, row sums t and column
    sums p:

        accuracy = micro_f1 = c / s
        f1[k] = 2 * C[k, k] / (t[k] + p[k]), 0 where that is 0 / 0
        macro_f1 = mean of f1[k]
        matthews = (c * s - sum(t * p)) / sqrt((s**2 - sum(p**2)) * (s**2 - sum(t**2))), 0 where that is 0 / 0

    Classes that are neither referred to nor predicted are left out of the mean.

    Args:
      predicted, references: label names, as many of each.
      label_names: the classes whose F1 is told.

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
    f1 = dict(zip(names.tolist(), (2 * hits / (given + found)).tolist(), strict=True))
    return {
        "accuracy": accuracy,
        "macro_f1": float(np.mean([*f1.values()])),
        "micro_f1": accuracy,
        "matthews": float(matthews),
        **{f"f1_{name}": f1.get(name, 0.0) for name in label_names},
    }


def of_sets(
    predicted: Sequence[Sequence[str]], references: Sequence[Sequence[str]], label_names: Sequence[str]
) -> dict[str, float]:
    """F1 of any number of labels for each example; "f1_" and its name for each label.

    With true positives TP, false ones FP and missed ones FN of each label:

        f1[k] = 2 * TP[k] / (2 * TP[k] + FP[k] + FN[k]), 0 where that is 0 / 0
        micro_f1 = the same of the sums over all labels
        macro_f1 = mean of f1[k]
        exact_match = share of examples that have exactly the labels of their reference

    Args:
      predicted, references: label names for each example, as many of each.
      label_names: of the model; those of the references that it lacks count as missed.

    Raises: InputError if the numbers of examples differ, or there are none.

    Example:
      >>> of_sets([["a"], ["a", "b"]], [["a"], ["b"]], ["a", "b"])["f1_b"]
      1.0
    """
    check_pairs(predicted, references)
    names = [*label_names, *sorted({name for reference in references for name in reference} - set(label_names))]
    places = {name: place for place, name in enumerate(names)}
    found, given = (_indicators(sets, places) for sets in (predicted, references))
    hits, both = (found & given).sum(0), found.sum(0) + given.sum(0)
    f1 = 2 * hits / np.maximum(both, 1)
    return {
        "micro_f1": float(2 * hits.sum() / max(both.sum(), 1)),
        "macro_f1": float(f1.mean()),
        "exact_match": float((found == given).all(1).mean()),
        **{f"f1_{name}": float(value) for name, value in zip(names, f1, strict=True)},
    }


def of_values(predicted: Sequence[float], references: Sequence[float]) -> dict[str, float]:
    """Pearson's and Spearman's correlation, and the mean squared error.

    Spearman's is Pearson's of the ranks, ties having their mean rank. Where one side is constant they are 0.

    Args:
      predicted, references: numbers, as many of each.

    Raises: InputError if their numbers differ, or there are none.

    Example:
      >>> of_values([1.0, 2.0, 3.0], [1.0, 4.0, 9.0])["spearman"]
      1.0
    """
    from scipy.stats import rankdata

    check_pairs(predicted, references)
    x, y = np.asarray(predicted, "float64"), np.asarray(references, "float64")
    return {
        "pearson": _correlation(x, y),
        "spearman": _correlation(rankdata(x), rankdata(y)),
        "mean_squared_error": float(np.square(x - y).mean()),
    }


def _indicators(sets: Sequence[Sequence[str]], places: dict[str, int]) -> np.ndarray:
    """(examples, labels) bool."""
    found = np.zeros((len(sets), len(places)), bool)
    for row, names in zip(found, sets, strict=True):
        row[[places[name] for name in names]] = True
    return found


def _correlation(x: np.ndarray, y: np.ndarray) -> float:
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        return 0.0
    x, y = (side / np.abs(side).max() for side in (x - x.mean(), y - y.mean()))
    return float(np.clip((x @ y) / np.sqrt((x @ x) * (y @ y)), -1, 1))


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
