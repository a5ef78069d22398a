"""A tokenizer of pieces of words, small enough to check by eye: what is known of its output does not come from it."""

import re
from typing import NamedTuple

import numpy as np


class Encoded(NamedTuple):
    token_ids: np.ndarray
    offsets: np.ndarray
    spans: np.ndarray
    words: np.ndarray | None


class PieceTokenizer:
    """Words and single marks, cut into pieces of at most `piece` characters; ids are hashes of the pieces.

    Control characters give no piece, as in BERT. `pack` is BERT's: 1 = [CLS], 2 = [SEP], 0 = padding, 3 = unknown.
    """

    pad_id, unk_id, vocabulary_size = 0, 3, 1000

    def __init__(self, piece=3, max_length=64):
        self.piece, self.max_length = piece, max_length

    def num_special_tokens(self, pair):
        return 3 if pair else 2

    def pieces(self, text):
        """(start, end) of each piece."""
        return [
            (start, min(start + self.piece, word.end()))
            for word in re.finditer(r"[一-龥]|\w+|[^\w\s\x00-\x1f\u200d]", text)
            for start in range(word.start(), word.end(), self.piece)
        ]

    def id_of(self, piece):
        return 4 + sum(place * ord(character) for place, character in enumerate(piece, 1)) % 990

    def encode(self, texts, *, spans=True):
        found = [self.pieces(text) for text in texts]
        ids = [self.id_of(text[start:end]) for text, spans in zip(texts, found, strict=True) for start, end in spans]
        return Encoded(
            np.array(ids, np.int32),
            np.concatenate([[0], np.cumsum([len(spans) for spans in found])]).astype(np.int64),
            np.array([span for spans in found for span in spans], np.int32).reshape(-1, 2) if spans else None,
            None,
        )

    def encode_words(self, sentences):
        encoded = self.encode([word for words in sentences for word in words])
        sentence_ends = np.cumsum([0, *map(len, sentences)])
        places = np.concatenate([np.arange(len(words)) for words in sentences] or [[]]).astype(np.int32)
        return encoded._replace(
            offsets=encoded.offsets[sentence_ends], words=np.repeat(places, np.diff(encoded.offsets))
        )

    def pack(self, first, second=None):
        ids = [1, *first, 2] if second is None else [1, *first, 2, *second, 2]
        segments = [0] * (len(first) + 2) + ([] if second is None else [1] * (len(second) + 1))
        return np.array(ids, np.int32), np.array(segments, np.int8)


class SpacesBefore(PieceTokenizer):
    """Spans take in the space before a word, as those of SentencePiece do."""

    def encode(self, texts, *, spans=True):
        encoded = super().encode(texts, spans=spans)
        if spans:
            for index, text in enumerate(texts):
                for span in encoded.spans[encoded.offsets[index] : encoded.offsets[index + 1]]:
                    span[0] -= span[0] > 0 and text[span[0] - 1] == " "
        return encoded


class TwoSeparators(PieceTokenizer):
    """RoBERTa's form: <s> a </s></s> b </s>, and no segments."""

    def num_special_tokens(self, pair):
        return 4 if pair else 2

    def pack(self, first, second=None):
        ids = [1, *first, 2] if second is None else [1, *first, 2, 2, *second, 2]
        return np.array(ids, np.int32), None
