"""Tokenizers of the Rust library from the older files: a list of word pieces, or byte pairs with their merges."""

from collections.abc import Mapping, Sequence
from typing import Any

from kft import errors
from kft.models.tokenizer import library


def word_pieces(
    vocabulary: Sequence[str],
    *,
    lowercase: bool,
    strip_accents: bool | None = None,
    chinese: bool = True,
    double: bool = False,
) -> Any:
    """BERT's tokenizer from the lines of vocab.txt.

    Args:
      vocabulary: the tokens, in the order of their ids.
      lowercase: whether text is made lower case.
      strip_accents: whether accents go; None does what lowercase does.
      chinese: whether every Chinese sign is a word.
      double: whether two separators stand between the texts of a pair.

    Returns: a `tokenizers.Tokenizer`.
    Raises: InputError if a special token is missing.
    """
    rust = library()
    ids = {token: index for index, token in enumerate(vocabulary)}
    tokenizer = rust.Tokenizer(rust.models.WordPiece(ids, unk_token="[UNK]", max_input_chars_per_word=100))
    tokenizer.normalizer = rust.normalizers.BertNormalizer(
        clean_text=True, handle_chinese_chars=chinese, strip_accents=strip_accents, lowercase=lowercase
    )
    tokenizer.pre_tokenizer = rust.pre_tokenizers.BertPreTokenizer()
    tokenizer.add_special_tokens([token for token in ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]") if token in ids])
    add_template(tokenizer, cls="[CLS]", sep="[SEP]", double=double)
    return tokenizer


def byte_pairs(vocabulary: Mapping[str, int], merges: Sequence[str], *, add_prefix_space: bool = False) -> Any:
    """RoBERTa's tokenizer from vocab.json and the lines of merges.txt.

    Args:
      vocabulary: token -> id.
      merges: two parts with a space between them, first the first; a line that begins with "#version" is left out.
      add_prefix_space: whether the first word is as one within the text.

    Returns: a `tokenizers.Tokenizer`.
    Raises: InputError if a special token is missing or a line is no merge.
    """
    rust = library()
    pairs = [tuple(line.split(" ")) for line in merges if line.strip() and not line.startswith("#version")]
    wrong = next((pair for pair in pairs if len(pair) != 2), None)
    if wrong is not None:
        raise errors.InputError(f"Got merge {' '.join(wrong)!r}. Expected two parts. Use the model's own merges.txt.")
    try:
        tokenizer = rust.Tokenizer(rust.models.BPE(dict(vocabulary), pairs))
    except Exception as error:  # the library raises a bare Exception
        raise errors.InputError(
            f"Got a vocabulary and merges that do not fit: {error}. Expected those of one model. Download them again."
        ) from error
    tokenizer.pre_tokenizer = rust.pre_tokenizers.ByteLevel(add_prefix_space=add_prefix_space)
    special = [rust.AddedToken(token, special=True) for token in ("<s>", "<pad>", "</s>", "<unk>")]
    tokenizer.add_special_tokens([token for token in special if token.content in vocabulary])
    if "<mask>" in vocabulary:
        tokenizer.add_special_tokens([rust.AddedToken("<mask>", lstrip=True, special=True)])
    add_template(tokenizer, cls="<s>", sep="</s>", double=True)
    return tokenizer


def add_template(tokenizer: Any, *, cls: str, sep: str, double: bool) -> None:
    """Lets a tokenizer add special tokens: cls A sep, and cls A sep B sep; double has two of them between A and B."""
    ids = {token: tokenizer.token_to_id(token) for token in (cls, sep)}
    missing = [token for token, token_id in ids.items() if token_id is None]
    if missing:
        raise errors.InputError(
            f"Got a vocabulary without {', '.join(map(repr, missing))}. Expected the model's special tokens. "
            "Use the vocabulary that the weights were trained with."
        )
    second = 0 if double else 1
    tokenizer.post_processor = library().processors.TemplateProcessing(
        single=f"{cls} $A {sep}",
        pair=f"{cls}:0 $A:0 {sep}:0 {f'{sep}:0 ' if double else ''}$B:{second} {sep}:{second}",
        special_tokens=list(ids.items()),
    )
