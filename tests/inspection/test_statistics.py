"""Intervals and tests against published examples, closed forms and exact counting."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from kft import errors, inspection

# Student 1908, section IX (from Cushny & Peebles): hours of sleep gained with two drugs by ten patients.
SLEEP_1 = [0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0]
SLEEP_2 = [1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4]


def test_the_interval_is_students():
    """t(0.975, 2) = 4.303 from the printed tables; s = 1, n = 3."""
    interval = inspection.mean_interval([1.0, 2.0, 3.0])
    assert interval.mean == 2.0
    assert interval.high - interval.mean == pytest.approx(4.303 / math.sqrt(3), abs=1e-3)
    assert interval.mean - interval.low == pytest.approx(interval.high - interval.mean)


def test_the_interval_holds_the_true_mean_as_often_as_it_says():
    runs = np.random.default_rng(0).normal(0.8, 0.05, (2000, 4))
    intervals = [inspection.mean_interval(run) for run in runs]
    share = np.mean([interval.low <= 0.8 <= interval.high for interval in intervals])
    assert abs(share - 0.95) < 3 * math.sqrt(0.95 * 0.05 / 2000)


def test_one_run_has_a_mean_and_no_interval():
    interval = inspection.mean_interval([0.5])
    assert interval.mean == 0.5 and math.isnan(interval.low) and math.isnan(interval.high)
    assert str(interval) == "0.5 (one run, no interval)"


@pytest.mark.parametrize("values", [[], [0.5, float("nan")], [[0.5]]])
def test_values_that_are_none_are_refused(values):
    with pytest.raises(errors.InputError, match="finite number"):
        inspection.mean_interval(values)


def test_paired_t_on_students_own_example():
    """He gives a mean of 1.58 hours; t = 4.0621 with 9 degrees of freedom, p = 0.00283."""
    comparison = inspection.compare_seeds(SLEEP_1, SLEEP_2)
    assert comparison.difference == pytest.approx(1.58)
    assert comparison.p_value == pytest.approx(0.002833, abs=1e-6)
    assert (comparison.low, comparison.high) == pytest.approx((0.7001, 2.4599), abs=1e-4)
    assert (comparison.a_only, comparison.b_only) == (0, 9)


def test_equal_differences_are_not_certain():
    """With s = 0, t would be infinite from two seeds on; two tosses alike have p = 1 / 2."""
    comparison = inspection.compare_seeds([0.25, 0.5], [0.5, 0.75])
    assert (comparison.test, comparison.p_value) == ("sign", 0.5)
    assert inspection.compare_seeds([0.25, 0.5], [0.25, 0.5]).p_value == 1.0


def mcnemar_by_counting(a_only, b_only):
    """Over all outcomes of fair tosses, the share at least as uneven."""
    count = a_only + b_only
    heads = [sum(tosses) for tosses in itertools.product((0, 1), repeat=count)]
    return np.mean([abs(2 * head - count) >= abs(a_only - b_only) for head in heads])


@pytest.mark.parametrize("a_only, b_only", [(0, 0), (0, 1), (1, 5), (2, 7), (0, 6), (6, 6), (10, 2)])
def test_mcnemar_is_the_exact_count(a_only, b_only):
    a = [1] * a_only + [0] * b_only + [1] * 20
    b = [0] * a_only + [1] * b_only + [1] * 20
    comparison = inspection.compare_predictions(a, b)
    assert comparison.p_value == pytest.approx(mcnemar_by_counting(a_only, b_only))
    assert comparison.difference == pytest.approx((b_only - a_only) / len(a))
    assert (comparison.a_only, comparison.b_only, comparison.num_pairs) == (a_only, b_only, len(a))


def test_mcnemar_on_a_textbook_example():
    """Agresti 2002, table 10.1: approval of a prime minister, 86 and 150 of 1,600 changed; z**2 = 17.36."""
    a = np.repeat([1, 1, 0, 0], [794, 150, 86, 570])
    b = np.repeat([1, 0, 1, 0], [794, 150, 86, 570])
    comparison = inspection.compare_predictions(a, b)
    assert comparison.difference == pytest.approx(-0.04)
    assert (comparison.low, comparison.high) == pytest.approx((-0.0588, -0.0212), abs=2e-4)
    assert comparison.p_value == pytest.approx(stats.chi2.sf(17.36, 1), rel=0.4)


@settings(max_examples=30, deadline=None)
@given(pairs=st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=2, max_size=8))
def test_the_order_of_a_and_b_changes_only_the_sign(pairs):
    a, b = zip(*pairs, strict=True)
    one, other = inspection.compare_seeds(a, b), inspection.compare_seeds(b, a)
    assert one.difference == -other.difference
    assert one.p_value == pytest.approx(other.p_value)
    assert (one.a_only, one.b_only) == (other.b_only, other.a_only)


@pytest.mark.parametrize("compare", [inspection.compare_predictions, inspection.compare_seeds])
def test_pairs_that_do_not_fit_are_refused(compare):
    with pytest.raises(errors.InputError, match="Got 2 and 3"):
        compare([1, 0], [1, 0, 1])


def test_the_winner_is_named_when_there_is_one():
    comparison = inspection.compare_seeds(SLEEP_1, SLEEP_2)
    assert inspection.verdict(comparison, names=("old", "new")).startswith(
        "new is better than old by 1.58 [0.7001, 2.46]"
    )
    assert inspection.verdict(comparison, higher_is_better=False).startswith(
        "A is better than B by 1.58 [0.7001, 2.46]"
    )
    back = inspection.compare_seeds(SLEEP_2, SLEEP_1)
    assert inspection.verdict(back).startswith("A is better than B by 1.58 [0.7001, 2.46]")


@pytest.mark.parametrize(
    "a, b", [([0.8, 0.9], [0.81, 0.88]), ([0.8], [0.9]), ([0.8, 0.8], [0.9, 0.9]), ([0.8, 0.7], [0.8, 0.7])]
)
def test_no_winner_is_named_inside_the_noise(a, b):
    assert inspection.verdict(inspection.compare_seeds(a, b)).startswith("No winner")


def test_two_equal_settings_get_a_winner_as_rarely_as_the_level_says():
    values = np.random.default_rng(1).normal(0.8, 0.05, (1000, 2, 5))
    verdicts = [inspection.verdict(inspection.compare_seeds(a, b)) for a, b in values]
    share = np.mean([not verdict.startswith("No winner") for verdict in verdicts])
    assert abs(share - 0.05) < 3 * math.sqrt(0.05 * 0.95 / 1000)


@pytest.mark.parametrize("accuracy, degenerate", [(0.2, True), (0.25, True), (0.26, False), (float("nan"), True)])
def test_no_better_than_the_largest_class_is_degenerate(accuracy, degenerate):
    assert inspection.is_degenerate(accuracy, 0.25) is degenerate
