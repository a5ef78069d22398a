"""SentencePiece vocabularies (spiece.model, .spm): the arrays of a protocol buffer, read without its library."""

import struct
from collections.abc import Iterator
from typing import Any, NamedTuple

from kft import errors
from kft.models.tokenizer import library
from kft.models.vocabularies import add_template

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = range(1, 7)
UNIGRAM = 1
SPACE = "\u2581"


class Pieces(NamedTuple):
    """What a file holds: pieces with score and kind, whether they are a unigram model, and how text is normalised."""

    pieces: list[tuple[str, float, int]]
    unigram: bool
    charsmap: bytes
    remove_extra_spaces: bool


def read(content: bytes, *, what: str) -> Pieces:
    """Reads a file's content.

    Raises: InputError if it is none of SentencePiece.
    """
    pieces, unigram, charsmap, remove = [], True, b"", True
    try:
        for field, value in _fields(content):
            if field == 1:
                entry = dict(_fields(value))
                pieces.append((entry[1].decode("utf-8"), entry.get(2, 0.0), entry.get(3, NORMAL)))
            elif field == 2:
                unigram = dict(_fields(value)).get(3, UNIGRAM) == UNIGRAM
            elif field == 3:
                entry = dict(_fields(value))
                charsmap, remove = entry.get(2, b""), bool(entry.get(4, 1))
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, struct.error) as error:
        pieces = []
        problem = f": {error}"
    else:
        problem = ""
    if not pieces:
        raise errors.InputError(
            f"Got {what}, which holds no SentencePiece vocabulary{problem}. Expected the model's own. "
            "Use an intact copy."
        )
    return Pieces(pieces, unigram, charsmap, remove)


def sentence_pieces(content: bytes, *, what: str, fairseq: bool = False, lowercase: bool = False) -> Any:
    """A tokenizer of the Rust library.

    Args:
      content: of the file.
      what: the file, for errors.
      fairseq: ids as XLM-RoBERTa has them: <s>, <pad>, </s>, <unk>, the pieces from the fourth on, <mask>.
      lowercase: whether text is made lower case first.

    Raises: InputError for another kind of model than unigram, and for a vocabulary without special tokens.
    """
    found = read(content, what=what)
    if not found.unigram:
        raise errors.InputError(
            f"Got {what} of another algorithm than unigram. Expected unigram. Use the model's tokenizer.json: hf:DIR."
        )
    pieces = found.pieces
    if fairseq:
        special = [(token, 0.0, CONTROL) for token in ("<s>", "<pad>", "</s>")] + [("<unk>", 0.0, UNKNOWN)]
        pieces = [*special, *pieces[3:], ("<mask>", 0.0, CONTROL)]
    unknown = [index for index, (_, _, kind) in enumerate(pieces) if kind == UNKNOWN]
    if len(unknown) != 1:
        raise errors.InputError(f"Got {what} with {len(unknown)} unknown tokens. Expected one. Use an intact copy.")
    rust = library()
    tokenizer = rust.Tokenizer(rust.models.Unigram([(piece, score) for piece, score, _ in pieces], unknown[0], False))
    steps = [rust.normalizers.Lowercase()] if lowercase else []
    steps += [rust.normalizers.Precompiled(found.charsmap)] if found.charsmap else []
    if found.remove_extra_spaces:
        steps += [rust.normalizers.Strip(), rust.normalizers.Replace(rust.Regex(" {2,}"), " ")]
    tokenizer.normalizer = rust.normalizers.Sequence(steps)
    tokenizer.pre_tokenizer = rust.pre_tokenizers.Metaspace(replacement=SPACE, prepend_scheme="always")
    names = {piece for piece, _, kind in pieces if kind in (CONTROL, USER_DEFINED, UNKNOWN)}
    tokenizer.add_special_tokens([piece for piece, _, _ in pieces if piece in names])
    cls, sep = ("<s>", "</s>") if fairseq else ("[CLS]", "[SEP]")
    add_template(tokenizer, cls=cls, sep=sep, double=fairseq)
    return tokenizer


def _fields(content: bytes) -> Iterator[tuple[int, Any]]:
    """Number and value of each field of a message; the last of several wins in a dict, as the format has it."""
    place = 0
    while place < len(content):
        key, place = _varint(content, place)
        kind = key & 7
        if kind == VARINT:
            value, place = _varint(content, place)
        elif kind == BYTES:
            length, place = _varint(content, place)
            value, place = content[place : place + length], place + length
        elif kind == FIXED32:
            value, place = struct.unpack_from("<f", content, place)[0], place + 4
        elif kind == FIXED64:
            value, place = struct.unpack_from("<d", content, place)[0], place + 8
        else:
            raise ValueError(f"field of kind {kind}")
        if place > len(content):
            raise ValueError("a field ends behind the end")
        yield key >> 3, value


def _varint(content: bytes, place: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        byte = content[place]
        value |= (byte & 127) << shift
        place += 1
        if byte < 128:
            return value, place
    raise ValueError("a number that is too long")
