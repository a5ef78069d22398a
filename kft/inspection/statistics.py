"""What the numbers of several runs allow to say."""

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
from scipy import stats

from kft import errors


@dataclasses.dataclass(frozen=True)
class Interval:
    """A mean over runs and where the true mean probably lies.

    Args:
      mean: float.
      low, high: the ends of the interval; both not a number where there is only one run.
      num_values: int, runs.
    """

    mean: float
    low: float
    high: float
    num_values: int

    def __str__(self) -> str:
        if self.num_values == 1:
            return f"{self.mean:.4g} (one run, no interval)"
        return f"{self.mean:.4g} ± {self.high - self.mean:.2g} ({self.num_values} runs)"


@dataclasses.dataclass(frozen=True)
class Comparison:
    """The difference of two sets of results and how probable it is without any true one.

    Args:
      difference: float, mean of B minus mean of A.
      low, high: the 95 percent interval of the difference, not a number where there is none.
      p_value: float in [0, 1], not a number where too few runs allow none.
      test: the test that gave it.
      num_pairs: int, examples or seeds.
      a_only, b_only: int, pairs in which only A, or only B, is right; or A, or B, has the higher value.
    """

    difference: float
    low: float
    high: float
    p_value: float
    test: str
    num_pairs: int
    a_only: int
    b_only: int


def mean_interval(values: Sequence[float], *, confidence: float = 0.95) -> Interval:
    """Student's interval of the mean.

        mean +- t(1 - (1 - confidence) / 2, n - 1) * s / sqrt(n)

    Args:
      values: of n >= 1 independent runs.
      confidence: float in (0, 1).

    Raises: InputError for no value, or one that is not finite.

    Example:
      >>> print(mean_interval([0.81, 0.85, 0.83]))
      0.83 ± 0.05 (3 runs)
    """
    values = _finite(values)
    shifted = values - values[0]  # so that equal values have no spread at all
    mean = float(values[0] + shifted.mean())
    if len(values) == 1:
        return Interval(mean, math.nan, math.nan, 1)
    factor = stats.t.ppf(0.5 + confidence / 2, len(values) - 1)
    half = float(factor * shifted.std(ddof=1) / math.sqrt(len(values)))
    return Interval(mean, mean - half, mean + half, len(values))


def is_degenerate(accuracy: float, majority_share: float) -> bool:
    """Whether a run learned nothing: it is no better than always answering the largest class.

    Args:
      accuracy: float in [0, 1].
      majority_share: float in [0, 1], the largest class' share of the same data.

    Example:
      >>> is_degenerate(0.25, 0.25)
      True
    """
    return not accuracy > majority_share + 1e-6


def compare_predictions(correct_a: Sequence[bool], correct_b: Sequence[bool]) -> Comparison:
    """McNemar's exact test: do two runs differ in which examples they get right?

    Only the examples count on which one is right and the other wrong; without a true difference each of the two
    is as probable as a toss of a coin:

        p_value = P(|X - n / 2| >= |b_only - n / 2|),   X ~ Binomial(n, 1 / 2),   n = a_only + b_only

    The interval of the difference is Wald's. It speaks of these two runs on other examples, not of other seeds.

    Args:
      correct_a, correct_b: whether each example was right, in the same order.

    Raises: InputError for no example, or numbers of examples that differ.

    Example:
      >>> compare_predictions([1, 1, 0, 0], [1, 1, 1, 0]).p_value
      1.0

    Reference: McNemar 1947; Dietterich 1998, section 3.1.
    """
    a, b = _finite(correct_a).astype(bool), _finite(correct_b).astype(bool)
    _check_pairs(a, b, "examples")
    a_only, b_only = int(np.sum(a & ~b)), int(np.sum(b & ~a))
    difference = (b_only - a_only) / len(a)
    half = stats.norm.ppf(0.975) * math.sqrt(max(a_only + b_only - len(a) * difference**2, 0.0)) / len(a)
    return Comparison(
        difference=difference,
        low=difference - half,
        high=difference + half,
        p_value=_sign_p_value(a_only, b_only),
        test="McNemar, exact",
        num_pairs=len(a),
        a_only=a_only,
        b_only=b_only,
    )


