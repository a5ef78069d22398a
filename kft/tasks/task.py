"""What every task gives to the training."""

import dataclasses
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from kft.models.heads import Features


@dataclasses.dataclass(frozen=True)
class Task:
    """What is learned.

    Args:
      name: as in the table.
      label_names: of the classes, in the order of the integer labels.
      head: Features -> logits; builds layers whose names start with "head", so call it once per model.
      loss: of (labels, logits); its `call` gives one value per example.
      metrics: makes fresh metrics of (labels, logits) at each call.
      monitor: the log by which the best epoch is chosen, such as "val_accuracy".
      monitor_mode: "max" or "min".
      decode: logits (batch, ...) -> what a person reads, one dict per example.
    """

    name: str
    label_names: tuple[str, ...]
    head: Callable[[Features], keras.KerasTensor]
    loss: keras.losses.Loss
    metrics: Callable[[], list[keras.metrics.Metric]]
    monitor: str
    monitor_mode: str
    decode: Callable[[np.ndarray], list[dict[str, Any]]]
