"""What the pre-flight found out about good images, kept for its next start by the size and time of their files."""

import contextlib
import io
import os
import pathlib

import numpy as np

from kft import files
from kft.data.image_file import REMARKS, Header
from kft.data.source import Examined, fingerprint

_VERSION = 1
_BYTES, _REMARKS = "V16", tuple(REMARKS)
ROW = np.dtype(
    [
        ("key", _BYTES),
        ("content", _BYTES),
        ("pixels", _BYTES),
        ("look", _BYTES),
        ("height", np.int32),
        ("width", np.int32),
        ("is_jpeg", np.bool_),
        ("orientation", np.uint8),
        ("remarks", np.uint8),
    ]
)


def default_folder() -> pathlib.Path | None:
    """The folder of kft among those for files that may be deleted at any time: $XDG_CACHE_HOME, or ~/.cache.

    Returns: None for a user without a home.
    """
    try:
        caches = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache")
    except RuntimeError:
        return None
    return caches / "kft" / "preflight"


def stamp(path: str, part: str = "") -> bytes:
    """16 bytes that change with the place, the size and the time of a file.

    Args:
      path: of the file.
      part: which part of it, where it holds several examples.

    Raises: OSError if it is not there.
    """
    status = os.stat(path)
    return fingerprint(f"{os.path.abspath(path)}\0{status.st_size}\0{status.st_mtime_ns}\0{part}".encode())


class Memory:
    """Good images by the stamps of their files; bad ones are examined at each start.

    Args:
      folder: where it is kept; None for nowhere. It is made.
      name: of what is examined; each has a file of its own, which holds arrays only.
    """

    def __init__(self, folder: str | os.PathLike | None, name: str):
        self._file = None
        if folder is not None:
            known_as = fingerprint(f"{_VERSION}\0{os.getcwd()}\0{name}".encode()).hex()
            self._file = pathlib.Path(folder) / f"{known_as}.npy"
        self._old = np.zeros(0, ROW)
        if self._file is not None:
            try:
                with open(self._file, "rb") as stream:
                    read = np.load(stream, allow_pickle=False)
                if read.dtype == ROW and read.ndim == 1:
                    self._old = read
            except (OSError, ValueError, EOFError):
                pass  # none yet, or one of another version: everything is examined
        self._places = {key.tobytes(): place for place, key in enumerate(self._old["key"])}
        self._rows = bytearray()  # of what was looked up or put, one after the other: 100,000 objects would take more
        self._remarked: dict[str, list[bytes]] = {}
        self.num_new = 0

    def get(self, key: bytes) -> tuple[Examined, Header] | None:
        """What is known of the image with this stamp."""
        place = self._places.get(key)
        if place is None:
            return None
        row = self._old[place]
        self._rows += row.tobytes()
        told = tuple(name for bit, name in enumerate(_REMARKS) if row["remarks"] >> bit & 1)
        found = Examined(None, row["content"].tobytes(), row["pixels"].tobytes(), row["look"].tobytes(), told)
        header = Header(int(row["height"]), int(row["width"]), bool(row["is_jpeg"]), int(row["orientation"]), told)
        return found, header

    def put(self, key: bytes, found: Examined, header: Header) -> None:
        """Keeps what a good image was found to be."""
        remarks = sum(1 << _REMARKS.index(name) for name in found.remarks)
        row = np.zeros(1, ROW)
        row[0] = (key, found.content, found.pixels, found.look, *header[:4], remarks)
        self._rows += row.tobytes()
        self.num_new += 1

    def remark(self, key: bytes, name: str) -> None:
        """Keeps one more of REMARKS on an image that was put."""
        self._remarked.setdefault(name, []).append(key)

    def save(self) -> None:
        """Writes what was looked up or put, whole or not at all; where that cannot be, the next start takes longer."""
        if self._file is None or not self.num_new:
            return
        rows = np.frombuffer(self._rows, ROW)
        for name, keys in self._remarked.items():
            rows["remarks"][np.isin(rows["key"], np.array(keys, _BYTES))] |= 1 << _REMARKS.index(name)
        stream = io.BytesIO()
        np.save(stream, rows, allow_pickle=False)
        with contextlib.suppress(OSError):
            self._file.parent.mkdir(parents=True, exist_ok=True)
            files.write_whole(self._file, stream.getbuffer())
