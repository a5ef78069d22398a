"""How long a training takes, and what part of it waits for data."""

import time

import keras

from kft.inspection import resources


class Stopwatch(keras.callbacks.Callback):
    """Seconds from the first batch read to the last update; a hook at each step would make each one wait.

    After a training it has `seconds`, `evaluation_seconds`, `first_step_seconds`, and `waiting`, for each epoch the
    part of its time, without evaluation, in which the step waited for its batch.
    """

    def on_train_begin(self, logs=None):
        self._began = time.perf_counter()
        self.seconds = self.evaluation_seconds = self.first_step_seconds = 0.0
        self.waiting: list[float] = []
        self.model.step_hooks.append(self._first_step)
        self._measures = self.model.measures
        self._measures.waited = self._measures.waited or resources.seconds_on_host()

    def on_epoch_begin(self, epoch, logs=None):
        self._updates = True
        self._epoch_began, self._waited = time.perf_counter(), float(self._measures.waited.numpy())

    def on_test_begin(self, logs=None):
        self._updates_end()
        self._test_began = time.perf_counter()

    def on_test_end(self, logs=None):
        self.evaluation_seconds += time.perf_counter() - self._test_began

    def on_epoch_end(self, epoch, logs=None):
        self._updates_end()

    def _first_step(self):
        self.first_step_seconds = time.perf_counter() - self._began
        # A new list, as the old one is being gone through.
        self.model.step_hooks = [hook for hook in self.model.step_hooks if hook != self._first_step]

    def _updates_end(self):
        if self._updates:
            now = time.perf_counter()
            self.seconds = now - self._began
            waited = float(self._measures.waited.numpy()) - self._waited
            self.waiting.append(round(waited / max(now - self._epoch_began, 1e-9), 4))
            self._updates = False
