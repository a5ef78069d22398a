"""What an optimizer of ours has to do when the updates of an epoch are done."""

from collections.abc import Sequence
from typing import Any

import keras


class UpdateEnd(keras.callbacks.Callback):
    """Makes the last update of an epoch with what is accumulated, and shows the averages to whoever looks.

    From the end of an epoch's updates to the begin of the next ones, and after the last, the model has the averages
    of its variables (`use_ema`): they are evaluated, kept and saved. It has to come before all other callbacks.
    """

    def on_train_begin(self, logs=None):
        self._done = True

    def on_epoch_begin(self, epoch, logs=None):
        self._exchange_if(self.model.optimizer.averages_are_in_place)
        self._done = False

    def on_test_begin(self, logs=None):
        self._end()

    def on_epoch_end(self, epoch, logs=None):
        self._end()

    def _end(self):
        if not self._done:
            self._done = True
            self.model.optimizer.flush(self.model.trainable_variables)
            self._exchange_if(self.model.optimizer.use_ema)

    def _exchange_if(self, condition: bool):
        if condition:
            self.model.optimizer.exchange_averages()


def with_update_end(optimizer: Any, callbacks: Sequence[keras.callbacks.Callback] | None) -> Any:
    """The callbacks of a training, with an `UpdateEnd` in front where the optimizer needs one."""
    if isinstance(callbacks, keras.callbacks.CallbackList) or not hasattr(optimizer, "flush"):
        return callbacks
    if optimizer.accumulate_steps == 1 and not optimizer.use_ema:
        return callbacks
    return [UpdateEnd(), *(callbacks or ())]
