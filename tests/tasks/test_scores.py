"""Scores against scikit-learn's."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from sklearn import metrics

from kft import errors
from kft.tasks import scores

PAIRS = st.lists(st.tuples(st.sampled_from("abcde"), st.sampled_from("abcde")), min_size=1, max_size=40)


@given(PAIRS)
def test_scores_of_labels_are_those_of_scikit_learn(pairs):
    predicted, references = zip(*pairs, strict=True)
    assert scores.of_labels(predicted, references) == pytest.approx(
        {
            "accuracy": metrics.accuracy_score(references, predicted),
            "macro_f1": metrics.f1_score(references, predicted, average="macro"),
            "micro_f1": metrics.f1_score(references, predicted, average="micro"),
            "matthews": metrics.matthews_corrcoef(references, predicted),
        }
    )


def test_names_of_scores():
    assert tuple(scores.of_labels(["a"], ["b"])) == scores.OF_LABELS


SETS = st.lists(st.tuples(*[st.lists(st.sampled_from("abcd"), unique=True, max_size=4)] * 2), min_size=1, max_size=20)


@given(SETS)
def test_scores_of_sets_are_those_of_scikit_learn(pairs):
    predicted, references = zip(*pairs, strict=True)
    found, given_ = (
        np.array([[name in names for name in "abcd"] for names in sets]) for sets in zip(*pairs, strict=True)
    )
    f1 = lambda average: metrics.f1_score(given_, found, average=average, zero_division=0)  # noqa: E731
    expected = {"micro_f1": f1("micro"), "macro_f1": f1("macro"), "exact_match": metrics.accuracy_score(given_, found)}
    expected |= {f"f1_{name}": value for name, value in zip("abcd", f1(None), strict=True)}
    assert scores.of_sets(predicted, references, "abcd") == pytest.approx(expected)


def test_a_label_that_the_model_does_not_know_is_missed():
    assert scores.of_sets([["a"]], [["a", "new"]], ["a"])["micro_f1"] == pytest.approx(2 / 3)


@given(
    st.lists(
        st.tuples(*[st.floats(-1e6, 1e6).map(lambda x: round(x, 3)) | st.sampled_from([0.0, 1.0])] * 2),
        min_size=2,
        max_size=20,
    )
)
def test_correlations_are_those_of_scipy(pairs):
    x, y = np.array(pairs).T
    got = scores.of_values(x.tolist(), y.tolist())
    assert got["mean_squared_error"] == pytest.approx(metrics.mean_squared_error(y, x))
    if np.ptp(x) and np.ptp(y):
        assert got["pearson"] == pytest.approx(stats.pearsonr(x, y).statistic, abs=1e-6)
        assert got["spearman"] == pytest.approx(stats.spearmanr(x, y).statistic, abs=1e-9)
    else:
        assert got["pearson"] == got["spearman"] == 0


@pytest.mark.parametrize(("predicted", "references"), [(["a"], ["a", "b"]), ([], []), (["a"], [None])])
def test_what_cannot_be_paired(predicted, references):
    with pytest.raises(errors.InputError, match="at least|without a reference"):
        scores.of_labels(np.array(predicted), references)
