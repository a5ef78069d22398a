"""Losses of labels and logits; of values that are not labels, squares."""

from collections.abc import Sequence
from typing import Any

import keras

from kft import errors


@keras.saving.register_keras_serializable(package="kft")
class SmoothedCrossentropy(keras.losses.Loss):
    """Cross-entropy of labels and logits, with label smoothing, class weights and a focal factor.

    For one example with label y and K classes:

        log_p = log_softmax(logits)
        loss = -(1 - label_smoothing) * log_p[y] - label_smoothing * mean(log_p)
        loss = class_weights[y] * (1 - exp(log_p[y])) ** focal_gamma * loss

    The first line of the loss is the cross-entropy with the target (1 - label_smoothing) * one_hot(y, K) +
    label_smoothing / K. The mean over a batch divides by the number of examples, not by the sum of their class weights.
    A label may also be shares of all classes, as those of mixed images: the loss is then the sum over y of its share
    times the loss with label y.

    Args:
      label_smoothing: in [0, 1).
      class_weights: K numbers >= 0, or () for 1 each.
      focal_gamma: >= 0; 0 for none. Examples that are predicted well count less.
    Shapes: labels (batch, ...) integers, or (batch, ..., K) shares; logits (batch, ..., K); the loss of `call`
      (batch, ...).
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
        shares = are_shares(y_true, y_pred)
        if shares:  # the loss with each label, along the last axis
            of_label = -keras.ops.log_softmax(y_pred)
        else:
            # Of sparse labels, as one_hot would take a label out of range for no class at all, and say nothing.
            of_label = keras.losses.sparse_categorical_crossentropy(y_true, y_pred, from_logits=True)
        loss = of_label
        if self.label_smoothing:
            uniform = -keras.ops.mean(keras.ops.log_softmax(y_pred), axis=-1, keepdims=shares)
            loss = (1 - self.label_smoothing) * loss + self.label_smoothing * uniform
        if self.focal_gamma:
            loss = loss * _focal(of_label, self.focal_gamma)
        if self.class_weights:
            weights = keras.ops.convert_to_tensor(self.class_weights, loss.dtype)
            loss = loss * (weights if shares else keras.ops.take(weights, keras.ops.cast(y_true, "int32")))
        return keras.ops.sum(y_true * loss, axis=-1) if shares else loss

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "label_smoothing": self.label_smoothing,
            "class_weights": list(self.class_weights),
            "focal_gamma": self.focal_gamma,
        }


@keras.saving.register_keras_serializable(package="kft")
class TokenCrossentropy(SmoothedCrossentropy):
    """SmoothedCrossentropy of each token; 0, and without gradient, where the label is -1."""

    def __init__(self, *arguments: Any, name: str = "token_crossentropy", **named: Any):
        super().__init__(*arguments, name=name, **named)

    def call(self, y_true, y_pred):
        loss = super().call(keras.ops.maximum(y_true, 0), y_pred)
        return keras.ops.where(y_true >= 0, loss, 0.0)


@keras.saving.register_keras_serializable(package="kft")
class SpanCrossentropy(keras.losses.Loss):
    """Half the cross-entropy of where a span starts, plus half that of its last token, over all tokens of a row.

    Shapes: positions (batch, 2) integers; logits (batch, length, 2); the loss of `call` (batch,).
    Reference: Devlin et al. 2019, section 4.2: the sum there, the mean here (as in other code).
    """

    def __init__(self, name: str = "span_crossentropy", **arguments: Any):
        super().__init__(name=name, **arguments)

    def call(self, y_true, y_pred):
        loss = keras.losses.sparse_categorical_crossentropy(
            y_true, keras.ops.transpose(y_pred, (0, 2, 1)), from_logits=True
        )
        return keras.ops.mean(loss, axis=-1)


@keras.saving.register_keras_serializable(package="kft")
class SigmoidCrossentropy(SmoothedCrossentropy):
    """Cross-entropy of any number of labels for each example, which do not exclude each other.

    For label k of K with target y[k], 0 or 1, and logit z[k] (for a target between, as of mixed images, the loss lies
    between those of 0 and 1):

        t = y[k] * (1 - label_smoothing) + label_smoothing / 2
        loss[k] = -t * log(sigmoid(z[k])) - (1 - t) * log(sigmoid(-z[k]))
        p = sigmoid(z[k]) where y[k] is 1, else sigmoid(-z[k])
        loss = mean over k of class_weights[k] * (1 - p) ** focal_gamma * loss[k]

    Args, Raises: as of SmoothedCrossentropy.
    Shapes: labels and logits (batch, K); the loss of `call` (batch,).
    Reference: Lin et al. 2017, eq. 5, for the focal factor.
    """

    def __init__(self, *arguments: Any, name: str = "sigmoid_crossentropy", **named: Any):
        super().__init__(*arguments, name=name, **named)

    def call(self, y_true, y_pred):
        loss = y_true * self._of(-y_pred) + (1 - y_true) * self._of(y_pred)
        if self.class_weights:
            loss = loss * keras.ops.convert_to_tensor(self.class_weights, loss.dtype)
        return keras.ops.mean(loss, axis=-1)

    def _of(self, against):
        """The loss of a logit, signed so that it speaks against its label."""
        of_label = keras.ops.softplus(against)
        smoothing = self.label_smoothing / 2
        loss = (1 - smoothing) * of_label + smoothing * keras.ops.softplus(-against)
        return loss * _focal(of_label, self.focal_gamma) if self.focal_gamma else loss


@keras.saving.register_keras_serializable(package="kft")
class SquaredError(keras.losses.Loss):
    """(value - output) ** 2.

    Shapes: values (batch,); outputs (batch, 1); the loss of `call` (batch,).
    """

    def __init__(self, name: str = "squared_error", **arguments: Any):
        super().__init__(name=name, **arguments)

    def call(self, y_true, y_pred):
        return keras.ops.square(y_true - keras.ops.squeeze(y_pred, -1))


def are_shares(y_true, y_pred) -> bool:
    """Whether labels are shares of all classes, with an axis as long as that of the logits."""
    return len(y_true.shape) == len(y_pred.shape) and y_true.shape[-1] == y_pred.shape[-1]


def hard_labels(y_true, y_pred):
    """Integer labels, (batch,); of shares the class with the largest one.

    Shapes: y_true (batch,), (batch, 1) or (batch, K); y_pred (batch, K).
    """
    if are_shares(y_true, y_pred):
        return keras.ops.argmax(y_true, axis=-1)
    return keras.ops.cast(keras.ops.reshape(y_true, (-1,)), "int64")


def _focal(of_label, gamma: float):
    """(1 - p) ** gamma for a cross-entropy -log(p)."""
    # At p = 1 a gamma below 1 would have an infinite slope.
    return keras.ops.maximum(-keras.ops.expm1(-of_label), keras.config.epsilon()) ** gamma


def check_focal_gamma(focal_gamma: float) -> None:
    """Raises: InputError if it is out of range."""
    if not focal_gamma >= 0:
        raise errors.InputError(f"Got focal_gamma={focal_gamma!r}. Expected a number >= 0. Use 0 for none, or 2.")
