"""What libraries in C write to standard error, such as libjpeg's word on data that it decodes all the same."""

import contextlib
import os
import sys
import tempfile
from typing import TextIO

_ABOUT_JPEG = (b"Corrupt JPEG data", b"Premature end of JPEG", b"Invalid JPEG", b"Inconsistent progression")


class NativeWords:
    """Keeps what is written to file descriptor 2 while it is entered; afterwards all but libjpeg's words go on to it.

    `size()` grows when something is written. `stream` is where Python's own lines go in the meantime; None where
    sys.stderr is another file anyway.
    """

    stream: TextIO | None = None

    def __enter__(self) -> "NativeWords":
        self._former: int | None = None
        try:
            self._former = os.dup(2)
        except OSError:  # there is no standard error
            return self
        with contextlib.suppress(OSError, ValueError, AttributeError):
            if sys.stderr.fileno() == 2:
                sys.stderr.flush()
                self.stream = os.fdopen(os.dup(2), "w", encoding="utf-8", errors="replace")
        self._kept = tempfile.TemporaryFile()
        os.dup2(self._kept.fileno(), 2)
        return self

    def __exit__(self, *error) -> None:
        if self._former is None:
            return
        if self.stream is not None:
            self.stream.close()
        os.dup2(self._former, 2)
        os.close(self._former)
        self._kept.seek(0)
        for line in self._kept:
            if not line.startswith(_ABOUT_JPEG):
                os.write(2, line)
        self._kept.close()

    def size(self) -> int:
        """Bytes that were written."""
        return os.fstat(self._kept.fileno()).st_size if self._former is not None else 0

    def is_about_jpeg(self, first: int, end: int) -> bool:
        """Whether libjpeg wrote the bytes from first to end."""
        written = os.pread(self._kept.fileno(), end - first, first) if end > first else b""
        return any(line.startswith(_ABOUT_JPEG) for line in written.splitlines())
