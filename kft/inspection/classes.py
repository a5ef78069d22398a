"""What the predictions of a classifier tell: confusion, scores of each class, calibration, and the worst of them."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from kft import errors

_RESAMPLES = 2000


@dataclasses.dataclass(frozen=True, eq=False)
class Classified:
    """Predictions of one label for each of n examples.

    Args:
      label_names: of the K classes.
      keys: what each example is called.
      truth: (n,) int64.
      predicted: (n,) int64.
      probabilities: (n, K) float64.
    """

    label_names: tuple[str, ...]
    keys: tuple[str, ...]
    truth: np.ndarray
    predicted: np.ndarray
    probabilities: np.ndarray

    @property
    def correct(self) -> np.ndarray:
        """(n,) bool."""
        return self.truth == self.predicted

    @property
    def confidence(self) -> np.ndarray:
        """(n,) float64, the probability of what was predicted."""
        return np.take_along_axis(self.probabilities, self.predicted[:, None], 1)[:, 0]

    @property
    def losses(self) -> np.ndarray:
        """(n,) float64, the cross-entropy of each example."""
        of_truth = np.take_along_axis(self.probabilities, self.truth[:, None], 1)[:, 0]
        return -np.log(np.maximum(of_truth, 1e-12))

    def confusion(self) -> np.ndarray:
        """(K, K) int64: how many of class i were predicted as j."""
        matrix = np.zeros((len(self.label_names),) * 2, np.int64)
        np.add.at(matrix, (self.truth, self.predicted), 1)
        return matrix

    def confident_mistakes(self, most: int) -> np.ndarray:
        """Indices of wrong predictions, the surest first."""
        wrong = np.flatnonzero(~self.correct)
        return wrong[np.argsort(-self.confidence[wrong], kind="stable")][:most]

    def highest_losses(self, most: int) -> np.ndarray:
        """Indices of examples, that of the highest loss first."""
        return np.argsort(-self.losses, kind="stable")[:most]


def classified(rows: Sequence[Mapping[str, Any]]) -> Classified | None:
    """The lines of eval_predictions.jsonl of a classification; None where they are of another task or incomplete.

    Args:
      rows: with "file", "label", "probabilities" (name -> number) and "truth", a name.
    """
    try:
        names = tuple(rows[0]["probabilities"])
        index = {name: place for place, name in enumerate(names)}
        truth = np.array([index[row["truth"]] for row in rows], np.int64)
        predicted = np.array([index[row["label"]] for row in rows], np.int64)
        probabilities = np.array([[float(row["probabilities"][name]) for name in names] for row in rows])
        keys = tuple(str(row["file"]) for row in rows)
    except (IndexError, KeyError, TypeError, ValueError):
        return None
    if not np.isfinite(probabilities).all():
        return None
    return Classified(names, keys, truth, predicted, probabilities)


def predicted(row: Mapping[str, Any]) -> Any:
    """What a line of eval_predictions.jsonl says of its example, whatever the task.

    Example:
      >>> predicted({"file": "a", "words": ["to", "Paris"], "tags": ["O", "B-x"], "truth": ["O", "O"]})
      ['O', 'B-x']
    """
    return next((row[name] for name in ("label", "labels", "tags", "answer", "value") if name in row), None)


def is_right(row: Mapping[str, Any]) -> bool:
    """Whether that is the truth to the letter, or one of several answers that are; no answer is one if there is none.

    Example:
      >>> is_right({"answer": "Paris", "truth": ["Paris", "in Paris"]}), is_right({"answer": "", "truth": []})
      (True, True)
    """
    said, truth = predicted(row), row.get("truth")
    if "answer" in row and isinstance(truth, list):
        return said in truth or (not said and not truth)
    if "labels" in row and isinstance(truth, list):
        return sorted(map(str, said)) == sorted(map(str, truth))
    return said == truth


def from_logits(logits: np.ndarray, labels: np.ndarray, label_names: Sequence[str], keys: Sequence[str]) -> Classified:
    """Predictions as they come from a model: logits (n, K), labels (n,)."""
    shifted = np.asarray(logits, np.float64)
    shifted = np.exp(shifted - shifted.max(-1, keepdims=True))
    probabilities = shifted / shifted.sum(-1, keepdims=True)
    labels = np.asarray(labels, np.int64)
    return Classified(tuple(label_names), tuple(keys), labels, probabilities.argmax(-1), probabilities)


def wilson(successes: int, total: int) -> tuple[float, float]:
    """The 95 percent interval of a share, successes of total; (0, 1) of nothing.

    Example:
      >>> low, high = wilson(8, 10)
      >>> round(low, 3), round(high, 3)
      (0.49, 0.943)

    Reference: Wilson 1927.
    """
    if not 0 <= successes <= total:
        raise errors.InputError(f"Got {successes} successes of {total}. Expected 0 <= successes <= total. Count again.")
    if not total:
        return 0.0, 1.0
    z = 1.959963984540054
    share, spread = successes / total, z * z / total
    middle = (share + spread / 2) / (1 + spread)
    half = z / (1 + spread) * math.sqrt(share * (1 - share) / total + spread / total / 4)
    return max(0.0, middle - half), min(1.0, middle + half)


def scores_of_classes(confusion: np.ndarray, label_names: Sequence[str]) -> list[dict[str, Any]]:
    """Precision, recall and F1 of each class, each with its 95 percent interval.

    With tp right ones of the class, fn that were given to others and fp that were taken from them:

        precision = tp / (tp + fp);   recall = tp / (tp + fn);   f1 = 2 * tp / (2 * tp + fp + fn)

    The first two have Wilson's interval; that of F1 goes from the 2.5th to the 97.5th of 100 parts of 2,000 resamples
    of the examples, always the same ones. A score of nothing, such as the recall of a class without examples, is None.

    Args:
      confusion: (K, K), how many of class i were predicted as j.
      label_names: of the K classes.

    Returns: for each class "class", "examples", "predicted", and "precision", "recall", "f1": (value, low, high), None
      for a score of nothing.
    """
    rows, total = [], int(confusion.sum())
    for k, name in enumerate(label_names):
        tp, given, found = int(confusion[k, k]), int(confusion[k].sum()), int(confusion[:, k].sum())
        row = {"class": name, "examples": given, "predicted": found}
        row["precision"] = (tp / found, *wilson(tp, found)) if found else None
        row["recall"] = (tp / given, *wilson(tp, given)) if given else None
        row["f1"] = _f1(tp, given - tp, found - tp, total) if given + found else None
        rows.append(row)
    return rows


def _f1(tp: int, fn: int, fp: int, total: int) -> tuple[float, float, float]:
    shares = np.array([tp, fn, fp, total - tp - fn - fp]) / total
    drawn = np.random.default_rng(0).multinomial(total, shares, _RESAMPLES)
    below = 2 * drawn[:, 0] + drawn[:, 1] + drawn[:, 2]
    scores = 2 * drawn[:, 0] / np.maximum(below, 1)
    low, high = np.quantile(scores, (0.025, 0.975))
    return 2 * tp / (2 * tp + fn + fp), float(low), float(high)


@dataclasses.dataclass(frozen=True)
class Calibration:
    """Whether predictions of confidence p are right in a share p of the cases.

    Args:
      bins: for each part of [0, 1] of the same width with examples in it: "low", "high", "examples", "confidence"
        (mean) and "accuracy".
      expected_error: the mean over examples of |accuracy - confidence| of their bin, in [0, 1].
    """

    bins: tuple[dict[str, float], ...]
    expected_error: float


def calibration(confidence: np.ndarray, correct: np.ndarray, *, num_bins: int = 10) -> Calibration:
    """Compares confidence and accuracy in bins.

    Reference: Guo et al. 2017, eq. 3 (the expected calibration error).

    Example:
      >>> calibration(np.array([0.9, 0.9]), np.array([True, False])).expected_error
      0.4
    """
    confidence, correct = np.asarray(confidence, np.float64), np.asarray(correct, bool)
    places = np.minimum((confidence * num_bins).astype(int), num_bins - 1)
    bins, error = [], 0.0
    for place in range(num_bins):
        inside = places == place
        count = int(inside.sum())
        if count:
            mean, accuracy = float(confidence[inside].mean()), float(correct[inside].mean())
            error += abs(mean - accuracy) * count / len(confidence)
            bins.append(
                {
                    "low": place / num_bins,
                    "high": (place + 1) / num_bins,
                    "examples": count,
                    "confidence": mean,
                    "accuracy": accuracy,
                }
            )
    return Calibration(tuple(bins), round(error, 12))


def most_confused(confusion: np.ndarray, label_names: Sequence[str], most: int) -> list[dict[str, Any]]:
    """Pairs of classes, those most often taken for another first.

    Returns: "truth", "predicted", "count" and "share", of the examples of the class.
    """
    off = confusion - np.diag(np.diag(confusion))
    order = np.argsort(-off, axis=None, kind="stable")[:most]
    pairs = [divmod(int(place), len(label_names)) for place in order]
    return [
        {
            "truth": label_names[i],
            "predicted": label_names[j],
            "count": int(off[i, j]),
            "share": float(off[i, j] / confusion[i].sum()),
        }
        for i, j in pairs
        if off[i, j]
    ]
