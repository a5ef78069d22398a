"""A line on standard error now and then, of what takes long."""

import sys
import time
from typing import TextIO

_FIRST_SECONDS, _SECONDS = 5.0, 5.0


class Progress:
    """Says how far something is, at most every 5 seconds, and nothing of what is done within 5.

    Args:
      what: is done, such as "Reading train.csv".
      unit: of what is counted.
      total: how many there are, where that is known.
      stream: to write to, instead of standard error.
    """

    def __init__(self, what: str, unit: str, total: int | None = None, *, stream: TextIO | None = None):
        self._stream = stream
        self.what, self.unit, self.total = what, unit, total
        self._began = time.monotonic()
        self._next = self._began + _FIRST_SECONDS
        self._told = False

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *error) -> None:
        if self._told and error[0] is None:
            print(
                f"{self.what}: done in {time.monotonic() - self._began:.0f} s",
                file=self._stream or sys.stderr,
                flush=True,
            )

    def update(self, count: int, *, at_once: bool = False) -> None:
        """Tells it that so many are done; without `at_once` it looks at the clock for each 1024th only."""
        if count & 1023 and not at_once:
            return
        now = time.monotonic()
        if now >= self._next:
            self._told, self._next = True, now + _SECONDS
            of = f" of {self.total:,}" if self.total else ""
            seconds = now - self._began
            print(
                f"{self.what}: {count:,}{of} {self.unit} in {seconds:.0f} s",
                file=self._stream or sys.stderr,
                flush=True,
            )
