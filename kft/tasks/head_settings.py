"""The settings of head and loss that tasks share."""

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np

from kft import errors
from kft.models import heads


@dataclasses.dataclass(frozen=True)
class HeadSettings:
    """What a head and its loss are made of; the fields are options of `kft.tasks.make_task`, which tells what each is.

    Not every task takes all of them: `kft.tasks.OPTIONS` has the list.
    """

    head_dropout: float = 0.0
    head_dropout_samples: int = 1
    head_hidden_units: Sequence[int] | str = ()
    head_activation: str = "relu"
    label_smoothing: float = 0.0
    class_weights: Sequence[float] | Mapping[str, float] = ()
    focal_gamma: float = 0.0

    def head(self, make: Callable[..., keras.KerasTensor] = heads.make_head, **arguments: Any) -> Callable:
        """The function from features to logits.

        Args:
          make: `make_head` or another of `kft.models.heads`.
          arguments: of it, but for those that are settings.
        """
        return functools.partial(
            make,
            dropout=self.head_dropout,
            dropout_samples=self.head_dropout_samples,
            hidden_units=heads.as_hidden_units(self.head_hidden_units),
            activation=self.head_activation,
            **arguments,
        )

    def loss(self, make: type[keras.losses.Loss], label_names: Sequence[str]) -> keras.losses.Loss:
        """A cross-entropy of `kft.tasks.losses` over these classes."""
        return make(self.label_smoothing, as_class_weights(self.class_weights, label_names), self.focal_gamma)


def as_class_weights(
    class_weights: Sequence[float] | Mapping[str, float], label_names: Sequence[str]
) -> tuple[float, ...]:
    """One weight for each class.

    Args:
      class_weights: in the order of the classes, or by their names, where those left out have 1; empty for none.
      label_names: of the classes.

    Raises: InputError for an unknown class, another number of weights, a weight below 0 or all of them 0.

    Example:
      >>> as_class_weights({"yes": 3}, ["no", "yes"])
      (1.0, 3.0)
    """
    if isinstance(class_weights, Mapping):
        for name in class_weights:
            if name not in label_names:
                raise errors.unknown_name("class with a weight", name, label_names)
        class_weights = [class_weights.get(name, 1) for name in label_names] if class_weights else ()
    weights = tuple(map(float, class_weights))
    if weights and (len(weights) != len(label_names) or not all(0 <= w < np.inf for w in weights) or not any(weights)):
        raise errors.InputError(
            f"Got class_weights={class_weights!r}. Expected {len(label_names)} numbers >= 0, not all of them 0, one "
            f"for each of {', '.join(map(repr, label_names))}. Use 'balanced', or leave it out."
        )
    return weights
