"""Windows hold every token, are no longer than they may be, and overlap as much as they can."""

import itertools

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from kft.tasks.windows import best_window, even_windows, word_windows


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(1, 12)), max_size=6), st.integers(0, 15))
def test_even_windows(texts, overlap):
    lengths, rooms = (np.array([text[side] for text in texts], np.int64) for side in (0, 1))
    text, starts, sizes = even_windows(lengths, rooms, overlap)
    assert np.unique(text).tolist() == list(range(len(texts)))
    for index, (length, room) in enumerate(texts):
        own = list(zip(starts[text == index].tolist(), sizes[text == index].tolist(), strict=True))
        assert own[0][0] == 0 and sum(own[-1]) == length
        assert all(size == room for _, size in own[:-1]) and own[-1][1] <= room
        for (start, size), (following, _) in itertools.pairwise(own):
            assert start + size - following == min(overlap, room // 2)
        assert len(own) == 1 or length > room


@given(st.lists(st.integers(1, 7), min_size=1, max_size=20), st.integers(1, 12), st.integers(0, 8))
def test_word_windows(pieces, room, overlap):
    firsts = np.cumsum([0, *pieces[:-1]])
    length = sum(pieces)
    windows = word_windows(firsts, length, room, overlap)
    assert all(start in firsts and 0 < end - start <= room for start, end in windows)
    assert all(one < other for (one, _), (other, _) in itertools.pairwise(windows))
    assert all(any(start <= first < end for start, end in windows) for first in firsts)
    for (before, end), (start, _) in itertools.pairwise(windows):
        # As much is shared as was asked for, unless no word begins where the window would have to.
        latest = end - min(overlap, room // 2)
        assert start <= latest or not ((firsts > before) & (firsts <= latest)).any()
    if max(pieces) <= room:
        seen = {piece for start, end in windows for piece in range(start, end)}
        assert seen == set(range(length))


def test_the_best_window_has_most_around_a_place():
    windows = [(0, 6), (4, 10), (8, 12)]
    # 4 has one after it in the first, none before it in the second; 5 none after it, one before it.
    assert best_window(np.array([0, 3, 4, 5, 8, 9, 11]), windows, 12).tolist() == [0, 0, 0, 1, 1, 2, 2]
