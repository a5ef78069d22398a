"""Text to token ids, by the rules that a pretrained model was trained with."""

import dataclasses
import hashlib
import itertools
import json
import pathlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from kft import errors

FILE, SETTINGS_FILE = "tokenizer.json", "tokenizer_settings.json"
CHUNK = 8192  # texts that are tokenised at once: it bounds what the Rust library's answers take in memory


class Encoded(NamedTuple):
    """Tokens of many texts, one after the other.

    Args:
      token_ids: (total,) int32.
      offsets: (num_texts + 1,) int64; text i has the tokens offsets[i] to offsets[i + 1].
      spans: (total, 2) int32, first and end character of each token in its text, or in its word; None if not asked for.
      words: (total,) int32, which word of its sentence each token belongs to; None for texts.
    """

    token_ids: np.ndarray
    offsets: np.ndarray
    spans: np.ndarray | None = None
    words: np.ndarray | None = None


@dataclasses.dataclass(frozen=True)
class Template:
    """The special tokens around one text or two: ids before, between and after, and the segments."""

    before: tuple[int, ...]
    after: tuple[int, ...]
    pair_before: tuple[int, ...]
    between: tuple[int, ...]
    pair_after: tuple[int, ...]
    second_segment: int


class Tokenizer:
    """The tokenizer of a pretrained model.

    Args:
      tokenizer: `tokenizers.Tokenizer`, with the special tokens in its post-processor.
      max_length: positions of the model, special tokens included.
      pad_id: the id of padding.

    Also there: vocabulary_size, and unk_id, the id of what is not in the vocabulary, or None.
    Raises: InputError if it adds no special tokens of its own.
    """

    def __init__(self, tokenizer: Any, *, max_length: int, pad_id: int):
        tokenizer.no_truncation()
        tokenizer.no_padding()
        self._tokenizer = tokenizer
        self._template = _template(tokenizer)
        self._for_words: Any = None
        self.max_length = max_length
        self.pad_id = pad_id
        self.unk_id = _unk_id(tokenizer)
        self.vocabulary_size = 1 + max(tokenizer.get_vocab(with_added_tokens=True).values())

    def num_special_tokens(self, pair: bool) -> int:
        """How many tokens `pack` adds to one text, or to two."""
        t = self._template
        return len(t.pair_before) + len(t.between) + len(t.pair_after) if pair else len(t.before) + len(t.after)

    def encode(self, texts: Sequence[str], *, spans: bool = True) -> Encoded:
        """Token ids without special tokens, nothing cut off.

        Args:
          texts: any; an empty one has no tokens.
          spans: whether to say which characters each token came from; without it is faster.
        """
        return self._encode(self._tokenizer, texts, words=False, spans=spans)

    def encode_words(self, sentences: Sequence[Sequence[str]]) -> Encoded:
        """The same for sentences that are split into words; a word of unusual signs alone may have no token."""
        if self._for_words is None:
            self._for_words = _for_words(self._tokenizer)
        return self._encode(self._for_words, [list(words) for words in sentences], words=True, spans=True)

    def pack(self, first: np.ndarray, second: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Puts the special tokens around one text's ids or two.

        Returns: token_ids and segment_ids, (n,) int32 each.
        """
        t = self._template
        if second is None:
            token_ids = np.concatenate([t.before, first, t.after]).astype("int32")
            return token_ids, np.zeros(len(token_ids), "int32")
        token_ids = np.concatenate([t.pair_before, first, t.between, second, t.pair_after]).astype("int32")
        num_first = len(t.pair_before) + len(first) + len(t.between)
        segment_ids = np.full(len(token_ids), t.second_segment, "int32")
        segment_ids[:num_first] = 0
        return token_ids, segment_ids

    def token(self, token_id: int) -> str:
        """The token of an id."""
        return self._tokenizer.id_to_token(int(token_id))

    def digest(self) -> str:
        """SHA-256 of everything that decides which ids a text gets."""
        return hashlib.sha256(f"{self._tokenizer.to_str()}\n{self._settings()}".encode()).hexdigest()

    def save(self, folder: str | pathlib.Path) -> None:
        """Writes what `load` needs into a folder."""
        folder = pathlib.Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        self._tokenizer.save(str(folder / FILE))
        (folder / SETTINGS_FILE).write_text(self._settings() + "\n", encoding="utf-8")

    @staticmethod
    def load(folder: str | pathlib.Path) -> "Tokenizer":
        """What `save` wrote.

        Raises: InputError if a file is not there or cannot be read.
        """
        settings = read_json(pathlib.Path(folder) / SETTINGS_FILE)
        numbers = {name: settings.get(name) for name in ("max_length", "pad_id")}
        if any(type(number) is not int for number in numbers.values()):
            raise errors.InputError(
                f"Got {str(pathlib.Path(folder) / SETTINGS_FILE)!r} with {settings!r}. Expected max_length and pad_id, "
                "whole numbers. Use an intact copy."
            )
        return Tokenizer(read_tokenizer(pathlib.Path(folder) / FILE), **numbers)

    def _settings(self) -> str:
        return json.dumps({"max_length": self.max_length, "pad_id": self.pad_id})

    def _encode(self, tokenizer: Any, texts: Sequence, *, words: bool, spans: bool) -> Encoded:
        ids, offsets, places, of_words = [], [np.zeros(1, "int64")], [], []
        encode_batch = tokenizer.encode_batch if spans or words else tokenizer.encode_batch_fast
        for start in range(0, len(texts), CHUNK):
            chunk = texts[start : start + CHUNK]
            encodings = encode_batch(list(chunk), is_pretokenized=words, add_special_tokens=False)
            lengths = np.fromiter(map(len, encodings), "int64", len(encodings))
            total = int(lengths.sum())
            offsets.append(offsets[-1][-1] + np.cumsum(lengths))
            ids.append(_flat((encoding.ids for encoding in encodings), total))
            if spans:
                pairs = itertools.chain.from_iterable(encoding.offsets for encoding in encodings)
                places.append(_flat(pairs, 2 * total).reshape(total, 2))
            if words:
                of_words.append(_flat((encoding.word_ids for encoding in encodings), total))
        none, empty = np.zeros(0, "int32"), np.zeros((0, 2), "int32")
        return Encoded(
            token_ids=np.concatenate([none, *ids]),
            offsets=np.concatenate(offsets),
            spans=np.concatenate([empty, *places]) if spans else None,
            words=np.concatenate([none, *of_words]) if words else None,
        )


def read_tokenizer(file: pathlib.Path) -> Any:
    """A `tokenizers.Tokenizer` from tokenizer.json; InputError if the file is none."""
    try:
        return library().Tokenizer.from_file(str(file))
    except Exception as error:  # the library raises a bare Exception
        raise errors.InputError(
            f"Got {str(file)!r}, which cannot be read: {error}. Expected a tokenizer.json of the library tokenizers. "
            "Use an intact copy."
        ) from error


def read_json(file: pathlib.Path) -> dict[str, Any]:
    """A JSON object from a file; InputError if the file holds none."""
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise errors.InputError(
            f"Got {str(file)!r}, which cannot be read: {error}. Expected a JSON object. Use an intact copy."
        ) from error
    if not isinstance(content, dict):
        raise errors.InputError(f"Got {str(file)!r}, which holds no JSON object. Expected one. Use an intact copy.")
    return content


def _template(tokenizer: Any) -> Template:
    """What the tokenizer's post-processor adds, seen on a probe."""
    single = _parts(tokenizer.encode("a", add_special_tokens=True))
    pair_encoding = tokenizer.encode("a", "a", add_special_tokens=True)
    pair = _parts(pair_encoding)
    if len(single) != 2 or len(pair) != 3 or not single[0]:
        raise errors.InputError(
            "Got a tokenizer that adds no special tokens at the begin and the end. Expected those of the model, such "
            "as [CLS] and [SEP]. Use the tokenizer.json of the model itself."
        )
    return Template(*single, *pair, second_segment=int(pair_encoding.type_ids[-1]))


def _parts(encoding: Any) -> list[tuple[int, ...]]:
    """The special tokens before, between and after the texts."""
    parts: list[tuple[int, ...]] = [()]
    last = None
    for token_id, sequence in zip(encoding.ids, encoding.sequence_ids):
        if sequence is None:
            parts[-1] = (*parts[-1], token_id)
        elif sequence != last:
            parts.append(())
            last = sequence
    return parts


def _unk_id(tokenizer: Any) -> int | None:
    """The id of an unknown token; None for a tokenizer that knows all, such as one of bytes."""
    model = json.loads(tokenizer.to_str())["model"]
    if type(model.get("unk_id")) is int:
        return model["unk_id"]
    found = [tokenizer.token_to_id(token) for token in (model.get("unk_token"), "<unk>", "[UNK]") if token]
    return next((token_id for token_id in found if token_id is not None), None)


def _for_words(tokenizer: Any) -> Any:
    """The tokenizer for words that stand apart: one that marks words by the space before them adds it."""
    settings = json.loads(tokenizer.to_str())
    before = settings.get("pre_tokenizer") or {}
    for part in (before, *before.get("pretokenizers", ())):
        if part.get("type") == "ByteLevel":
            part["add_prefix_space"] = True
    return library().Tokenizer.from_str(json.dumps(settings))


def _flat(lists: Any, total: int) -> np.ndarray:
    return np.fromiter(itertools.chain.from_iterable(lists), "int32", total)


def library() -> Any:
    """The Rust library; InputError if it is not there."""
    try:
        import tokenizers
    except ImportError as error:
        raise errors.InputError(
            "Got text, and the package tokenizers is not there. Expected it. Run: pip install --use-pep517 'kft[text]'"
        ) from error
    return tokenizers
