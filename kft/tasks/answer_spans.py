"""The best spans of answers by the logits of their starts and ends, over all windows of a question."""

from typing import NamedTuple

import numpy as np

from kft.data.token_table import TokenTable

# Rows whose spans are scored at once: this bounds what they take in memory.
ROWS_AT_ONCE = 128


class Spans(NamedTuple):
    """Candidates of all records: record by record, the best first, none twice.

    Shapes: all (candidates,): the record, characters [start, end) of its context, and the score.
    """

    record: np.ndarray
    start: np.ndarray
    end: np.ndarray
    score: np.ndarray


def best_spans(logits: np.ndarray, table: TokenTable, *, max_answer_length: int, n_best: int) -> Spans:
    """For each record the n_best spans with the highest start logit + end logit, among all that are legal.

    A span is legal if it begins and ends with tokens of the same window of the context, does not end before it begins,
    and has at most max_answer_length tokens. One that is in two windows has the higher of its scores.

    Args:
      logits: of starts and ends, as table.token_ids.
      table: with `spans`.
      max_answer_length: in tokens, >= 1.
      n_best: spans of a record, >= 1.

    Shapes: logits (total tokens, 2).
    """
    logits = np.asarray(logits, "float32")
    legal = table.spans[:, 1] > table.spans[:, 0]
    start_logits = np.where(legal, logits[:, 0], -np.inf)
    end_logits = np.where(legal, logits[:, 1], -np.inf)
    order = np.argsort(table.lengths, kind="stable")
    parts = [
        _of_rows(order[begin : begin + ROWS_AT_ONCE], table, start_logits, end_logits, max_answer_length, n_best)
        for begin in range(0, len(order), ROWS_AT_ONCE)
    ]
    row, first, last, score = (np.concatenate(part) for part in zip(*parts, strict=True))
    return _best_of_records(
        Spans(table.record[row], table.spans[first, 0], table.spans[last, 1], score.astype("float64")), n_best
    )


def null_scores(logits: np.ndarray, table: TokenTable, num_records: int) -> np.ndarray:
    """For each record the score of no answer: both logits of the first token, in the window where they are lowest.

    Reference: Devlin et al. 2019, section 4.3; of several windows, the one surest of an answer, as usual.
    """
    firsts = table.offsets[:-1]
    lowest = np.full(num_records, np.inf)
    np.minimum.at(lowest, table.record, np.asarray(logits, "float64")[firsts].sum(-1))
    return lowest


def _of_rows(rows, table, start_logits, end_logits, max_answer_length, n_best):
    """Row, first token, last token and score of the best spans of some rows."""
    lengths = table.lengths[rows]
    width = int(lengths.max())
    places = table.offsets[:-1][rows][:, None] + np.arange(width)
    inside = np.arange(width) < lengths[:, None]
    places = np.where(inside, places, 0)
    starts = np.where(inside, start_logits[places], -np.inf)
    ends = np.full((len(rows), width + max_answer_length - 1), -np.inf, "float32")
    ends[:, :width] = np.where(inside, end_logits[places], -np.inf)
    following = np.lib.stride_tricks.sliding_window_view(ends, max_answer_length, axis=1)
    scores = (starts[:, :, None] + following).reshape(len(rows), -1)
    number = min(n_best, scores.shape[1])
    best = np.argpartition(-scores, number - 1, axis=1)[:, :number]
    score = np.take_along_axis(scores, best, 1)
    row, place = np.nonzero(np.isfinite(score))
    first, length = np.divmod(best[row, place], max_answer_length)
    first += table.offsets[:-1][rows[row]]
    return rows[row], first, first + length, score[row, place]


def _best_of_records(spans: Spans, n_best: int) -> Spans:
    """Each span of a record once, with its best score; the best n_best of them, the earlier one where two are equal."""
    order = np.lexsort((-spans.score, spans.end, spans.start, spans.record))
    spans = Spans(*(part[order] for part in spans))
    key = np.stack(spans[:3])
    new = np.append(True, (key[:, 1:] != key[:, :-1]).any(0)) if len(order) else np.zeros(0, bool)
    spans = Spans(*(part[new] for part in spans))
    order = np.lexsort((spans.end, spans.start, -spans.score, spans.record))
    spans = Spans(*(part[order] for part in spans))
    begin = np.searchsorted(spans.record, spans.record, side="left")
    good = np.arange(len(order)) - begin < n_best
    return Spans(*(part[good] for part in spans))
