"""What is learned: head, loss, metrics, tokenising, decoding, scores. This module imports no TensorFlow."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from kft import errors, tables

if TYPE_CHECKING:
    from kft.tasks.task import Task

TASKS = {
    "image_classification": "kft.tasks.image_classification:image_classification",
    "question_answering": "kft.tasks.question_answering:question_answering",
    "regression": "kft.tasks.regression:regression",
    "text_classification": "kft.tasks.text_classification:text_classification",
    "token_classification": "kft.tasks.token_classification:token_classification",
}

_HEAD = ("head_dropout", "head_dropout_samples", "head_hidden_units", "head_activation")
_CLASSES = (*_HEAD, "label_smoothing", "class_weights", "focal_gamma")
OPTIONS = {
    "image_classification": (*_CLASSES, "multi_label"),
    "question_answering": (*_HEAD, "window_overlap", "max_answer_length"),
    "regression": (*_HEAD, "images"),
    "text_classification": (*_CLASSES, "multi_label"),
    "token_classification": (*_CLASSES, "window_overlap"),
}
# What the labels in the data have to be, where they are not classes.
LABEL_KINDS = {"regression": "numbers"}

__getattr__ = tables.lazy_attributes(
    __name__,
    {
        "Task": "kft.tasks.task:Task",
        "balanced_class_weights": "kft.tasks.classification:balanced_class_weights",
        "is_exact_answer": "kft.tasks.answer_scores:is_exact_answer",
        "official_predictions": "kft.tasks.question_answering:official_predictions",
    },
)


def make_task(name: str, *, label_names: Sequence[str] = (), **options: Any) -> "Task":
    """A task by name.

    Args:
      name: a key of TASKS.
      label_names: of the classes, in the order of the integer labels.
      options: those that OPTIONS has for the task, of these; what is left out has the default in brackets:
        head_dropout: share of the head's inputs set to 0 in training, in [0, 1) (0).
        head_dropout_samples: draws of dropout before the last layer, whose logits are averaged (1).
        head_hidden_units: widths of the head's hidden layers, such as (256, 128) or "256,128" (none).
        head_activation: Keras' name of their activation ("relu").
        label_smoothing: share of the target spread over all classes, in [0, 1) (0).
        class_weights: how much the examples of each class count in the loss: numbers in the order of the classes, or a
          dict from names; see `balanced_class_weights` (1 each).
        multi_label: whether an example may have any number of the labels (False).
        images: whether the numbers are of images, not of texts (False).
        window_overlap: tokens that neighbouring windows over a long text share (32; 128 for questions).
        max_answer_length: the most tokens of an answer (30).
        focal_gamma: exponent >= 0 of the focal factor, by which well-predicted examples count less (0).

    Raises: InputError for an unknown name, an option that the task does not have, or one out of range.

    Example:
      >>> task = make_task("image_classification", label_names=["daisy", "rose"])
      >>> task.monitor
      'val_accuracy'
    """
    make = tables.lookup(TASKS, name, what="task")
    for option in options:
        if option not in OPTIONS[name]:
            raise errors.unknown_name(f"option of {name}", option, OPTIONS[name])
    settings = tables.load_place("kft.tasks.head_settings:HeadSettings")
    own = {option: options.pop(option) for option in [*options] if option in settings.__dataclass_fields__}
    return make(label_names=label_names, settings=settings(**own), **options)
