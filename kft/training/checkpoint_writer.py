"""Writing beside the training: one job at a time, on a thread of its own."""

import threading
from collections.abc import Callable
from typing import Any


class Writer:
    """Runs jobs one after the other while the caller goes on; an error of a job is raised by the next call.

    The thread keeps the interpreter alive until its job is done, so that what was handed over is written.
    """

    def __init__(self):
        self._thread: threading.Thread | None = None
        self._error: BaseException | None = None

    @property
    def failed(self) -> bool:
        """Whether an error waits to be raised."""
        return self._error is not None

    def submit(self, job: Callable[[], Any]) -> None:
        """Starts a job when the one before is done.

        Args:
          job: takes nothing of what the caller changes afterwards.

        Raises: the error of the job before.
        """
        self.wait()
        self._thread = threading.Thread(target=self._run, args=(job,), name="kft checkpoint")
        self._thread.start()

    def wait(self) -> None:
        """Until nothing runs.

        Raises: the error of the last job.
        """
        self.join()
        if self._error is not None:
            error, self._error = self._error, None
            raise error

    def join(self) -> None:
        """Until nothing runs, whatever came of it; from any thread."""
        thread = self._thread
        if thread is not None:
            thread.join()

    def _run(self, job: Callable[[], Any]) -> None:
        try:
            job()
        except BaseException as error:
            self._error = error
