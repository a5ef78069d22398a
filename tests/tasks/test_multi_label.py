"""Decoding by thresholds, and their choice, against trying all of them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import f1_score

from kft import errors
from kft.tasks import make_task

TASK = make_task("text_classification", label_names=("a", "b"), multi_label=True)


def logits_of(probabilities):
    p = np.array(probabilities)
    return np.log(p) - np.log1p(-p)


def test_decoding():
    first, second = TASK.decode(logits_of([[0.9, 0.2], [0.4, 0.3]]))
    assert first == {"labels": ["a"], "probabilities": pytest.approx({"a": 0.9, "b": 0.2})}
    assert second["labels"] == []


def test_accuracy_counts_labels():
    [metric] = TASK.metrics()
    metric.update_state(np.array([[1, 0], [1, 1]], "float32"), np.array([[2, -1], [-2, 3]], "float32"))
    assert float(metric.result()) == 0.75


def test_chosen_thresholds_act():
    task = TASK.calibrated({"thresholds": {"a": 0.95, "b": 0.1}})
    assert [row["labels"] for row in task.decode(logits_of([[0.9, 0.2], [0.96, 0.05]]))] == [["b"], ["a"]]


@given(st.lists(st.tuples(st.integers(1, 99), st.booleans()), min_size=1, max_size=12))
def test_no_threshold_is_better_than_the_chosen_one(rows):
    predictions = [{"probabilities": {"a": p / 100, "b": 0.5}} for p, _ in rows]
    references = [["a"] if given_ else [] for _, given_ in rows]
    chosen = TASK.calibrate(predictions, references)["thresholds"]
    p, truth = np.array([p for p, _ in rows]) / 100, np.array([given_ for _, given_ in rows])
    found = p >= np.append(np.arange(200) / 200, chosen["a"])[:, None]
    f1 = 2 * (found & truth).sum(1) / np.maximum(found.sum(1) + truth.sum(), 1)
    assert f1[-1] == pytest.approx(f1.max())
    assert f1[-1] == pytest.approx(f1_score(truth, found[-1], zero_division=0))
    assert chosen["b"] == 0.5


def test_a_half_stays_where_nothing_is_better():
    predictions = [{"probabilities": {"a": p, "b": 0.1}} for p in (0.9, 0.8, 0.3)]
    assert TASK.calibrate(predictions, [["a"], ["a"], []])["thresholds"] == {"a": 0.5, "b": 0.5}


@pytest.mark.parametrize("label_names", [(), ("a", "a")])
def test_label_names(label_names):
    with pytest.raises(errors.InputError, match="at least one"):
        make_task("text_classification", label_names=label_names, multi_label=True)
