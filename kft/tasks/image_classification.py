"""Labels of an image."""

from typing import Any

from kft.tasks.classification import classification
from kft.tasks.multi_label import multi_label as multi_label_classification
from kft.tasks.task import Task


def image_classification(*, multi_label: bool = False, **options: Any) -> Task:
    """Classes that exclude each other, or with `multi_label` any number of them for each image.

    See `kft.tasks.classification` and `kft.tasks.multi_label` for loss, metrics and scores.
    """
    make = multi_label_classification if multi_label else classification
    return make("image_classification", **options)
