"""A run folder, read for those who look at it: what is missing or broken is empty, nothing is executed."""

import dataclasses
import json
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from kft import errors

Curve = tuple[np.ndarray, np.ndarray]


@dataclasses.dataclass(frozen=True, eq=False)
class RunFolder:
    """What a run left.

    Args:
      path: the folder.
      name: what a person calls it: the last parts of the path that tell it from the others.
      config: config.json, room -> setting -> value.
      flags: run.flags, the text.
      decisions: run.json.
      result: result.json.
      predictions: the lines of eval_predictions.jsonl.
      examples: the lines of examples.jsonl: small pictures and texts of some examples.
      curves: (writer, tag) -> steps and values, of the scalars of tensorboard/.
    """

    path: pathlib.Path
    name: str
    config: dict[str, Any]
    flags: str
    decisions: dict[str, Any]
    result: dict[str, Any]
    predictions: list[dict[str, Any]]
    examples: list[dict[str, Any]]
    curves: dict[tuple[str, str], Curve]

    def setting(self, name: str, default: Any = None) -> Any:
        """A setting by its own name."""
        for room in self.config.values():
            if isinstance(room, dict) and name in room:
                return room[name]
        return default

    def settings(self) -> dict[str, Any]:
        """All settings by their own names."""
        return {name: value for room in self.config.values() if isinstance(room, dict) for name, value in room.items()}


def read_runs(folders: Sequence[str | pathlib.Path]) -> list[RunFolder]:
    """Reads run folders; one of several seeds gives the run of each.

    Raises: InputError for a folder that is none of a run.
    """
    places: list[pathlib.Path] = []
    for folder in folders:
        path = pathlib.Path(folder)
        seeds = sorted(path.glob("seed_*/config.json"), key=lambda file: (len(file.parent.name), file.parent.name))
        if not (path / "config.json").is_file() and not seeds:
            raise errors.InputError(
                f"Got {str(folder)!r}, which has no config.json. Expected the folder of a run. Name another."
            )
        places += [path] if (path / "config.json").is_file() else [file.parent for file in seeds]
    return [_read(path, name) for path, name in zip(places, _names(places), strict=True)]


def _read(path: pathlib.Path, name: str) -> RunFolder:
    return RunFolder(
        path=path,
        name=name,
        config=_json(path / "config.json"),
        flags=_text(path / "run.flags"),
        decisions=_json(path / "run.json"),
        result=_json(path / "result.json"),
        predictions=_json_lines(path / "eval_predictions.jsonl"),
        examples=_json_lines(path / "examples.jsonl"),
        curves=scalars(path / "tensorboard"),
    )


def _names(places: Sequence[pathlib.Path]) -> list[str]:
    """The shortest ends of the paths that differ."""
    parts = [path.resolve().parts for path in places]
    for length in range(1, max(map(len, parts), default=1) + 1):
        names = ["/".join(part[-length:]) for part in parts]
        if len(set(names)) == len(names):
            return names
    return [str(path) for path in places]


def scalars(log_dir: pathlib.Path) -> dict[tuple[str, str], Curve]:
    """The scalars of the event files below a folder: (writer, tag) -> steps and values, in the order of the steps."""
    from tensorboard.compat.proto import event_pb2
    from tensorboard.util import tensor_util

    from kft.inspection import event_files

    points: dict[tuple[str, str], dict[int, float]] = {}
    for file in sorted(log_dir.glob("*/events.out.tfevents.*")):
        try:
            content = file.read_bytes()
            for record in event_files.records(content):
                event = event_pb2.Event.FromString(record[12:-4])
                for value in event.summary.value:
                    if value.HasField("tensor") and not value.tensor.tensor_shape.dim and value.tensor.dtype in (1, 2):
                        number = float(tensor_util.make_ndarray(value.tensor))
                        points.setdefault((file.parent.name, value.tag), {})[event.step] = number
        except (OSError, ValueError, TypeError):  # of a writer that was killed, or no event file at all
            continue
    return {
        key: (np.array(sorted(of)), np.array([of[step] for step in sorted(of)], np.float64))
        for key, of in points.items()
    }


def _text(file: pathlib.Path) -> str:
    try:
        return file.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _json(file: pathlib.Path) -> dict[str, Any]:
    try:
        value = json.loads(_text(file) or "{}")
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _json_lines(file: pathlib.Path) -> list[dict[str, Any]]:
    rows = []
    for line in _text(file).split("\n"):
        if line.strip():
            try:
                row = json.loads(line)
            except ValueError:
                return []
            if not isinstance(row, dict):
                return []
            rows.append(row)
    return rows
