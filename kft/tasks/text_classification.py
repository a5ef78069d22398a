"""Labels of a text, or of a pair of texts."""

from typing import Any

from kft.data.token_table import TokenTable
from kft.tasks import text_rows
from kft.tasks.classification import classification
from kft.tasks.multi_label import multi_label as multi_label_classification
from kft.tasks.task import Task


def text_classification(*, multi_label: bool = False, **options: Any) -> Task:
    """Classes that exclude each other, or with `multi_label` any number of them for each text.

    See `kft.tasks.classification` and `kft.tasks.multi_label` for loss, metrics and scores.
    """
    if multi_label:
        return multi_label_classification("text_classification", **options)
    return classification("text_classification", tokenize=_tokenize, **options)


def _tokenize(source: Any, tokenizer: Any, *, max_length: int) -> TokenTable:
    return text_rows.tokenize(source, tokenizer, max_length=max_length, targets=source.labels)
