"""What an optimizer of ours has to do when the updates of an epoch are done."""

from collections.abc import Sequence
from typing import Any

import keras

from kft.training import statistics


class UpdateEnd(keras.callbacks.Callback):
    """Makes the last update of an epoch with what is accumulated, and shows the averages to whoever looks.

    Where there are several replicas, BatchNorm's statistics are averaged over them then; see `average_statistics`.

    From the end of an epoch's updates to the begin of the next ones, and after the last, the model has the averages
    of its variables (`use_ema`): they are evaluated, kept and saved. It has to come before all other callbacks.
    """

    def on_train_begin(self, logs=None):
        self._done = True

    def on_epoch_begin(self, epoch, logs=None):
        self._exchange_if(getattr(self.model.optimizer, "averages_are_in_place", False))
        self._done = False

    def on_test_begin(self, logs=None):
        self._end()

    def on_epoch_end(self, epoch, logs=None):
        self._end()

    def _end(self):
        if not self._done:
            self._done = True
            if hasattr(self.model.optimizer, "flush"):
                self.model.optimizer.flush(self.model.trainable_variables)
            statistics.average_statistics(self.model)
            self._exchange_if(getattr(self.model.optimizer, "use_ema", False))

    def _exchange_if(self, condition: bool):
        if condition:
            self.model.optimizer.exchange_averages()


def with_update_end(optimizer: Any, callbacks: Sequence[keras.callbacks.Callback] | None) -> Any:
    """The callbacks of a training, with an `UpdateEnd` in front where the optimizer needs one."""
    if isinstance(callbacks, keras.callbacks.CallbackList):
        return callbacks
    several_replicas = optimizer._distribution_strategy.num_replicas_in_sync > 1
    waiting = getattr(optimizer, "accumulate_steps", 1) > 1 or getattr(optimizer, "use_ema", False)
    if not several_replicas and not (waiting and hasattr(optimizer, "flush")):
        return callbacks
    return [UpdateEnd(), *(callbacks or ())]
