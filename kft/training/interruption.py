"""SIGTERM and SIGINT: noted, acted on between two steps, and never waited for without need."""

import atexit
import os
import signal
import sys
import threading
from collections.abc import Callable
from typing import Any

SIGNALS = (signal.SIGTERM, signal.SIGINT)
GRACE_SECONDS = 5.0
_LOOK_SECONDS = 0.25
_ended_by: list[int] = []  # the signal that ended a training of this process


class Interruption:
    """Takes the two signals while a training runs.

    The first one is noted in `number`, for whoever is asked between two steps. If nobody acts on it for some seconds,
    as the process traces, compiles or reads, and `is_saved` says that nothing would be lost, the process ends at once.
    A second signal ends it in any case: what is on disk is whole at every moment.

    Args:
      is_saved: whether the newest state is on disk, or on its way there; called from another thread.
      finish: waits until it is there.
    """

    def __init__(self, is_saved: Callable[[], bool], finish: Callable[[], None]):
        self.number = 0
        self._is_saved, self._finish = is_saved, finish
        self._handlers: dict[int, Any] = {}
        self._ended = threading.Event()

    def begin(self) -> None:
        """Takes the signals; does nothing outside of the main thread, where Python takes none."""
        if self._handlers or threading.current_thread() is not threading.main_thread():
            return
        self.number = 0
        _ended_by.clear()
        self._ended = threading.Event()
        self._reader, self._written = os.pipe()
        os.set_blocking(self._written, False)
        self._woken_before = signal.set_wakeup_fd(self._written, warn_on_full_buffer=False)
        self._handlers = {number: signal.signal(number, self._note) for number in SIGNALS}
        watch = threading.Thread(target=self._watch, args=(self._reader, self._ended), daemon=True, name="kft signals")
        watch.start()

    def end(self) -> None:
        """Gives the signals back to whoever had them."""
        if not self._handlers:
            return
        self._ended.set()
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        self._handlers = {}
        signal.set_wakeup_fd(self._woken_before)
        os.close(self._written)  # which ends the watch

    def raise_error(self) -> None:
        """Ends what runs in the main thread: SystemExit with 128 + the signal, KeyboardInterrupt for SIGINT."""
        number = self.number
        self._ended.set()
        _ended_by[:] = [number]
        if number == signal.SIGINT:
            raise KeyboardInterrupt("the state is saved")
        raise SystemExit(128 + number)

    def _note(self, number, frame):
        if self.number:
            os._exit(128 + number)
        self.number = number

    def _watch(self, reader: int, ended: threading.Event) -> None:
        """Python writes the signal's number into the pipe at once, also while the main thread is in a long call."""
        try:
            number = 0
            while number not in SIGNALS:
                received = os.read(reader, 1)
                if not received:
                    return
                number = received[0]
            os.write(2, f"\nGot {signal.Signals(number).name}: saving, then ending.\n".encode())
            if ended.wait(GRACE_SECONDS):
                return
            while not ended.wait(_LOOK_SECONDS):
                if self._is_saved():
                    self._finish()
                    sys.stdout.flush()
                    os._exit(128 + number)
        finally:
            os.close(reader)


def _end_at_once() -> None:
    """Ends a process that a signal ended before Python takes itself apart, when all other exit handlers have run.

    TensorFlow waits there for ever for a data set that is in the middle of a Python function.
    """
    number = _ended_by[0] if _ended_by else 0
    uncaught = getattr(sys, "last_type", None)
    if number == signal.SIGTERM or (number == signal.SIGINT and uncaught is KeyboardInterrupt):
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(128 + number)


atexit.register(_end_at_once)
