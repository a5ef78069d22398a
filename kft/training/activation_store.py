"""Rows of activations, in memory or on disk, within a budget."""

import contextlib
import itertools
import math
import os
import pathlib
import shutil
import tempfile

import ml_dtypes
import numpy as np
import tensorflow as tf

from kft.memory import free_memory

DISK_MARGIN = 1.1
REDUCED = {"float32": np.dtype(ml_dtypes.bfloat16)}


class MemoryRows:
    """Rows in memory, as a variable: read within a graph, they do not wait for Python."""

    place = "memory"

    def __init__(self, shape: tuple[int, ...], dtype: np.dtype):
        self.shape, self.dtype = shape, dtype
        with tf.device("CPU:0"):
            self._rows = tf.Variable(tf.zeros(shape, dtype), trainable=False)

    def write(self, start: int, rows: np.ndarray) -> None:
        """Puts rows in the place of those from `start` on."""
        self._rows[start : start + len(rows)].assign(rows)

    def gather(self, indices: tf.Tensor) -> tf.Tensor:
        """The rows at these indices, in their order; a graph function."""
        return tf.gather(self._rows, indices)

    def read(self, indices: np.ndarray) -> np.ndarray:
        """The rows at these indices, in their order."""
        return self.gather(indices).numpy()

    def close(self) -> None:
        """Gives the memory back."""
        self._rows = None


class DiskRows:
    """Rows in a file, which is gone when it is closed.

    Written in order and read by row. Differs from a mapped file, whose pages count as memory of the process: only
    the rows of one batch are ever in it.
    """

    place = "disk"

    def __init__(self, shape: tuple[int, ...], dtype: np.dtype, folder: pathlib.Path):
        self.shape, self.dtype = shape, dtype
        self._row_bytes = math.prod(shape[1:]) * dtype.itemsize
        self._file, name = tempfile.mkstemp(prefix="activations.", dir=folder)
        os.unlink(name)  # so that nothing is left behind, however the run ends

    def write(self, start: int, rows: np.ndarray) -> None:
        """Puts rows in the place of those from `start` on."""
        data = memoryview(np.ascontiguousarray(rows, self.dtype).view(np.uint8).reshape(-1))
        position = start * self._row_bytes
        while data:
            written = os.pwrite(self._file, data, position)
            data, position = data[written:], position + written

    def gather(self, indices: tf.Tensor) -> tf.Tensor:
        """The rows at these indices, in their order; a graph function."""
        rows = tf.numpy_function(self.read, [indices], tf.as_dtype(self.dtype))
        return tf.ensure_shape(rows, (indices.shape[0], *self.shape[1:]))

    def read(self, indices: np.ndarray) -> np.ndarray:
        """The rows at these indices, in their order; those that follow each other in the file at once."""
        rows = np.empty((len(indices), *self.shape[1:]), self.dtype)
        flat = memoryview(rows.view(np.uint8).reshape(-1))
        breaks = np.flatnonzero(np.diff(indices) != 1) + 1
        for first, end in itertools.pairwise([0, *breaks.tolist(), len(indices)]):
            begin, position = first * self._row_bytes, int(indices[first]) * self._row_bytes
            wanted = flat[begin : end * self._row_bytes]
            while wanted:
                count = os.preadv(self._file, [wanted], position)
                if count == 0:
                    raise OSError(f"Got the end of stored activations at byte {position}. Expected {len(wanted)} more.")
                wanted, position = wanted[count:], position + count
        return rows

    def close(self) -> None:
        """Gives the disk space back."""
        os.close(self._file)


class Storage:
    """Makes rows in memory while they fit the budget, then on disk while they fit there.

    Args:
      budget: bytes of memory for all rows together; 0 for a third of what is free now.
      folder: for the files; None for a temporary folder.
      disk: whether anything may go there.
    """

    def __init__(self, budget: int = 0, folder: str | os.PathLike | None = None, *, disk: bool = True):
        self.budget = budget or free_memory() // 3
        self._folder = pathlib.Path(folder or tempfile.gettempdir())
        self._made, self._disk = False, disk
        self._rows: list[MemoryRows | DiskRows] = []

    @property
    def limits(self) -> str:
        """What is full where `place_for` gives None."""
        return f"the budget of {self.budget / 2**20:,.0f} MiB" + (" nor the disk" if self._disk else "")

    @property
    def in_memory(self) -> int:
        """Bytes of the rows that are in memory now."""
        return sum(size_of(rows.shape, rows.dtype) for rows in self._rows if rows.place == "memory")

    def place_for(self, size: int) -> str | None:
        """Where `size` bytes more would go: "memory", "disk", or None where there is no room."""
        if self.in_memory + size <= self.budget:
            return "memory"
        if not self._disk:
            return None
        if not self._folder.is_dir():
            self._folder.mkdir(parents=True)
            self._made = True
        return "disk" if size * DISK_MARGIN <= shutil.disk_usage(self._folder).free else None

    def make(self, shape: tuple[int, ...], dtype: np.dtype, place: str) -> MemoryRows | DiskRows:
        """Rows of a shape, in a place that `place_for` gave."""
        rows = MemoryRows(shape, dtype) if place == "memory" else DiskRows(shape, dtype, self._folder)
        self._rows.append(rows)
        return rows

    def free(self, rows: MemoryRows | DiskRows) -> None:
        """Gives the room of rows back."""
        self._rows.remove(rows)
        rows.close()

    def close(self) -> None:
        """Gives everything back."""
        for rows in list(self._rows):
            self.free(rows)
        if self._made:
            with contextlib.suppress(OSError):  # something else is in it
                self._folder.rmdir()


def size_of(shape: tuple[int, ...], dtype: np.dtype) -> int:
    """Bytes of an array."""
    return math.prod(shape) * dtype.itemsize
