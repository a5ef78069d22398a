"""Sentences of words as rows of word pieces, with one label for each word at its first piece."""

import itertools
import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from kft import errors
from kft.data.token_table import TokenTable
from kft.tasks import token_rows
from kft.tasks.token_rows import Slices
from kft.tasks.windows import best_window, word_windows

# Chinese and Japanese signs are words of their own; links, @names, #tags and words with an inner mark stay whole.
_ALONE = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_WORD = re.compile(rf"[{_ALONE}]|https?://\S+|[@#]?(?:(?![{_ALONE}])\w)+(?:[.'’&-](?:(?![{_ALONE}])\w)+)*|\S")


def words_of(record: dict[str, Any]) -> tuple[list[str], list[tuple[int, int]], str]:
    """Words of a record, their characters, and the text that these count in.

    Args:
      record: {"words": [...]}, whose text is the words with spaces between; or {"texts": (text,)}, which is split at
        spaces and marks.

    Example:
      >>> words_of({"texts": ("Isn't @kim in Paris?",)})[0]
      ["Isn't", '@kim', 'in', 'Paris', '?']
      >>> words_of({"words": ["New", "York"]})
      (['New', 'York'], [(0, 3), (4, 8)], 'New York')
    """
    if "words" not in record:
        text = record["texts"][0]
        spans = [found.span() for found in _WORD.finditer(text)]
        return [text[start:end] for start, end in spans], spans, text
    words = list(record["words"])
    spans, place = [], 0
    for word in words:
        spans.append((place, place + len(word)))
        place += len(word) + 1
    return words, spans, " ".join(words)


def tokenize(
    source: Any, tokenizer: Any, *, max_length: int, label_names: Sequence[str], window_overlap: int
) -> TokenTable:
    """A table with a row for each sentence, or several that overlap for one too long; none of its words is lost.

    The target is the word's label at the first piece of each word, in the row that shows most around it, 0 for
    sentences without tags; it is -1 elsewhere. So the places with a target are each word once. A word that is longer
    than a row loses its end; the sentence counts as truncated.

    Args:
      source: with `records` {"words": [...], "tags": [...] or None} or {"texts": (text,)}.
      tokenizer: with `encode_words`, `pack` and `unk_id`, which stands for a word that has no piece.
      max_length: of a row, special tokens included.
      label_names: of the tags.
      window_overlap: pieces that neighbouring rows of a long sentence share.

    Raises: InputError for a tag that is no label, a number of tags that is not that of the words, or a max_length that
      does not fit the model.
    """
    records = [source.records[index] for index in range(len(source.records))]
    sentences = [words_of(record)[0] for record in records]
    labels = _labels(records, sentences, label_names)
    piece_ids, counts = _pieces(sentences, tokenizer)
    firsts = token_rows.offsets_of(counts)
    sentence_words = token_rows.offsets_of(np.array([len(words) for words in sentences], np.int64))
    bounds = firsts[sentence_words]
    room = token_rows.room(tokenizer, max_length, pair=False)
    record, starts, lengths, looked_at, num_truncated = _rows(firsts[:-1], sentence_words, bounds, room, window_overlap)
    rows = token_rows.pack(tokenizer, Slices(piece_ids, starts, lengths))
    targets = np.full(len(rows.token_ids), -1, np.int32)
    words = np.full(len(rows.token_ids), -1, np.int32)
    text = rows.first >= 0
    word = np.repeat(np.arange(len(counts)), counts)[rows.first[text]]
    row = np.repeat(np.arange(len(starts)), np.diff(rows.offsets))
    words[text] = word - sentence_words[record[row[text]]]
    is_target = (rows.first[text] == firsts[word]) & (looked_at[word] == row[text])
    targets[text] = np.where(is_target, labels[word], -1)
    return TokenTable(
        token_ids=rows.token_ids,
        segment_ids=rows.segment_ids,
        offsets=rows.offsets,
        targets=targets,
        record=record,
        words=words,
        per_token=True,
        num_truncated=num_truncated,
    )


def _labels(records: Sequence[dict], sentences: Sequence[Sequence[str]], label_names: Sequence[str]) -> np.ndarray:
    """Of all words, one after another; 0 where there are no tags."""
    places = {name: place for place, name in enumerate(label_names)}
    labels: list[int] = []
    for index, (record, words) in enumerate(zip(records, sentences, strict=True)):
        tags = record.get("tags")
        if tags is None:
            tags = label_names[:1] * len(words)
        if len(tags) != len(words):
            raise errors.InputError(
                f"Got {len(tags)} tags for {len(words)} words in sentence {index}. Expected one each. Correct the data."
            )
        for tag in tags:
            if tag not in places:
                raise errors.unknown_name(f"tag in sentence {index}", tag, label_names)
            labels.append(places[tag])
    return np.array(labels, np.int32)


def _pieces(sentences: Sequence[Sequence[str]], tokenizer: Any) -> tuple[np.ndarray, np.ndarray]:
    """Ids of the pieces of all words, and how many each word has: one at least."""
    encoded = tokenizer.encode_words(sentences)
    before = token_rows.offsets_of(np.array([len(words) for words in sentences], np.int64))[:-1]
    word = encoded.words + np.repeat(before, np.diff(encoded.offsets))
    counts = np.bincount(word, minlength=sum(map(len, sentences)))
    none = np.flatnonzero(counts == 0)
    if not none.size:
        return encoded.token_ids, counts
    if tokenizer.unk_id is None:
        flat = [one for words in sentences for one in words]
        raise errors.InputError(
            f"Got the word {flat[none[0]]!r}, one of {none.size} for which the tokenizer has no token. Expected a "
            "token for each word. Leave these words out."
        )
    ends = np.cumsum(counts)
    return np.insert(encoded.token_ids, ends[none], tokenizer.unk_id), np.maximum(counts, 1)


def _rows(firsts, sentence_words, bounds, room, overlap):
    """Sentence, start and length of each row; the row that looks at each word; sentences with too long a word."""
    sizes = np.diff(bounds)
    short = sizes <= room
    if short.all():
        rows = np.arange(len(sizes))
        return rows, bounds[:-1], sizes, np.repeat(rows, np.diff(sentence_words)), 0
    record, starts, lengths, looked_at, cut = [], [], [], [], 0
    for index, (begin, size) in enumerate(zip(bounds[:-1].tolist(), sizes.tolist(), strict=True)):
        places = firsts[sentence_words[index] : sentence_words[index + 1]] - begin
        windows = [(0, size)] if short[index] else word_windows(places, size, room, overlap)
        looked_at.append(len(starts) + best_window(places, windows, size))
        cut += windows[-1][1] < size or any(after > end for (_, end), (after, _) in itertools.pairwise(windows))
        record += [index] * len(windows)
        starts += [begin + start for start, _ in windows]
        lengths += [end - start for start, end in windows]
    return np.array(record), np.array(starts), np.array(lengths), np.concatenate(looked_at), cut
