"""Whole texts, or pairs of them, as rows of tokens: one row for each, cut where it is too long."""

from typing import Any

import numpy as np

from kft import errors
from kft.data.token_table import TokenTable
from kft.tasks import token_rows
from kft.tasks.token_rows import Slices

# Texts that are tokenised in one call: what stays of them are their ids.
TEXTS_AT_ONCE = 50_000


def tokenize(source: Any, tokenizer: Any, *, max_length: int, targets: np.ndarray) -> TokenTable:
    """A table with one row for each record {"texts": (first,) or (first, second)}.

    A text that is too long loses its end. Of a pair the longer text loses it first, until both are equally long (as
    "longest first" of other libraries), the second one token longer where the number is odd and the second was longer.

    Args:
      source: with `records`.
      tokenizer: with `encode` and `pack`.
      max_length: of a row, special tokens included.
      targets: (number of records, ...), one for each row.

    Raises: InputError if some records are pairs and some not, or max_length does not fit the model.
    """
    parts = _encode(source.records, tokenizer)
    lengths = np.stack([np.diff(offsets) for _, offsets in parts])
    kept = cut(lengths, token_rows.room(tokenizer, max_length, pair=len(parts) == 2))
    slices = [Slices(ids, offsets[:-1], length) for (ids, offsets), length in zip(parts, kept, strict=True)]
    rows = token_rows.pack(tokenizer, *slices)
    return TokenTable(
        token_ids=rows.token_ids,
        segment_ids=rows.segment_ids,
        offsets=rows.offsets,
        targets=targets,
        record=np.arange(len(rows.offsets) - 1),
        num_truncated=int((kept < lengths).any(0).sum()),
    )


def with_targets(source: Any, tokenizer: Any, *, max_length: int) -> TokenTable:
    """The rows of `tokenize` with the source's targets, or its labels where it has none."""
    targets = source.labels if source.targets is None else source.targets
    return tokenize(source, tokenizer, max_length=max_length, targets=targets)


def cut(lengths: np.ndarray, room: int) -> np.ndarray:
    """The lengths of one text or two after cutting, longest first.

    Args:
      lengths: (1 or 2, rows), tokens of the texts.
      room: for both together.

    Returns: lengths of the same shape, whose sum over the texts is the smaller of room and what it was.

    Example:
      >>> cut(np.array([[5, 9, 9], [9, 2, 1]]), 8).tolist()
      [[4, 6, 7], [4, 2, 1]]
    """
    if len(lengths) == 1:
        return np.minimum(lengths, room)
    shorter = np.minimum(lengths.min(0), room // 2)
    longer = np.minimum(lengths.max(0), room - shorter)
    first_is_shorter = lengths[0] <= lengths[1]
    return np.stack([np.where(first_is_shorter, shorter, longer), np.where(first_is_shorter, longer, shorter)])


def _encode(records: Any, tokenizer: Any) -> list[tuple[np.ndarray, np.ndarray]]:
    """Token ids and offsets of the first texts, and of the second ones if there are."""
    number = len(records)
    width = len(records[0]["texts"]) if number else 1
    ids: list[list[np.ndarray]] = [[] for _ in range(width)]
    lengths: list[list[np.ndarray]] = [[] for _ in range(width)]
    for begin in range(0, number, TEXTS_AT_ONCE):
        texts = [records[index]["texts"] for index in range(begin, min(begin + TEXTS_AT_ONCE, number))]
        for index, text in enumerate(texts, begin):
            if len(text) != width:
                raise errors.InputError(
                    f"Got {len(text)} text(s) in example {index} and {width} in the first. Expected the same number in "
                    "each, one or two. Check text_columns."
                )
        for place in range(width):
            encoded = tokenizer.encode([text[place] for text in texts], spans=False)
            ids[place].append(encoded.token_ids)
            lengths[place].append(np.diff(encoded.offsets))
    empty = [np.zeros(0, np.int32)]
    return [
        (np.concatenate(ids[place] or empty), token_rows.offsets_of(np.concatenate(lengths[place] or empty)))
        for place in range(width)
    ]
