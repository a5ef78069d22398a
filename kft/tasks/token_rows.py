"""Slices of tokenised texts, packed into rows with the tokenizer's special tokens, all rows at once."""

from typing import Any, NamedTuple

import numpy as np

from kft import errors


class Slices(NamedTuple):
    """Parts of one long array of token ids, one for each row.

    Shapes: token_ids (any,); starts, lengths (rows,).
    """

    token_ids: np.ndarray
    starts: np.ndarray
    lengths: np.ndarray


class Rows(NamedTuple):
    """Packed rows.

    Shapes: token_ids (total,) int32, segment_ids (total,) int8, offsets (rows + 1,) int64; first and second (total,)
      int64: the index in the token ids of the first or second slices that a token came from, -1 where it did not.
    """

    token_ids: np.ndarray
    segment_ids: np.ndarray
    offsets: np.ndarray
    first: np.ndarray
    second: np.ndarray


def pack(tokenizer: Any, first: Slices, second: Slices | None = None) -> Rows:
    """Rows as `tokenizer.pack` makes them one by one, such as [CLS] first [SEP] second [SEP].

    Args:
      tokenizer: with `pack`.
      first, second: as many slices of each; second None where there are no pairs.
    """
    token_ids, segment_ids, places = _frame(tokenizer, second is not None)
    parts = [first] if second is None else [first, second]
    lengths = sum(part.lengths for part in parts) + len(token_ids) - len(parts)
    offsets = offsets_of(lengths)
    packed_ids = np.empty(offsets[-1], np.int32)
    packed_segments = np.empty(offsets[-1], np.int8)
    came_from = [np.full(offsets[-1], -1, np.int64) for _ in range(2)]
    column, at = 0, offsets[:-1].copy()
    for part, place, came in [*zip(parts, places, came_from), (None, len(token_ids), None)]:
        for special in range(column, place):
            packed_ids[at], packed_segments[at] = token_ids[special], segment_ids[special]
            at = at + 1
        if part is not None:
            to, taken = ranges(at, part.lengths), ranges(part.starts, part.lengths)
            packed_ids[to], packed_segments[to], came[to] = part.token_ids[taken], segment_ids[place], taken
            at = at + part.lengths
        column = place + 1
    return Rows(packed_ids, packed_segments, offsets, *came_from)


def ranges(starts: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """start, start + 1, ..., start + length - 1 for each start, one after another.

    Example:
      >>> ranges(np.array([5, 0]), np.array([2, 3])).tolist()
      [5, 6, 0, 1, 2]
    """
    ends = np.cumsum(lengths)
    return np.repeat(starts - ends + lengths, lengths) + np.arange(ends[-1] if len(ends) else 0)


def offsets_of(lengths: np.ndarray) -> np.ndarray:
    """Where each row begins in one long array of all, and at last where it ends.

    Example:
      >>> offsets_of(np.array([2, 3])).tolist()
      [0, 2, 5]
    """
    return np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])


def room(tokenizer: Any, max_length: int, *, pair: bool) -> int:
    """How many tokens of texts a row can hold beside the special ones.

    Raises: InputError if the model has fewer positions than max_length, or not one is left for the text.
    """
    if max_length > tokenizer.max_length:
        raise errors.InputError(
            f"Got max_length={max_length}. Expected at most the {tokenizer.max_length} positions of the model. Use "
            f"{tokenizer.max_length}."
        )
    special = tokenizer.num_special_tokens(pair)
    if max_length <= special:
        raise errors.InputError(
            f"Got max_length={max_length}, of which {special} are special tokens. Expected some for the text. Use 128."
        )
    return max_length - special


def _frame(tokenizer: Any, pair: bool) -> tuple[np.ndarray, np.ndarray, list[int]]:
    """A packed row in which each text is one token, its segments, and where these two tokens are."""
    stand_ins = [-1, -2] if pair else [-1]
    token_ids, segment_ids = tokenizer.pack(*(np.array([one], np.int32) for one in stand_ins), *[None] * (not pair))
    segment_ids = np.zeros(len(token_ids), np.int8) if segment_ids is None else np.asarray(segment_ids, np.int8)
    return np.asarray(token_ids), segment_ids, [int(np.flatnonzero(token_ids == one)[0]) for one in stand_ins]
