"""Parts of long texts, as long as the model takes, that overlap."""

import numpy as np


def even_windows(lengths: np.ndarray, rooms: np.ndarray, overlap: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Windows over texts, each one beginning room - overlap tokens after the one before; the last may be shorter.

    Args:
      lengths: (texts,) tokens of each text.
      rooms: (texts,) >= 1, tokens of a window.
      overlap: tokens that two neighbours share, >= 0; at most half the room is taken.

    Returns: for each window its text, and its start and length in it; a text without tokens has one of length 0.

    Example:
      >>> [part.tolist() for part in even_windows(np.array([3, 10]), np.array([6, 6]), 2)]
      [[0, 1, 1], [0, 0, 4], [3, 6, 6]]
    """
    steps = rooms - np.minimum(overlap, rooms // 2)
    numbers = 1 + np.maximum(0, -(-(lengths - rooms) // steps))
    text = np.repeat(np.arange(len(lengths)), numbers)
    place = np.arange(len(text)) - np.repeat(np.cumsum(numbers) - numbers, numbers)
    starts = place * steps[text]
    return text, starts, np.minimum(rooms[text], lengths[text] - starts)


def word_windows(first_pieces: np.ndarray, length: int, room: int, overlap: int) -> list[tuple[int, int]]:
    """Windows over the pieces of words, each one beginning with a word.

    Args:
      first_pieces: (words,) increasing, the first one 0: where each word begins.
      length: number of all pieces.
      room: pieces of a window, >= 1.
      overlap: pieces that two neighbours share at least, where the words allow it; at most half the room is taken.

    Returns: (start, end) of each. Every first piece is in one window at least; a word that is longer than a window
      loses its end.

    Example:
      >>> word_windows(np.array([0, 2, 5, 6]), 8, 5, 2)
      [(0, 5), (2, 7), (5, 8)]
    """
    overlap = min(overlap, room // 2)
    windows = []
    start = 0
    while True:
        end = min(start + room, length)
        windows.append((start, end))
        # Where the last word is longer than a window, its end is further on.
        if first_pieces[-1] < end and (end == length or first_pieces[-1] == start):
            return windows
        later = first_pieces[first_pieces > start]
        early_enough = later[later <= end - overlap]
        start = int(early_enough[-1] if len(early_enough) else later[0])


def best_window(places: np.ndarray, windows: list[tuple[int, int]], length: int) -> np.ndarray:
    """For each place the window that shows most around it: the larger number of tokens on its poorer side.

    Args:
      places: (n,) each in one window at least.
      windows: (start, end), ascending.
      length: of the text. Its ends are no lack.

    Returns: (n,) indices of windows; of equal ones the first.

    Example:
      >>> best_window(np.array([0, 3, 4, 7]), [(0, 5), (3, 8)], 8).tolist()
      [0, 0, 1, 1]
    """
    starts, ends = np.array(windows).T
    before = np.where(starts == 0, length, places[:, None] - starts)
    after = np.where(ends == length, length, ends - 1 - places[:, None])
    inside = (places[:, None] >= starts) & (places[:, None] < ends)
    return np.argmax(np.where(inside, np.minimum(before, after), -1), axis=1)
