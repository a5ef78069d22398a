"""Scores of classes against closed forms and scikit-learn."""

import numpy as np
import pytest
from sklearn import metrics

from kft import errors
from kft.inspection import classes


def rows(truth, predicted, names=("a", "b", "c"), confidence=0.7):
    made = []
    for number, (t, p) in enumerate(zip(truth, predicted)):
        rest = (1 - confidence) / (len(names) - 1)
        probabilities = {name: confidence if name == p else rest for name in names}
        made.append({"file": f"{number}.png", "label": p, "truth": t, "probabilities": probabilities})
    return made


def test_confusion_and_scores_are_those_of_scikit_learn():
    random = np.random.default_rng(0)
    truth, predicted = random.choice(list("abc"), 60), random.choice(list("abc"), 60)
    found = classes.classified(rows(truth, predicted))
    np.testing.assert_array_equal(found.confusion(), metrics.confusion_matrix(truth, predicted))
    scores = classes.scores_of_classes(found.confusion(), found.label_names)
    expected = metrics.precision_recall_fscore_support(truth, predicted)
    for number, name in enumerate(("precision", "recall", "f1")):
        np.testing.assert_allclose([row[name][0] for row in scores], expected[number])
        assert all(row[name][1] < row[name][0] < row[name][2] for row in scores)
    np.testing.assert_allclose(found.losses.mean(), metrics.log_loss(truth, found.probabilities))


def test_the_interval_of_f1_covers_the_true_one_as_often_as_it_says():
    """A class with tp, fn, fp and the rest at known shares: about 95 of 100 intervals hold its F1."""
    random, shares = np.random.default_rng(1), np.array([0.3, 0.1, 0.1, 0.5])
    true_f1 = 2 * 0.3 / (2 * 0.3 + 0.2)
    held = 0
    for tp, fn, fp, rest in random.multinomial(200, shares, 300):
        confusion = np.array([[tp, fn], [fp, rest]])
        _, low, high = classes.scores_of_classes(confusion, ["a", "b"])[0]["f1"]
        held += low <= true_f1 <= high
    assert 0.90 <= held / 300 <= 0.985


def test_a_class_that_is_not_there_has_no_recall():
    found = classes.classified(rows("aab", "aaa"))
    scores = {row["class"]: row for row in classes.scores_of_classes(found.confusion(), found.label_names)}
    assert scores["c"]["recall"] is None and scores["c"]["f1"] is None and scores["b"]["precision"] is None
    assert scores["b"]["recall"][0] == 0.0


def test_wilson_is_the_published_interval():
    """Wilson's interval of 0 and of 81 of 263; Newcombe 1998, table I, method 3."""
    assert classes.wilson(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert classes.wilson(15, 148) == pytest.approx((0.0624, 0.1605), abs=5e-5)
    assert classes.wilson(0, 20) == pytest.approx((0.0, 0.1611), abs=5e-5)
    assert classes.wilson(1, 29) == pytest.approx((0.0061, 0.1718), abs=5e-5)
    assert classes.wilson(0, 0) == (0.0, 1.0)
    with pytest.raises(errors.InputError, match="3 successes of 2"):
        classes.wilson(3, 2)


def test_calibration_error_is_the_mean_gap_of_the_bins():
    measured = classes.calibration(np.array([0.95, 0.95, 0.55, 0.55]), np.array([True, True, True, False]))
    assert [row["examples"] for row in measured.bins] == [2, 2]
    assert measured.expected_error == pytest.approx(0.5 * 0.05 + 0.5 * 0.05)
    assert classes.calibration(np.array([1.0]), np.array([True])).expected_error == 0.0


def test_mistakes_come_in_order():
    truth = np.array([0, 0, 1, 1])
    logits = np.log(np.array([[0.9, 0.1], [0.3, 0.7], [0.8, 0.2], [0.4, 0.6]]))
    found = classes.from_logits(logits, truth, ["a", "b"], list("wxyz"))
    assert found.confident_mistakes(5).tolist() == [2, 1]
    assert found.highest_losses(2).tolist() == [2, 1]
    assert [pair["count"] for pair in classes.most_confused(found.confusion(), found.label_names, 5)] == [1, 1]


@pytest.mark.parametrize(
    "lines", [[], [{"file": "x", "tags": ["O"], "truth": ["O"]}], [*rows("a", "a"), {"file": "y", "truth": None}]]
)
def test_what_is_no_classification_is_none(lines):
    assert classes.classified(lines) is None
