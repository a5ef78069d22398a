"""Questions with parts of their contexts as rows, and where in them the answers are."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from kft.data.token_table import TokenTable
from kft.tasks import token_rows
from kft.tasks.token_rows import Slices
from kft.tasks.windows import even_windows

# A longer question is cut, and counted as truncated; it never takes more than half of a row.
MOST_TOKENS_OF_A_QUESTION = 64


def tokenize(source: Any, tokenizer: Any, *, max_length: int, window_overlap: int) -> TokenTable:
    """A table with a row for each window over the context of each question.

    Targets are the first and the last token of the first answer, as places in the row. They are 0, 0 (the token that
    stands for "no answer") where the window does not hold the whole answer, or there is none. A token belongs to an
    answer that has some of its characters. `spans` are those of the context's tokens.

    Args:
      source: with `records` {"question": str, "context": str, "answers": [(start, text), ...]}.
      tokenizer: with `encode` and `pack`.
      max_length: of a row, special tokens included.
      window_overlap: tokens of the context that neighbouring rows share; at most half the room is taken.

    Raises: InputError if max_length does not fit the model.
    """
    records = [source.records[index] for index in range(len(source.records))]
    contexts = {text: place for place, text in enumerate(dict.fromkeys(record["context"] for record in records))}
    context = np.array([contexts[record["context"]] for record in records], np.int64)
    questions = tokenizer.encode([record["question"] for record in records], spans=False)
    pieces = tokenizer.encode(list(contexts))
    pieces = pieces._replace(spans=_without_spaces(pieces, list(contexts)))

    room = token_rows.room(tokenizer, max_length, pair=True)
    asked = np.diff(questions.offsets)
    kept = np.minimum(asked, min(MOST_TOKENS_OF_A_QUESTION, room // 2))
    begins = pieces.offsets[:-1][context]
    record, starts, lengths = even_windows(np.diff(pieces.offsets)[context], room - kept, window_overlap)
    rows = token_rows.pack(
        tokenizer,
        Slices(questions.token_ids, questions.offsets[:-1][record], kept[record]),
        Slices(pieces.token_ids, begins[record] + starts, lengths),
    )
    spans = np.full((len(rows.token_ids), 2), -1, np.int32)
    of_context = rows.second >= 0
    spans[of_context] = pieces.spans[rows.second[of_context]]

    first, last = _answer_tokens(records, list(contexts), context, pieces)
    window_first = begins[record] + starts
    holds = (first[record] >= window_first) & (last[record] < window_first + lengths)
    row_place = np.flatnonzero(of_context)
    row_begin = np.append(row_place, 0)[np.cumsum(lengths) - lengths] - rows.offsets[:-1] - window_first
    positions = np.stack([first[record] + row_begin, last[record] + row_begin], 1)
    return TokenTable(
        token_ids=rows.token_ids,
        segment_ids=rows.segment_ids,
        offsets=rows.offsets,
        targets=np.where(holds[:, None], positions, 0).astype(np.int32),
        record=record,
        spans=spans,
        num_truncated=int((kept < asked).sum()),
    )


def _without_spaces(pieces: Any, contexts: Sequence[str]) -> np.ndarray:
    """The spans of all pieces less the spaces around them, which some tokenizers take for a part of a word."""
    bases = token_rows.offsets_of(np.array([len(text) + 1 for text in contexts], np.int64))
    is_space = np.zeros(bases[-1] + 1, bool)
    for text, base in zip(contexts, bases[:-1], strict=True):
        is_space[base : base + len(text)] = np.fromiter(map(str.isspace, text), bool, len(text))
    base = np.repeat(bases[:-1], np.diff(pieces.offsets))
    start, end = (base + side for side in pieces.spans.T)
    while (wide := is_space[start] & (start < end)).any():
        start = start + wide
    while (wide := is_space[end - 1] & (start < end)).any():
        end = end - wide
    return np.stack([start - base, end - base], 1).astype(np.int32)


def _answer_tokens(
    records: Sequence[dict[str, Any]], contexts: Sequence[str], context: np.ndarray, pieces: Any
) -> tuple[np.ndarray, np.ndarray]:
    """First and last piece, among those of all contexts, of each first answer; -1, -1 where there is none."""
    # All contexts as one text: characters of a later one come later.
    bases = token_rows.offsets_of(np.array([len(text) + 1 for text in contexts], np.int64))[:-1]
    base = np.repeat(bases, np.diff(pieces.offsets))
    answers = [(record.get("answers") or [(-1, "")])[0] for record in records]
    begins = np.array([start for start, _ in answers], np.int64)
    ends = begins + [len(text) for _, text in answers]
    first = np.searchsorted(base + pieces.spans[:, 1], bases[context] + begins, side="right")
    last = np.searchsorted(base + pieces.spans[:, 0], bases[context] + ends, side="left") - 1
    there = (begins >= 0) & (first <= last)
    return np.where(there, first, -1), np.where(there, last, -1)
