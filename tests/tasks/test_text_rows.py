"""Texts and pairs become rows; what is too long is cut and counted."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kft import errors
from kft.tasks import make_task, text_rows
from tests.tasks.sources import text_source, texts
from tests.tasks.tokenizers import PieceTokenizer

TOKENIZER = PieceTokenizer(piece=100)


def rows(table):
    return [table.token_ids[start:end].tolist() for start, end in zip(table.offsets, table.offsets[1:])]


def ids(text):
    return TOKENIZER.encode([text]).token_ids.tolist()


def tokenize(source, max_length):
    task = make_task("text_classification", label_names=("no", "yes"))
    return task.tokenize(source, TOKENIZER, max_length=max_length)


def test_texts(monkeypatch):
    monkeypatch.setattr(text_rows, "TEXTS_AT_ONCE", 2)
    table = tokenize(text_source(texts("one two three", "", "four"), labels=[1, 0, 1]), 4)
    assert rows(table) == [[1, *ids("one two"), 2], [1, 2], [1, *ids("four"), 2]]
    assert table.targets.tolist() == [1, 0, 1]
    assert table.record.tolist() == [0, 1, 2]
    assert table.num_truncated == 1
    assert not table.per_token


def test_pairs():
    table = tokenize(text_source(texts(("a b c d e", "f"), ("a", "b")), labels=[0, 1]), 7)
    assert rows(table) == [[1, *ids("a b c"), 2, *ids("f"), 2], [1, *ids("a"), 2, *ids("b"), 2]]
    assert table.segment_ids.tolist() == [0, 0, 0, 0, 0, 1, 1, 0, 0, 0, 1, 1]
    assert table.num_truncated == 1


def test_a_text_among_pairs():
    with pytest.raises(errors.InputError, match=r"1 text\(s\) in example 1 and 2"):
        tokenize(text_source(texts(("a", "b"), "c"), labels=[0, 1]), 8)


def cut_one_by_one(first, second, room):
    """Take away the last token of the longer text until both fit."""
    while first + second > room:
        if first > second:
            first -= 1
        else:
            second -= 1
    return first, second


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), min_size=1, max_size=8), st.integers(1, 40))
def test_the_longer_text_is_cut_first(lengths, room):
    kept = text_rows.cut(np.array(lengths).T, room).T
    for (first, second), got in zip(lengths, kept, strict=True):
        expected = cut_one_by_one(first, second, room)
        # Which of two long texts keeps one token more, where the room is odd, is not settled by the rule.
        assert sorted(got) == sorted(expected)
        assert got[0] <= first and got[1] <= second