def compare_seeds(values_a: Sequence[float], values_b: Sequence[float]) -> Comparison:
    """The paired t-test over seeds: do two settings differ beyond what the seed does?

        d = values_b - values_a;   t = mean(d) * sqrt(n) / s(d), with n - 1 degrees of freedom

    Where all d are equal and not 0, s(d) = 0 would make any difference certain; then the sign test decides.

    Args:
      values_a, values_b: a metric of both settings, in the same order of seeds.

    Raises: InputError for no value, or numbers of seeds that differ.

    Example:
      >>> round(compare_seeds([0.80, 0.82, 0.81], [0.84, 0.85, 0.86]).p_value, 4)
      0.0202

    Reference: Student 1908.
    """
    a, b = _finite(values_a), _finite(values_b)
    _check_pairs(a, b, "seeds")
    differences = b - a
    interval = mean_interval(differences)
    a_only, b_only = int(np.sum(differences < 0)), int(np.sum(differences > 0))
    test, p_value = "paired t", math.nan
    if len(a) > 1 and np.ptp(differences) < 1e-12:
        test, p_value = "sign", _sign_p_value(a_only, b_only)
    elif len(a) > 1:
        p_value = float(stats.ttest_1samp(differences, 0.0).pvalue)
    return Comparison(interval.mean, interval.low, interval.high, p_value, test, len(a), a_only, b_only)


def verdict(
    comparison: Comparison,
    *,
    names: tuple[str, str] = ("A", "B"),
    level: float = 0.05,
    higher_is_better: bool = True,
) -> str:
    """What a comparison allows to say, in a sentence; no winner is named inside the noise.

    Args:
      comparison: of `compare_predictions` or `compare_seeds`.
      names: of A and B.
      level: float in (0, 1), a larger p-value is noise.
      higher_is_better: False for a loss or an error rate.

    Example:
      >>> print(verdict(compare_seeds([0.80, 0.82, 0.81], [0.84, 0.85, 0.86])))
      B is better than A by 0.04 [0.01516, 0.06484] (paired t, 3 pairs, p = 0.02).
    """
    test = f"{comparison.test}, {comparison.num_pairs} pairs"
    if math.isnan(comparison.p_value):
        return (
            f"No winner: the difference of {comparison.difference:.4g} is of one pair, which tells nothing about "
            "the noise. Run more seeds."
        )
    test += f", p = {comparison.p_value:.2g}"
    low, high = comparison.low, comparison.high
    if comparison.p_value > level or comparison.difference == 0:
        return f"No winner: the difference of {comparison.difference:.4g} [{low:.4g}, {high:.4g}] is noise ({test})."
    if comparison.difference < 0:
        low, high = -high, -low
    better, worse = (names[1], names[0]) if (comparison.difference > 0) == higher_is_better else names
    return f"{better} is better than {worse} by {abs(comparison.difference):.4g} [{low:.4g}, {high:.4g}] ({test})."


def _sign_p_value(first: int, second: int) -> float:
    """The two-sided probability of so uneven a split of fair tosses."""
    return float(stats.binomtest(first, first + second).pvalue) if first + second else 1.0


def _finite(values: Sequence[float]) -> np.ndarray:
    array = np.asarray(values, np.float64)
    if array.ndim != 1 or not len(array) or not np.all(np.isfinite(array)):
        raise errors.InputError(
            f"Got values {values!r}. Expected a list of at least one finite number. Leave out runs that failed, "
            "and say how many."
        )
    return array


def _check_pairs(a: np.ndarray, b: np.ndarray, what: str) -> None:
    if len(a) != len(b):
        raise errors.InputError(
            f"Got {len(a)} and {len(b)} {what}. Expected the same ones in both, in the same order. "
            f"Compare over the {what} that both have."
        )
