"""Keeping the best model of a training, and stopping when it gets no better."""

import math

import keras
import numpy as np

from kft import errors


class KeepBest(keras.callbacks.Callback):
    """Goes back to the weights of the best epoch at the end, and may stop early.

    Works on the whole model across the phases of `kft.training.fine_tune`. Of equal epochs the first is the best;
    NaN is never best.

    Args:
      monitor: a name of the logs, such as "val_accuracy".
      mode: "max" or "min".
      patience: int >= 0, stop after this many epochs without a better one; 0, never.
      patience_from_epoch: int >= 0, the epoch from which patience counts, such as the first one of the last phase.
      restore: whether to go back to the best weights at the end; False keeps the last.

    Raises: InputError at the end of the first epoch if the logs do not have the monitor.
    """

    def __init__(
        self,
        monitor: str,
        *,
        mode: str = "max",
        patience: int = 0,
        patience_from_epoch: int = 0,
        restore: bool = True,
    ):
        super().__init__()
        if mode not in ("max", "min"):
            raise errors.unknown_name("mode", mode, ("max", "min"))
        self.monitor, self.mode = monitor, mode
        self.patience, self.patience_from_epoch = patience, patience_from_epoch
        self.restore = restore

    def on_train_begin(self, logs=None):
        self.best_value: float | None = None
        self.best_epoch: int | None = None
        self._best_weights = None

    def on_epoch_end(self, epoch, logs=None):
        if self.monitor not in (logs or {}):
            raise errors.unknown_name("monitor", self.monitor, logs or {})
        value = float(logs[self.monitor])
        if self._is_better(value):
            self.best_value, self.best_epoch = value, epoch
            if self.restore:
                self._best_weights = [variable.numpy() for variable in self.model.weights]
        waited = epoch - max(self.best_epoch or 0, self.patience_from_epoch)
        if self.patience and waited >= self.patience:
            self.model.stop_training = True

    def on_train_end(self, logs=None):
        if self._best_weights is not None:
            self.model.set_weights(self._best_weights)

    def get_state(self) -> dict[str, np.ndarray]:
        """What it goes on from, for `Checkpoint`."""
        state = {"best": np.array([self.best_value or 0.0, -1 if self.best_epoch is None else self.best_epoch])}
        return state | {f"weight/{index}": value for index, value in enumerate(self._best_weights or ())}

    def set_state(self, state: dict[str, np.ndarray]) -> None:
        """Goes on from what `get_state` gave."""
        value, epoch = state["best"].tolist()
        weights = [state[f"weight/{index}"] for index in range(len(state) - 1)]
        if epoch >= 0:
            self.best_value, self.best_epoch, self._best_weights = value, int(epoch), weights or None

    def _is_better(self, value: float) -> bool:
        if math.isnan(value):
            return False
        if self.best_value is None:
            return True
        return value > self.best_value if self.mode == "max" else value < self.best_value
