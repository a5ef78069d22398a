"""Losses of integer labels and logits."""

from collections.abc import Sequence
from typing import Any

import keras

from kft import errors


@keras.saving.register_keras_serializable(package="kft")
class SmoothedCrossentropy(keras.losses.Loss):
    """Cross-entropy of integer labels and logits, with label smoothing, class weights and a focal factor.

    For one example with label y and K classes:

        log_p = log_softmax(logits)
        loss = -(1 - label_smoothing) * log_p[y] - label_smoothing * mean(log_p)
        loss = class_weights[y] * (1 - exp(log_p[y])) ** focal_gamma * loss

    The first line of the loss is the cross-entropy with the target (1 - label_smoothing) * one_hot(y, K) +
    label_smoothing / K. The mean over a batch divides by the number of examples, not by the sum of their class weights.

    Args:
      label_smoothing: in [0, 1).
      class_weights: K numbers >= 0, or () for 1 each.
      focal_gamma: >= 0; 0 for none. Examples that are predicted well count less.
    Shapes: labels (batch, ...) integers; logits (batch, ..., K); the loss of `call` (batch, ...).
    Raises: InputError if an argument is out of range.
    Reference: Szegedy et al. 2016, section 7; Lin et al. 2017, eq. 4 and 5, where class_weights are alpha. Differs: the
      focal factor also takes the smoothed part.
    """

    def __init__(
        self,
        label_smoothing: float = 0.0,
        class_weights: Sequence[float] = (),
        focal_gamma: float = 0.0,
        name: str = "smoothed_crossentropy",
        **arguments: Any,
    ):
        super().__init__(name=name, **arguments)
        if not 0 <= label_smoothing < 1:
            raise errors.InputError(
                f"Got label_smoothing={label_smoothing!r}. Expected a number in [0, 1). Use 0 for none, or 0.1."
            )
        check_focal_gamma(focal_gamma)
        self.label_smoothing = label_smoothing
        self.class_weights = tuple(map(float, class_weights))
        self.focal_gamma = focal_gamma

    def call(self, y_true, y_pred):
        # Of sparse labels, as one_hot would take a label out of range for no class at all, and say nothing.
        of_label = keras.losses.sparse_categorical_crossentropy(y_true, y_pred, from_logits=True)
        loss = of_label
        if self.label_smoothing:
            uniform = -keras.ops.mean(keras.ops.log_softmax(y_pred), axis=-1)
            loss = (1 - self.label_smoothing) * loss + self.label_smoothing * uniform
        if self.focal_gamma:
            # 1 - exp(-0) would have an infinite slope for a gamma below 1.
            missing = keras.ops.maximum(-keras.ops.expm1(-of_label), keras.config.epsilon())
            loss = loss * missing**self.focal_gamma
        if self.class_weights:
            weights = keras.ops.convert_to_tensor(self.class_weights, loss.dtype)
            loss = loss * keras.ops.take(weights, keras.ops.cast(y_true, "int32"))
        return loss

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "label_smoothing": self.label_smoothing,
            "class_weights": list(self.class_weights),
            "focal_gamma": self.focal_gamma,
        }


def check_focal_gamma(focal_gamma: float) -> None:
    """Raises: InputError if it is out of range."""
    if not focal_gamma >= 0:
        raise errors.InputError(f"Got focal_gamma={focal_gamma!r}. Expected a number >= 0. Use 0 for none, or 2.")
