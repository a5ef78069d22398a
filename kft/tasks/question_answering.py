"""Answers to questions, as spans of a context."""

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from kft import errors
from kft.data.token_table import TokenTable
from kft.models import heads
from kft.tasks import answer_scores, question_rows
from kft.tasks.answer_spans import Spans, best_spans, null_scores
from kft.tasks.head_settings import HeadSettings
from kft.tasks.losses import SpanCrossentropy
from kft.tasks.task import Task

N_BEST = 20
# How many of the best answers a prediction tells.
SHOWN = 3


def question_answering(
    *,
    label_names: Sequence[str] = (),
    settings: HeadSettings,
    window_overlap: int = 128,
    max_answer_length: int = 30,
) -> Task:
    """Two logits a token, of where the answer starts and ends; windows over long contexts.

    The loss is the cross-entropy of both places over the tokens of a window. A window that does not hold the whole
    answer is to point at its first token, which stands for "no answer". Of all legal spans of all windows the one with
    the highest sum of logits is the answer. No answer is given where the score of "no answer" is higher than that by
    more than a threshold: as `calibrate` chose it; before, it is 0 if some questions of the source have answers and
    some have none, and none is left unanswered if not.

    Scores over the whole data: F1 and exact match as of SQuAD, from 0 to 1.

    Args and Raises: see `kft.tasks.make_task`. There are no label names.
    """
    if label_names:
        raise errors.InputError(
            f"Got the label names {tuple(label_names)!r} for question answering. Expected none. Use 'squad:FILE'."
        )
    if window_overlap < 0 or max_answer_length < 1:
        raise errors.InputError(
            f"Got window_overlap={window_overlap!r} and max_answer_length={max_answer_length!r}. Expected whole "
            "numbers >= 0 and >= 1. Use 128 and 30."
        )
    task = Task(
        name="question_answering",
        label_names=(),
        head=settings.head(heads.make_span_head),
        loss=SpanCrossentropy(),
        metrics=lambda: [keras.metrics.MeanMetricWrapper(_both_right, name="accuracy")],
        monitor="val_f1",
        monitor_mode="max",
        decode=functools.partial(_decode, max_answer_length, "auto"),
        references=_references,
        corpus_scores=_corpus_scores,
        score_names=answer_scores.OF_ANSWERS,
        tokenize=functools.partial(question_rows.tokenize, window_overlap=window_overlap),
        per_token=True,
        calibrate=_calibrate,
        official=official_predictions,
    )
    return dataclasses.replace(task, calibrated=functools.partial(_calibrated, task, max_answer_length))


def official_predictions(predictions: Sequence[dict[str, Any]]) -> dict[str, str]:
    """Answers by the ids of their questions, as the evaluation scripts of SQuAD read them."""
    return {prediction["id"]: prediction["answer"] for prediction in predictions}


def _both_right(y_true, y_pred):
    """Per window: 1 where the highest start and the highest end are the right ones."""
    places = keras.ops.argmax(y_pred, axis=1)
    right = keras.ops.equal(keras.ops.cast(y_true, places.dtype), places)
    return keras.ops.cast(keras.ops.all(right, axis=-1), "float32")


def _references(source: Any) -> list[list[str]]:
    return [[text for _, text in source.records[index]["answers"]] for index in range(len(source.records))]


def _decode(
    max_answer_length: int, threshold: float | str | None, logits: np.ndarray, table: TokenTable, source: Any
) -> list[dict[str, Any]]:
    records = [source.records[index] for index in range(len(source.records))]
    if threshold == "auto":
        answered = [bool(record.get("answers")) for record in records]
        threshold = 0.0 if any(answered) and not all(answered) else None
    spans = best_spans(logits, table, max_answer_length=max_answer_length, n_best=N_BEST)
    bounds = np.searchsorted(spans.record, np.arange(len(records) + 1))
    return [
        _prediction(record, Spans(*(part[begin:end] for part in spans)), null, threshold)
        for record, begin, end, null in zip(
            records, bounds[:-1], bounds[1:], null_scores(logits, table, len(records)), strict=True
        )
    ]


def _prediction(record: dict[str, Any], spans: Spans, null: float, threshold: float | None) -> dict[str, Any]:
    """What a person reads of one question; probabilities are shares among the best spans and "no answer"."""
    scores = np.append(spans.score, null)
    shares = np.exp(scores - scores.max())
    shares = (shares / shares.sum()).tolist()
    answers = [
        {"text": record["context"][start:end], "start": int(start), "end": int(end), "probability": share}
        for start, end, share in zip(spans.start[:SHOWN], spans.end[:SHOWN], shares, strict=False)
    ]
    no_answer_score = float(null - spans.score[0]) if answers else float("inf")
    given = bool(answers) and (threshold is None or no_answer_score <= threshold)
    return {
        "id": record["id"],
        "answer": answers[0]["text"] if given else "",
        "start": answers[0]["start"] if given else None,
        "end": answers[0]["end"] if given else None,
        "answers": answers,
        "no_answer_score": no_answer_score if answers else None,
        "no_answer_probability": shares[-1],
    }


def _corpus_scores(predictions: Sequence[dict[str, Any]], references: Sequence[Sequence[str]]) -> dict[str, float]:
    return answer_scores.of_answers([prediction["answer"] for prediction in predictions], references)


def _calibrate(predictions: Sequence[dict[str, Any]], references: Sequence[Sequence[str]]) -> dict[str, float | None]:
    """The threshold of "no answer" with the highest F1; None if every question has an answer."""
    best = [prediction["answers"][0]["text"] if prediction["answers"] else "" for prediction in predictions]
    no_answer = [prediction["no_answer_score"] for prediction in predictions]
    no_answer = [np.finfo("float64").max / 4 if score is None else score for score in no_answer]
    return {"no_answer_threshold": answer_scores.best_no_answer_threshold(best, no_answer, references)}


def _calibrated(task: Task, max_answer_length: int, calibration: dict[str, float | None]) -> Task:
    threshold = calibration["no_answer_threshold"]
    return dataclasses.replace(
        task, decode=functools.partial(_decode, max_answer_length, threshold), calibration=calibration
    )
