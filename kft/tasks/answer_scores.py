"""Exact match and F1 of answers, as SQuAD defines them."""

import collections
import re
import string
from collections.abc import Sequence

import numpy as np

from kft.tasks.scores import check_pairs

OF_ANSWERS = ("f1", "exact_match")
_ARTICLES = re.compile(r"\b(a|an|the)\b")
_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)


def normalized(answer: str) -> str:
    """An answer in lower case, without ASCII punctuation, English articles and spaces that are too many.

    Example:
      >>> normalized("The  Beatles' (first) album")
      'beatles first album'
    """
    return " ".join(_ARTICLES.sub(" ", answer.lower().translate(_NO_PUNCTUATION)).split())


def exact_match(answer: str, reference: str) -> float:
    """1 if both are the same when normalised, else 0."""
    return float(normalized(answer) == normalized(reference))


def f1(answer: str, reference: str) -> float:
    """F1 of the words that both have, each as often as it is in both.

    Where one of them has no word (no answer, say), it is 1 if the other has none either, else 0.

    Example:
      >>> round(f1("the Eiffel Tower in Paris", "Eiffel Tower"), 3)
      0.667
    """
    words, expected = normalized(answer).split(), normalized(reference).split()
    if not words or not expected:
        return float(words == expected)
    common = sum((collections.Counter(words) & collections.Counter(expected)).values())
    return 2 * common / (len(words) + len(expected))


def of_answers(answers: Sequence[str], references: Sequence[Sequence[str]]) -> dict[str, float]:
    """The means of F1 and exact match over all questions, from 0 to 1: for each one the best over its references.

    Args:
      answers: "" for no answer.
      references: the texts of all right answers of each question; none for a question without an answer.

    Raises: InputError if the numbers of questions differ, or there are none.
    Reference: Rajpurkar et al. 2016, section 6.1; Rajpurkar et al. 2018, section 4 on questions without an answer.
    """
    per_question = np.array([best(*pair) for pair in _pairs(answers, references)])
    return dict(zip(OF_ANSWERS, map(float, per_question.mean(0)), strict=True))


def best(answer: str, references: Sequence[str]) -> tuple[float, float]:
    """F1 and exact match of one answer, each with the reference where it is highest."""
    references = [reference for reference in references if normalized(reference)] or [""]
    return max(f1(answer, one) for one in references), max(exact_match(answer, one) for one in references)


def is_exact_answer(answer: str, references: Sequence[str]) -> bool:
    """Whether an answer is one of the references, normalised; "" where there are none."""
    return bool(best(answer, references)[1])


def best_no_answer_threshold(
    answers: Sequence[str], no_answer_scores: Sequence[float], references: Sequence[Sequence[str]]
) -> float | None:
    """The threshold of the no-answer score, above which a question is left unanswered, with the highest mean F1.

    Args:
      answers: the best answers, given that there is one.
      no_answer_scores: score of no answer less that of the best answer.
      references: as of `of_answers`.

    Returns: the middle between two neighbouring scores; of equal ones the highest. None, never to leave a question
      unanswered, if all have answers.
    """
    pairs = _pairs(answers, references)
    if all(references):
        return None
    scores = np.asarray(no_answer_scores, "float64")
    gain = np.array([best(*pair)[0] - best("", pair[1])[0] for pair in pairs])
    order = np.argsort(scores, kind="stable")
    scores, totals = scores[order], np.cumsum(gain[order])
    # To answer those with the k lowest scores, k = 0, ..., all.
    totals = np.append(0.0, totals)
    between = np.append(True, np.append(scores[1:] > scores[:-1], True))
    cuts = np.concatenate([[scores[0] - 1], (scores[1:] + scores[:-1]) / 2, [scores[-1] + 1]])
    good = np.flatnonzero(between & (totals >= totals[between].max() - 1e-9))
    return float(cuts[good[-1]])


def _pairs(answers: Sequence[str], references: Sequence[Sequence[str]]) -> list[tuple[str, Sequence[str]]]:
    check_pairs(answers, references)
    return list(zip(answers, references, strict=True))
