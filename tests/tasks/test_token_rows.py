"""Packing all rows at once gives what the tokenizer packs one by one."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kft import errors
from kft.tasks import token_rows
from kft.tasks.token_rows import Slices
from tests.tasks.tokenizers import PieceTokenizer, TwoSeparators

LENGTHS = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 4)), max_size=6)


def slices(lengths, start):
    """Slices in the wrong order of an array of numbers that all differ."""
    lengths = np.array(lengths, np.int64)
    ends = np.cumsum(lengths[::-1])[::-1]
    return Slices(np.arange(start, start + lengths.sum(), dtype=np.int32), ends - lengths, lengths)


@pytest.mark.parametrize("tokenizer", [PieceTokenizer(), TwoSeparators()])
@pytest.mark.parametrize("pair", [False, True])
@given(lengths=LENGTHS)
def test_rows_are_those_of_the_tokenizer(tokenizer, pair, lengths):
    parts = [slices([first for first, _ in lengths], 100)]
    if pair:
        parts.append(slices([second for _, second in lengths], 500))
    rows = token_rows.pack(tokenizer, *parts)
    assert len(rows.offsets) == len(lengths) + 1
    for row in range(len(lengths)):
        at = slice(rows.offsets[row], rows.offsets[row + 1])
        texts = [part.token_ids[part.starts[row] : part.starts[row] + part.lengths[row]] for part in parts]
        token_ids, segment_ids = tokenizer.pack(*texts)
        assert rows.token_ids[at].tolist() == token_ids.tolist()
        assert rows.segment_ids[at].tolist() == ([0] * len(token_ids) if segment_ids is None else segment_ids.tolist())
        for text, part, came_from in zip(texts, parts, (rows.first, rows.second), strict=False):
            assert part.token_ids[came_from[at][came_from[at] >= 0]].tolist() == text.tolist()


@pytest.mark.parametrize(("max_length", "problem"), [(65, "64 positions"), (3, "special")])
def test_lengths_that_do_not_fit(max_length, problem):
    with pytest.raises(errors.InputError, match=problem):
        token_rows.room(PieceTokenizer(max_length=64), max_length, pair=True)
