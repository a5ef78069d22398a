"""Beginning from the weights of another run or of a file, with a report of what fitted."""

import dataclasses
import json
import os
import pathlib
import re
from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
import safetensors

from kft import errors
from kft.models.weights import renew_constants
from kft.training import checkpoint_files

DIFFERENCES = ("missing", "extra", "shape", "head")
WEIGHTS, DESCRIPTION = "model/weights.safetensors", "model/model.json"


@dataclasses.dataclass(frozen=True)
class LoadReport:
    """What was loaded, by variable path.

    Args:
      place: where from.
      matched: loaded.
      missing: of the model, and not there: they keep what they have.
      extra: there, and not of the model.
      shape: of another shape, "path (there) (model)": they keep what they have.
      head: of the head, which was asked to keep what it has.
    """

    place: str
    matched: tuple[str, ...]
    missing: tuple[str, ...]
    extra: tuple[str, ...]
    shape: tuple[str, ...]
    head: tuple[str, ...]

    def __str__(self) -> str:
        parts = [f"{len(self.matched)} matched"]
        for name, what in (
            ("missing", "missing"), ("extra", "extra"), ("shape", "of another shape"), ("head", "of the head left out"),
        ):  # fmt: skip
            listed = getattr(self, name)
            parts.append(f"{len(listed)} {what}" + (f" ({_some(listed)})" if listed else ""))
        return f"Warm start from {self.place}: {', '.join(parts)}."


def warm_start(
    model: Any, place: str | os.PathLike, *, allow: Collection[str] = (), label_names: Sequence[str] = ()
) -> LoadReport:
    """Loads the weights that another run kept, or a file of `save_weights`, by variable path.

    Nothing is loaded unless everything fits, or the differences are asked for. The optimizer starts anew.

    Args:
      model: FineTuneModel; its last block is the head.
      place: the folder of a run, whose kept model is taken, or its newest checkpoint if it has not ended; or a
        safetensors file.
      allow: differences that are as wanted: "missing", variables of the model that are not there; "extra", variables
        that are there and not in the model; "shape", variables of another shape; these keep what they have. "head":
        leave the head as it is, whatever is there of it.
      label_names: of the model; compared with those of the run, as a head whose classes are others means nothing.

    Returns: the report.
    Raises: InputError that lists the variables, for differences that are not asked for, for another type, for values
      that are not finite, and for other classes.
    """
    for name in allow:
        if name not in DIFFERENCES:
            raise errors.unknown_name("difference", name, DIFFERENCES)
    place = pathlib.Path(place)
    there, read, classes = _open(place)
    head = {path for path in there.keys() | {v.path for v in model.weights} if _is_head(model, path)}
    left = head if "head" in allow else set()
    wanted = {variable.path: variable for variable in model.weights if variable.path not in left}
    there = {path: spec for path, spec in there.items() if path not in left}
    both = [path for path in wanted if path in there]
    shape = [path for path in both if there[path][0] != tuple(wanted[path].shape)]
    matched = [path for path in both if path not in shape]
    found = {
        "missing": [path for path in wanted if path not in there],
        "extra": [path for path in there if path not in wanted],
        "shape": [f"{path} {there[path][0]} {tuple(wanted[path].shape)}" for path in shape],
    }
    problems = [f"{kind}: {_some(paths)}" for kind, paths in found.items() if paths and kind not in allow]
    others = [f"{p} {there[p][1]} {wanted[p].dtype}" for p in matched if there[p][1] != wanted[p].dtype]
    if others:
        problems.append(f"of another type: {_some(others)}")
    if classes and label_names and tuple(classes) != tuple(label_names) and "head" not in allow:
        problems.append(f"classes {_some(classes)} and not {_some(label_names)}")
    if not matched:
        problems.append("no variable that matches")
    values = {} if problems else {path: read(path) for path in matched}
    bad = [path for path, value in values.items() if not np.all(np.isfinite(value))]
    if bad:
        problems.append(f"not finite: {_some(bad)}")
    if problems:
        raise errors.InputError(
            f"Got warm_start={str(place)!r} that does not fit the model: {'; '.join(problems)}. Expected every "
            "variable once, in its shape and type, and the same classes. Nothing was loaded. If a difference is as "
            f"wanted, name it in warm_start_allow: {', '.join(DIFFERENCES)} (head: a new head is trained)."
        )
    for path, value in values.items():
        wanted[path].assign(value)
    renew_constants(model)
    return LoadReport(str(place), tuple(matched), head=tuple(sorted(left)), **{k: tuple(v) for k, v in found.items()})


def _open(place: pathlib.Path) -> tuple[dict[str, tuple[tuple, str]], Any, Sequence[str]]:
    """Path -> (shape, dtype), what reads one array, and the classes if they are known."""
    if place.is_dir():
        if (place / DESCRIPTION).is_file():
            description = json.loads((place / DESCRIPTION).read_text(encoding="utf-8"))
            return *_open_file(place / WEIGHTS), description.get("label_names", ())
        saved = checkpoint_files.load_newest(place / "checkpoints")
        if saved is None:
            raise errors.InputError(
                f"Got warm_start={str(place)!r}, which has neither a kept model nor a checkpoint. Expected the folder "
                "of a run, or a .safetensors file. Name another."
            )
        arrays = {name.removeprefix("weight/"): a for name, a in saved.arrays.items() if name.startswith("weight/")}
        specs = {path: (array.shape, array.dtype.name) for path, array in arrays.items()}
        return specs, arrays.__getitem__, saved.facts["facts"].get("label names", ())
    return *_open_file(place), ()


def _open_file(file: pathlib.Path) -> tuple[dict[str, tuple[tuple, str]], Any]:
    try:
        stream = safetensors.safe_open(file, framework="numpy")
        slices = {name: stream.get_slice(name) for name in stream.keys()}  # noqa: SIM118  no mapping
    except (OSError, safetensors.SafetensorError) as error:
        raise errors.InputError(
            f"Got warm_start={str(file)!r}, which cannot be read: {error}. Expected the folder of a run, or a "
            ".safetensors file as kft.training.save_weights writes it. For Keras' weights of a backbone, use "
            "backbone_weights."
        ) from error
    dtypes = {"F32": "float32", "F16": "float16", "BF16": "bfloat16", "F64": "float64", "I64": "int64", "I32": "int32"}
    specs = {
        name: (tuple(part.get_shape()), dtypes.get(part.get_dtype(), part.get_dtype())) for name, part in slices.items()
    }
    return specs, stream.get_tensor


def _is_head(model: Any, path: str) -> bool:
    return bool(model.blocks) and re.fullmatch(model.blocks[-1], path) is not None


def _some(names: Sequence[str]) -> str:
    return ", ".join(map(str, names[:20])) + (f" and {len(names) - 20} more" if len(names) > 20 else "")
