"""F1 and exact match by hand, from the definitions in the papers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kft.tasks import answer_scores


@pytest.mark.parametrize(
    ("answer", "reference", "f1", "exact_match"),
    [
        ("Denver Broncos", "denver broncos", 1, 1),
        ("The Denver Broncos.", "denver  broncos", 1, 1),
        ("Broncos", "Denver Broncos", 2 / 3, 0),
        ("a theatre", "theatre", 1, 1),
        ("another", "other", 0, 0),
        ("well-known", "well known", 0, 0),
        ("x x y", "x y y", 2 * 2 / 6, 0),
        ("", "", 1, 1),
        ("", "Denver", 0, 0),
        ("the", "", 1, 1),
        ("$5.00", "5.00", 1, 1),
        ("北京", "北京", 1, 1),
    ],
)
def test_one_answer(answer, reference, f1, exact_match):
    assert answer_scores.f1(answer, reference) == pytest.approx(f1)
    assert answer_scores.exact_match(answer, reference) == exact_match


def test_the_best_reference_counts_and_the_mean_is_over_questions():
    answers = ["in Denver", "", "Paris"]
    references = [["Denver, Colorado", "Denver"], [], []]
    assert answer_scores.of_answers(answers, references) == pytest.approx({"f1": (2 / 3 + 1) / 3, "exact_match": 1 / 3})


def test_references_that_are_only_an_article_do_not_count():
    assert answer_scores.best("the", ["a", "Denver"]) == (0, 0)


@given(
    st.lists(
        st.tuples(st.sampled_from(["x", "x y", "z", ""]), st.integers(-3, 3), st.sampled_from([["x"], ["y"], []])),
        min_size=1,
        max_size=10,
    )
)
def test_no_threshold_is_better_than_the_chosen_one(questions):
    answers, scores, references = zip(*questions, strict=True)

    def f1(threshold):
        given_ = [
            a if threshold is None or score <= threshold else "" for a, score in zip(answers, scores, strict=True)
        ]
        return answer_scores.of_answers(given_, references)["f1"]

    chosen = answer_scores.best_no_answer_threshold(answers, scores, references)
    if all(references):
        assert chosen is None
    else:
        assert f1(chosen) == pytest.approx(max(f1(threshold + 0.5) for threshold in range(-5, 5)))


def test_of_equal_thresholds_the_one_that_answers_more():
    assert answer_scores.best_no_answer_threshold(["x", "x", ""], [0, 2, 4], [["x"], ["x"], []]) == 5
