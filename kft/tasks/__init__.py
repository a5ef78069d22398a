"""What is learned: head, loss, metrics, decoding. This module imports no TensorFlow."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from kft import tables

if TYPE_CHECKING:
    from kft.tasks.task import Task

TASKS = {"image_classification": "kft.tasks.image_classification:image_classification"}

__getattr__ = tables.lazy_attributes(__name__, {"Task": "kft.tasks.task:Task"})


def make_task(
    name: str,
    *,
    label_names: Sequence[str],
    head_dropout: float = 0.0,
    head_hidden_units: Sequence[int] | str = (),
    head_activation: str = "relu",
    label_smoothing: float = 0.0,
) -> "Task":
    """A task by name.

    Args:
      name: a key of TASKS.
      label_names: of the classes, in the order of the integer labels.
      head_dropout: share of the head's inputs set to 0 in training, in [0, 1).
      head_hidden_units: widths of the head's hidden layers, such as (256, 128) or "256,128".
      head_activation: Keras' name of their activation.
      label_smoothing: share of the target spread over all classes, in [0, 1).

    Raises: InputError for an unknown name or an argument out of range.

    Example:
      >>> task = make_task("image_classification", label_names=["daisy", "rose"])
      >>> task.monitor
      'val_accuracy'
    """
    return tables.lookup(TASKS, name, what="task")(
        label_names=label_names,
        head_dropout=head_dropout,
        head_hidden_units=head_hidden_units,
        head_activation=head_activation,
        label_smoothing=label_smoothing,
    )
