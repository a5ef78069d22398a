"""Images and labels in arrays, in memory or in an npz file."""

import difflib
import os
import zipfile
from collections.abc import Sequence
from typing import Any

import numpy as np

from kft import errors
from kft.data.source import Finding, Source
from kft.data.text_format import LABEL_KINDS


def arrays(path: str, *, label_names: Sequence[str] | None = None, labels: str = "classes") -> Source:
    """Images in an npz file with `x`, `y` and perhaps `label_names`; see `from_arrays`.

    Args:
      path: of the file. Pickled objects in it are refused.
      label_names: instead of those in the file: the classes of the training data.
      labels: what y is, see `from_arrays`.

    Raises: InputError if the file is not there, is no npz file, or lacks x or y.
    """
    if not os.path.isfile(path):
        folder, name = os.path.split(path)
        near = difflib.get_close_matches(name, os.listdir(folder or "."), n=1) if os.path.isdir(folder or ".") else []
        hint = f"Did you mean {os.path.join(folder, near[0])!r}?" if near else "Correct the path."
        raise errors.InputError(f"Got {path!r}, which is not there. Expected an npz file. {hint}")
    try:
        with open(path, "rb") as stream, np.load(stream, allow_pickle=False) as file:
            content = {name: file[name] for name in ("x", "y", "label_names") if name in file}
    except (ValueError, TypeError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise errors.InputError(
            f"Got {path!r}: {error}. Expected an npz file with arrays of numbers. "
            "Write it with np.savez(path, x=x, y=y)."
        ) from error
    for name in ("x", "y"):
        if name not in content:
            raise errors.InputError(f"Got {path!r} without {name!r}. Expected x and y. Use np.savez(path, x=x, y=y).")
    if label_names is None and "label_names" in content:
        label_names = [str(name) for name in content["label_names"]]
    return from_arrays(content["x"], content["y"], label_names=label_names, name=f"arrays:{path}", labels=labels)


def from_arrays(
    x: np.ndarray,
    y: np.ndarray,
    *,
    label_names: Sequence[str] | None = None,
    name: str = "arrays",
    labels: str = "classes",
) -> Source:
    """Images and labels in memory.

    Args:
      x: images: uint8, or numbers from 0 to 255 (not 0 to 1).
      y: labels: whole numbers from 0. Others are noted for the pre-flight, as are targets that cannot be used.
      label_names: of the classes; "0", "1", ... up to the largest label, or for each column of y, where not given.
      name: what messages call it.
      labels: what y is: "classes"; "sets", 0 or 1 for each of several labels that do not exclude each other; or
        "numbers", for regression.

    Shapes: x (num_examples, height, width) or (num_examples, height, width, channels), any number;
      y (num_examples,) or (num_examples, 1); of sets (num_examples, number of labels).
    Raises: InputError if a shape or type does not fit.
    """
    import tensorflow as tf

    x, y = np.asarray(x), np.asarray(y)
    x = x[..., np.newaxis] if x.ndim == 3 else x
    y = y[:, 0] if y.ndim == 2 and y.shape[1] == 1 and labels != "sets" else y
    if x.ndim != 4 or not x.shape[-1] or x.dtype.kind not in "uif":
        raise errors.InputError(
            f"Got x of shape {x.shape} and type {x.dtype} in {name!r}. Expected numbers of shape (examples, height, "
            "width) or (examples, height, width, channels). Reshape it."
        )
    with tf.init_scope(), tf.device("CPU:0"):
        images = tf.constant(x if x.dtype == np.uint8 else x.astype(np.float32))
    answers = _read_y(labels, y, len(x), label_names, name)
    return Source(
        name=name,
        num_examples=len(x),
        load=lambda index: {"image": tf.gather(images, index)},
        keys=tuple(f"{name}, row {row}" for row in range(len(x))),
        content=lambda index: x[index].tobytes(),
        inspect=lambda index, _: _inspect(f"{name}, row {index}", x[index]),
        **answers,
    )


def _read_y(kind: str, y: np.ndarray, num: int, label_names: Sequence[str] | None, name: str) -> dict[str, Any]:
    """What a source says of its labels: names, labels, targets, problems."""
    if kind not in LABEL_KINDS:
        raise errors.unknown_name("kind of labels", kind, LABEL_KINDS)
    expected = {
        "classes": f"{num} whole numbers, one for each image in x. Give the index of the class, not its name or a "
        "one-hot row.",
        "sets": f"{num} rows of 0 and 1, one column for each label. Give each label a column.",
        "numbers": f"{num} numbers, one for each image in x. Reshape y.",
    }[kind]
    fits = y.ndim == 2 and y.shape[1] > 0 if kind == "sets" else y.ndim == 1
    if not fits or len(y) != num or y.dtype.kind not in "uifb":
        raise errors.InputError(f"Got y of shape {y.shape} and type {y.dtype} in {name!r}. Expected {expected}")
    if kind == "classes":
        return _read_classes(y, label_names, name)
    good = np.isfinite(y) if kind == "numbers" else np.isin(y, (0, 1)).all(1)
    names = () if kind == "numbers" else tuple(label_names or map(str, range(y.shape[1])))
    if kind == "sets" and len(names) != y.shape[1]:
        raise errors.InputError(
            f"Got {y.shape[1]} columns of y in {name!r} for the labels {', '.join(map(repr, names))}. Expected one for "
            "each. Correct y, or label_names."
        )
    problems = [
        Finding(
            "label missing" if kind == "numbers" else "label out of range",
            f"{name}, row {row}",
            f"Got y {y[row]!s}. Expected {'a finite number' if kind == 'numbers' else '0 or 1 for each label'}.",
            "Correct y.",
            index=int(row),
        )
        for row in np.flatnonzero(~good)
    ]
    return {
        "label_names": names,
        "labels": np.full(num, -1, np.int64),
        "targets": y.astype(np.float32),
        "problems": tuple(problems),
    }


def _read_classes(y: np.ndarray, label_names: Sequence[str] | None, name: str) -> dict[str, Any]:
    whole = np.isfinite(y) & (y == np.floor(y)) & (y >= 0)
    if label_names is None:
        label_names = [str(label) for label in range(int(y[whole].max(initial=-1)) + 1)]
    usable = whole & (y < len(label_names))
    return {
        "label_names": tuple(label_names),
        "labels": np.where(usable, y, -1).astype(np.int64),
        "problems": tuple(_label_problem(name, row, y[row], len(label_names)) for row in np.flatnonzero(~usable)),
    }


def _label_problem(name: str, row: int, label: np.generic, num_classes: int) -> Finding:
    kind = "label out of range"
    if not np.isfinite(label):
        kind = "label missing"
    elif label != np.floor(label):
        kind = "fractional label"
    return Finding(
        kind,
        f"{name}, row {row}",
        f"Got label {label!s}. Expected a whole number from 0 to {num_classes - 1}.",
        "Number the classes from 0, not from 1." if label == num_classes else "Correct y.",
        index=int(row),
    )


def _inspect(where: str, image: np.ndarray) -> Finding | None:
    if image.dtype.kind == "f" and not np.isfinite(image).all():
        return Finding("not finite", where, "Got NaN or Inf in x. Expected numbers from 0 to 255.", "Correct x.")
    if image.size and (image.min() < 0 or image.max() > 255):
        reason = f"Got values from {image.min():g} to {image.max():g} in x. Expected 0 to 255."
        return Finding("pixels out of range", where, reason, "Scale x to 0 to 255.")
    return None
