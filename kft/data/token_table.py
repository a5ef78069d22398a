"""Tokenised text: one ragged table of rows, made once, from which batches are cut."""

import dataclasses
from collections.abc import Iterable

import numpy as np

from kft import errors
from kft.data.source import Finding, Source


@dataclasses.dataclass(frozen=True, eq=False)
class TokenTable:
    """Rows of tokens with special tokens in place; row r holds token_ids[offsets[r] : offsets[r + 1]].

    A record of the source gives one row, or several that overlap where it is long.

    Args:
      token_ids: (total,) int32.
      segment_ids: (total,) int8, 0 or 1.
      offsets: (rows + 1,) int64, from 0 to total.
      targets: (rows, ...), or (total,) with `per_token`; None where nothing is labelled. Of tokens, -1 where the loss
        does not look.
      record: (rows,) int64, the record that each row was made of; rows of one record follow each other.
      spans: (total, 2) int32, what of its text or word each token is, in characters; None where nobody decodes it.
      words: (total,) int32, the index of the word of each token, -1 for special tokens; or None.
      per_token: whether each token has a target of its own.
      num_truncated: records that lost tokens at the end.

    Raises: InputError if the parts do not fit each other.
    """

    token_ids: np.ndarray
    segment_ids: np.ndarray
    offsets: np.ndarray
    targets: np.ndarray | None
    record: np.ndarray
    spans: np.ndarray | None = None
    words: np.ndarray | None = None
    per_token: bool = False
    num_truncated: int = 0

    def __post_init__(self):
        total, rows = len(self.token_ids), len(self.offsets) - 1
        lengths = {"segment_ids": total, "record": rows, "targets": total if self.per_token else rows}
        lengths |= {"spans": total, "words": total}
        for name, length in lengths.items():
            values = getattr(self, name)
            if values is not None and len(values) != length:
                raise errors.InputError(
                    f"Got {len(values)} {name} in a table of {rows} rows and {total} tokens. Expected {length}."
                )
        if rows < 0 or self.offsets[0] != 0 or self.offsets[-1] != total or np.any(np.diff(self.offsets) < 0):
            raise errors.InputError(
                f"Got offsets that do not go from 0 to {total}. Expected the first token of each row, and the end."
            )

    @property
    def num_rows(self) -> int:
        """How many rows there are."""
        return len(self.record)

    @property
    def lengths(self) -> np.ndarray:
        """(rows,) int64: the tokens of each row."""
        return np.diff(self.offsets)


def check_tokens(table: TokenTable, source: Source, *, vocabulary_size: int, max_length: int) -> list[Finding]:
    """What would go wrong without a word on the device: ids outside of the vocabulary, and too many tokens.

    Args:
      table: made of the source.
      source: names the examples.
      vocabulary_size: of the model; ids are below it.
      max_length: the most positions of the model.
    """
    findings = []
    wrong = np.flatnonzero((table.token_ids < 0) | (table.token_ids >= vocabulary_size))
    rows = np.unique(np.searchsorted(table.offsets, wrong, side="right") - 1)
    for row in rows:
        ids = table.token_ids[table.offsets[row] : table.offsets[row + 1]]
        first = int(ids[(ids < 0) | (ids >= vocabulary_size)][0])
        reason = f"Got token id {first}. Expected 0 <= id < {vocabulary_size}, the size of the model's vocabulary."
        remedy = "Use the tokenizer that the model was trained with."
        findings.append(_of_row("token id outside the vocabulary", table, source, row, reason, remedy))
    for row in np.flatnonzero(table.lengths > max_length):
        reason = f"Got {table.lengths[row]} tokens. Expected at most {max_length}, the positions of the model."
        findings.append(_of_row("too many tokens", table, source, row, reason, "Lower sequence_length."))
    for row in np.flatnonzero(table.lengths == 0):
        reason = "Got no tokens. Expected at least the special ones."
        findings.append(_of_row("no tokens", table, source, row, reason, "Correct how the task makes rows."))
    return findings


def raise_if_bad(findings: Iterable[Finding], most: int = 20) -> None:
    """Raises InputError with the findings, at most so many of them."""
    findings = list(findings)
    if findings:
        lines = [f"  {finding.kind}: {finding}" for finding in findings[:most]]
        lines += [f"  and {len(findings) - most} more"] * (len(findings) > most)
        raise errors.InputError(
            "Got tokens that the model cannot take. Expected none. Mend what is listed.\n" + "\n".join(lines)
        )


def _of_row(kind: str, table: TokenTable, source: Source, row: int, reason: str, remedy: str) -> Finding:
    record = int(table.record[row])
    return Finding(kind, source.keys[record], reason, remedy, index=record)
