"""Scores against scikit-learn's."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
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


@pytest.mark.parametrize(("predicted", "references"), [(["a"], ["a", "b"]), ([], []), (["a"], [None])])
def test_what_cannot_be_paired(predicted, references):
    with pytest.raises(errors.InputError, match="at least|without a reference"):
        scores.of_labels(np.array(predicted), references)
