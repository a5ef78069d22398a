"""One label per image."""

from typing import Any

from kft.tasks.classification import classification
from kft.tasks.task import Task


def image_classification(**options: Any) -> Task:
    """Classes that exclude each other; see `kft.tasks.classification` for loss, metrics and scores."""
    return classification("image_classification", **options)
