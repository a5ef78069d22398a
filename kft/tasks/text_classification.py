"""One label per text, or per pair of texts."""

from typing import Any

from kft.data.token_table import TokenTable
from kft.tasks import text_rows
from kft.tasks.classification import classification
from kft.tasks.task import Task


def text_classification(**options: Any) -> Task:
    """Classes that exclude each other; see `kft.tasks.classification` for loss, metrics and scores."""
    return classification("text_classification", tokenize=_tokenize, **options)


def _tokenize(source: Any, tokenizer: Any, *, max_length: int) -> TokenTable:
    return text_rows.tokenize(source, tokenizer, max_length=max_length, targets=source.labels)
