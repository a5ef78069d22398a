"""Labels as they stand in files and lists, read as classes, sets of classes or numbers."""

import math
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from kft.data.source import Finding

_WHOLE = re.compile(r"[+-]?\d+(\.0*)?")
_FRACTION = re.compile(r"[+-]?\d*\.\d*[1-9]\d*")
_MISSING = ("", "nan", "none", "null")
_BETWEEN = ","


class Labels(NamedTuple):
    """What a source holds of its labels; `targets` is None for classes, and `labels` is -1 for everything else."""

    label_names: tuple[str, ...]
    labels: np.ndarray
    targets: np.ndarray | None
    problems: tuple[Finding, ...]


def as_classes(values: Sequence[Any], label_names: Sequence[str] | None, key: Callable[[int], str]) -> Labels:
    """One class for each example, named by its text.

    Names that are all whole numbers are sorted as numbers, others as text. Where `label_names` are given and none of
    them is a number, whole numbers are places in them.

    Args:
      values: text or whole numbers.
      label_names: the classes of the training data; what else is found become further ones, which the pre-flight
        refuses.
      key: index -> what the example is called.

    Example:
      >>> as_classes(["10", "9", "10"], None, str)[:2]
      (('9', '10'), array([1, 0, 1]))
    """
    problems, places, labels = [], {}, np.full(len(values), -1, np.int64)
    by_place = label_names is not None and not any(_WHOLE.fullmatch(name) for name in label_names)
    known = {} if label_names is None else {name: place for place, name in enumerate(label_names)}
    num_given = len(known)
    for index, value in enumerate(values):
        text = value if type(value) is str else _text(value)
        place = known.get(text)
        if place is None:
            problem = _class_problem(text)
            if problem is None and by_place and _WHOLE.fullmatch(text):
                place = int(float(text))
                if not 0 <= place < num_given:
                    problem = _out_of_range(text, label_names)
            if problem:
                problems.append(_finding(problem, key(index), index))
                continue
            if place is None:
                text = _whole(text)
                place = known.setdefault(text, len(known))
        labels[index] = place
    names = tuple(known)
    if label_names is None:
        numbers = all(map(_WHOLE.fullmatch, names))
        ordered = tuple(sorted(names, key=int if numbers else str))
        places = {name: place for place, name in enumerate(ordered)}
        labels = np.array([*(places[name] for name in names), -1], np.int64)[labels]
        names = ordered
    return Labels(names, labels, None, tuple(problems))


def as_sets(values: Sequence[Any], label_names: Sequence[str] | None, key: Callable[[int], str]) -> Labels:
    """Any number of classes for each example: targets (num_examples, num_classes) float32 of 0 and 1.

    Args:
      values: a list of names, or text with commas between them, "" for none.
      label_names, key: as of `as_classes`.
    """
    problems, rows = [], []
    for index, value in enumerate(values):
        if value is None or (isinstance(value, float) and math.isnan(value)):
            problem = ("label missing", "Got no label. Expected a list of names.", "Give [] for none of them.")
            problems.append(_finding(problem, key(index), index))
            value = ""
        parts = value.split(_BETWEEN) if isinstance(value, str) else value
        parts = parts if isinstance(parts, Iterable) else [parts]
        rows.append([name for part in parts if (name := _whole(_text(part).strip()))])
    found = {name for row in rows for name in row}
    if label_names is None:
        names = tuple(sorted(found, key=int if all(map(_WHOLE.fullmatch, found)) else str))
    else:
        names = (*label_names, *sorted(found - set(label_names)))
    places = {name: place for place, name in enumerate(names)}
    targets = np.zeros((len(rows), len(names)), np.float32)
    for index, row in enumerate(rows):
        targets[index, [places[name] for name in row]] = 1
    return Labels(names, np.full(len(rows), -1, np.int64), targets, tuple(problems))


def as_numbers(values: Sequence[Any], label_names: Sequence[str] | None, key: Callable[[int], str]) -> Labels:
    """A number for each example: targets (num_examples,) float32; 0 where there is none, which is a problem.

    Args:
      values: numbers, or their text.
      label_names: not used.
      key: as of `as_classes`.
    """
    problems, targets = [], np.zeros(len(values), np.float32)
    for index, value in enumerate(values):
        try:
            number = float(value)
        except (TypeError, ValueError):
            number = math.nan
        if math.isfinite(number):
            targets[index] = number
            continue
        kind = "label missing" if _text(value).strip().lower() in _MISSING else "label is no number"
        problem = (kind, f"Got label {value!r}. Expected a finite number.", "Correct it, or leave the row out.")
        problems.append(_finding(problem, key(index), index))
    return Labels((), np.full(len(values), -1, np.int64), targets, tuple(problems))


READERS = {"classes": as_classes, "sets": as_sets, "numbers": as_numbers}


def _class_problem(text: str) -> tuple[str, str, str] | None:
    if text.strip().lower() in _MISSING:
        return "label missing", f"Got label {text!r}. Expected the name of a class.", "Add it, or leave the row out."
    if _FRACTION.fullmatch(text):
        return (
            "fractional label",
            f"Got label {text!r}. Expected a name or a whole number.",
            "Correct it; to learn numbers, use the task 'regression'.",
        )
    return None


def _out_of_range(text: str, label_names: Sequence[str]) -> tuple[str, str, str]:
    reason = f"Got label {text}. Expected a name of a class, or a whole number from 0 to {len(label_names) - 1}."
    one_based = int(float(text)) == len(label_names)
    return "label out of range", reason, "Number the classes from 0, not from 1." if one_based else "Correct it."


def _finding(problem: tuple[str, str, str], where: str, index: int) -> Finding:
    kind, reason, remedy = problem
    return Finding(kind, where, reason, remedy, index=index)


def _text(value: Any) -> str:
    if isinstance(value, (bool, np.bool_)):
        return str(bool(value)).lower()
    return "" if value is None else _whole(str(value))


def _whole(text: str) -> str:
    """The text, less the point of a whole number; pandas makes whole numbers floats where one is missing."""
    return text.partition(".")[0] if "." in text and _WHOLE.fullmatch(text) else text
