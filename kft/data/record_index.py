"""Where the records of some files are and what they are learned as, kept so that the files are read once."""

import contextlib
import json
import os
import pathlib
from collections.abc import Sequence
from typing import Any, NamedTuple

from kft import files
from kft.data import check_memory
from kft.data.image_file import Header
from kft.data.record_files import Place
from kft.data.source import fingerprint

_VERSION = 1


class Index(NamedTuple):
    """For each record its place, the header of its image and its label; and the features that some record has."""

    places: list[Place]
    headers: list[Header]
    labels: list[Any]
    features: list[str]


class KeptIndex:
    """An index in a file of JSON, good for as long as size and time of the records' files stay.

    Args:
      folder: where it is kept; None for nowhere.
      name: of what is read, and how.
      files: that hold the records, and are there.
    """

    def __init__(self, folder: str | os.PathLike | None, name: str, files: Sequence[str]):
        self._names = {file: number for number, file in enumerate(dict.fromkeys(files))}
        self._stamps = [check_memory.stamp(file).hex() for file in self._names]
        self._file = None
        if folder is not None:
            known_as = fingerprint(f"{_VERSION}\0{os.getcwd()}\0{name}".encode()).hex()
            self._file = pathlib.Path(folder) / f"{known_as}.json"

    def load(self) -> Index | None:
        """The index; None where there is none, or one of other files."""
        if self._file is None:
            return None
        try:
            kept = json.loads(self._file.read_text(encoding="utf-8"))
            if kept["stamps"] != self._stamps:
                return None
            files = list(self._names)
            return Index(
                [Place(files[file], number, start, length) for file, number, start, length in kept["places"]],
                [Header(height, width, bool(is_jpeg), turn) for height, width, is_jpeg, turn in kept["headers"]],
                kept["labels"],
                kept["features"],
            )
        except (OSError, ValueError, KeyError, TypeError, IndexError):
            return None

    def save(self, index: Index) -> None:
        """Writes the index, whole or not at all; where that cannot be, the next start takes longer."""
        if self._file is None:
            return
        content = {
            "stamps": self._stamps,
            "places": [(self._names[place.file], *place[1:]) for place in index.places],
            "headers": [header[:4] for header in index.headers],
            "labels": index.labels,
            "features": index.features,
        }
        with contextlib.suppress(OSError):
            self._file.parent.mkdir(parents=True, exist_ok=True)
            files.write_whole(self._file, json.dumps(content))
