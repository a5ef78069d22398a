"""Tokenised text as it is trained on: rows of different length, stored one after another."""

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True, eq=False)
class TokenTable:
    """Rows of token ids, each one an input of the model, special tokens included.

    Row i is token_ids[offsets[i] : offsets[i + 1]]. A record that is too long for the model may be several rows.

    Args:
      token_ids: (total,) int32.
      segment_ids: (total,) int8: 0, or 1 for the second text of a pair.
      offsets: (num_rows + 1,) int64, from 0 to total.
      targets: what the loss is given: (num_rows, ...), one a row; or with per_token (total,) int32, -1 where the loss
        does not look.
      record: (num_rows,) int64, the record that each row was made of; does not decrease.
      spans: (total, 2) int32 or None: from and to which character of its text a token stands for; -1, -1 where none.
      words: (total,) int32 or None: the word of its record that a token belongs to; -1 where none.
      per_token: whether there is one target a token.
      num_truncated: how many records were cut, as they had more tokens than the model takes.
    """

    token_ids: np.ndarray
    segment_ids: np.ndarray
    offsets: np.ndarray
    targets: np.ndarray
    record: np.ndarray
    spans: np.ndarray | None = None
    words: np.ndarray | None = None
    per_token: bool = False
    num_truncated: int = 0

    @property
    def num_rows(self) -> int:
        """The number of rows."""
        return len(self.offsets) - 1

    @property
    def lengths(self) -> np.ndarray:
        """The number of tokens of each row, (num_rows,) int64."""
        return np.diff(self.offsets)
