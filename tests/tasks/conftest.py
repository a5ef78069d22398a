"""The tokenizer of the real pretrained encoder."""

import pytest

from kft.models.tokenizer import Tokenizer, read_tokenizer


@pytest.fixture(scope="session")
def word_piece_tokenizer(minilm) -> Tokenizer:
    """That of MiniLM: BERT's, lower case."""
    return Tokenizer(read_tokenizer(minilm / "tokenizer.json"), max_length=512, pad_id=0)
