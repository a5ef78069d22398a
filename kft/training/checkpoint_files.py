"""Checkpoints on disk: each appears whole or not at all, says what is in it, and is verified before it is used."""

import contextlib
import dataclasses
import errno
import hashlib
import json
import os
import pathlib
import re
import shutil
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy

from kft import errors

ARRAYS, MANIFEST = "arrays.safetensors", "manifest.json"
_NAME = re.compile(r"step_(\d{12})")
_WRITING = re.compile(r"\.writing_(\d+)_.*")
_SPARE_BYTES = 1 << 20


@dataclasses.dataclass(frozen=True)
class Saved:
    """A checkpoint that was verified.

    Args:
      path: its folder.
      step: optimizer steps done.
      arrays: name -> value.
      facts: what was written with it: position, phase, config.
      files: name -> content of further files.
      passed_over: newer ones that cannot be used, each with its folder and the reason.
    """

    path: pathlib.Path
    step: int
    arrays: Mapping[str, np.ndarray]
    facts: Mapping[str, Any]
    files: Mapping[str, bytes] = dataclasses.field(default_factory=dict)
    passed_over: tuple[tuple[pathlib.Path, str], ...] = ()


def save(
    folder: str | os.PathLike,
    step: int,
    arrays: Mapping[str, np.ndarray],
    facts: Mapping[str, Any],
    *,
    keep: int = 2,
    files: Mapping[str, bytes] | None = None,
) -> pathlib.Path:
    """Commits a checkpoint: a new folder, its arrays, the manifest last, then a rename.

    Killed at any moment, it leaves the checkpoint before it as it was. Older ones are removed after the commit.

    Args:
      folder: of all checkpoints of a run; it is made.
      step: int >= 0, optimizer steps done; a checkpoint of the same step is replaced.
      arrays: name -> value; floats must be finite.
      facts: what else is to be known, as JSON.
      keep: int >= 2, checkpoints to keep.
      files: name -> content of further files.

    Returns: the folder of the checkpoint.
    Raises: NonFiniteError for a value that is not finite; OSError, with path and bytes, if the disk has no room.
    """
    folder = pathlib.Path(folder)
    bad = _not_finite(arrays)
    if bad:
        raise errors.NonFiniteError(
            f"Got {len(bad)} variables that are not finite at step {step}, such as {bad[0]!r}. Expected finite "
            "numbers. Nothing was saved; the checkpoint before it is intact."
        )
    folder.mkdir(parents=True, exist_ok=True)
    clean(folder)
    content = safetensors.numpy.save({name: np.asarray(value, order="C") for name, value in arrays.items()})
    contents = {ARRAYS: content, **(files or {})}
    needed = sum(map(len, contents.values())) + _SPARE_BYTES
    _check_space(folder, needed)
    beside = folder / f".writing_{os.getpid()}_{step}"
    final = folder / f"step_{step:012d}"
    try:
        shutil.rmtree(beside, ignore_errors=True)
        beside.mkdir()
        for name, content in contents.items():
            _write(beside / name, content)
        manifest = {
            "step": step,
            "files": {
                name: {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
                for name, content in contents.items()
            },
            "arrays": {name: [value.dtype.name, list(value.shape)] for name, value in arrays.items()},
            "facts": dict(facts),
        }
        body = json.dumps(manifest, indent=1, sort_keys=True)
        sealed = json.dumps({"sha256": hashlib.sha256(body.encode()).hexdigest(), "manifest": manifest}, indent=1)
        _write(beside / MANIFEST, sealed.encode())
        if final.exists():  # one that is damaged, or of another try at this step
            os.rename(final, folder / f".writing_{os.getpid()}_{step}_before")
        os.rename(beside, final)
        _sync_folder(folder)
    except OSError as error:
        shutil.rmtree(beside, ignore_errors=True)
        raise OSError(
            error.errno,
            f"Got no checkpoint of step {step} in {str(folder)!r}, which takes {needed:,} bytes: "
            f"{error.strerror}. The checkpoint before it is intact. Make room and start again.",
        ) from error
    shutil.rmtree(folder / f".writing_{os.getpid()}_{step}_before", ignore_errors=True)
    for path in _newest_first(folder)[max(keep, 2) :]:
        shutil.rmtree(path, ignore_errors=True)
    return final


def load_newest(folder: str | os.PathLike) -> Saved | None:
    """The newest checkpoint that is intact; None where there is none.

    A damaged one is passed over and named, never repaired and never removed.

    Args:
      folder: of all checkpoints of a run.
    """
    passed_over = []
    for path in _newest_first(pathlib.Path(folder)):
        try:
            return dataclasses.replace(_load(path), passed_over=tuple(passed_over))
        except (OSError, ValueError, KeyError, TypeError, safetensors.SafetensorError) as error:
            passed_over.append((path, str(error)))
    if passed_over:
        listed = "; ".join(f"{path}: {reason}" for path, reason in passed_over)
        raise errors.InputError(
            f"Got checkpoints of which none is intact: {listed}. Expected one at least. Start anew in another folder."
        )
    return None


def newest_folder(folder: str | os.PathLike) -> pathlib.Path | None:
    """The folder of the newest checkpoint, unread; None where there is none."""
    return next(iter(_newest_first(pathlib.Path(folder))), None)


def clean(folder: pathlib.Path) -> None:
    """Removes what writers that are dead left."""
    for path in folder.iterdir():
        match = _WRITING.fullmatch(path.name)
        if match and not _is_alive(int(match[1])):
            shutil.rmtree(path, ignore_errors=True)


def newest_facts(folder: str | os.PathLike) -> Mapping[str, Any] | None:
    """What was written with the newest checkpoint whose manifest is intact, its arrays unread; None without one."""
    for path in _newest_first(pathlib.Path(folder)):
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            return _manifest(path)["facts"]
    return None


def _manifest(path: pathlib.Path) -> dict[str, Any]:
    sealed = json.loads((path / MANIFEST).read_text(encoding="utf-8"))
    manifest = sealed["manifest"]
    body = json.dumps(manifest, indent=1, sort_keys=True)
    if hashlib.sha256(body.encode()).hexdigest() != sealed["sha256"]:
        raise ValueError("its manifest is damaged")
    return manifest


def _load(path: pathlib.Path) -> Saved:
    manifest = _manifest(path)
    for name, expected in manifest["files"].items():
        file = path / name
        if file.stat().st_size != expected["bytes"] or _sha256(file) != expected["sha256"]:
            raise ValueError(f"{name} is damaged")
    arrays = safetensors.numpy.load_file(path / ARRAYS)
    found = {name: [value.dtype.name, list(value.shape)] for name, value in arrays.items()}
    if found != manifest["arrays"]:
        raise ValueError("its arrays are not those of its manifest")
    bad = _not_finite(arrays)
    if bad:
        raise ValueError(f"{bad[0]!r} is not finite")
    files = {name: (path / name).read_bytes() for name in manifest["files"] if name != ARRAYS}
    return Saved(path, manifest["step"], arrays, manifest["facts"], files)


def set_aside(paths: Iterable[pathlib.Path]) -> None:
    """Renames damaged checkpoints, so that they count no more; their content stays for whoever wants to look."""
    for path in paths:
        with contextlib.suppress(OSError):
            shutil.rmtree(path.with_name(f"damaged_{path.name}"), ignore_errors=True)
            os.rename(path, path.with_name(f"damaged_{path.name}"))


def _not_finite(arrays: Mapping[str, np.ndarray]) -> list[str]:
    return [name for name, value in arrays.items() if value.dtype.kind not in "biuSU" and not np.isfinite(value).all()]


def _newest_first(folder: pathlib.Path) -> list[pathlib.Path]:
    if not folder.is_dir():
        return []
    return sorted((path for path in folder.iterdir() if _NAME.fullmatch(path.name)), reverse=True)


def _write(file: pathlib.Path, content: bytes) -> None:
    with open(file, "wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())


def _sync_folder(folder: pathlib.Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _check_space(folder: pathlib.Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise OSError(
            errno.ENOSPC,
            f"Got {free:,} bytes free for a checkpoint in {str(folder)!r}. Expected {needed:,}. Nothing was written; "
            "the checkpoint before it is intact. Make room and start again.",
        )


def _sha256(file: pathlib.Path) -> str:
    with open(file, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
