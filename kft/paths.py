"""First-match rules over variable paths: the one idea behind freezing, scales and re-initialisation."""

import re
from collections.abc import Iterable, Sequence
from typing import TypeVar

from kft import errors

T = TypeVar("T")
Rules = Sequence[tuple[str, T]]


def assign(paths: Iterable[str], rules: Rules[T], *, what: str) -> dict[str, T]:
    """Gives every path the value of the first rule that matches it.

    Args:
      paths: variable paths, such as "block_1_expand/kernel".
      rules: (pattern for `re.fullmatch`, value); the first match wins.
      what: what the values are, for the error, such as "learning-rate scale".

    Returns: path -> value, for every path.
    Raises: InputError for a path without a rule and for a rule that is the first match of no path.

    Example:
      >>> assign(["stem/kernel", "head/kernel"], [("head/.*", 1.0), (".*", 0.1)], what="scale")
      {'stem/kernel': 0.1, 'head/kernel': 1.0}
    """
    compiled = [(_compile(pattern, what), value) for pattern, value in rules]
    used = set()
    values = {}
    missing = []
    for path in paths:
        for index, (pattern, value) in enumerate(compiled):
            if pattern.fullmatch(path):
                used.add(index)
                values[path] = value
                break
        else:
            missing.append(path)
    if missing:
        raise errors.InputError(
            f"Got no {what} for {_some(missing)}. Expected the rules to cover every variable. "
            "Add a rule, such as ('.*', value) at the end."
        )
    for index, (pattern, _) in enumerate(rules):
        if index not in used:
            raise errors.InputError(
                f"Got {what} rule {pattern!r}, which is the first match of no variable. Expected every rule "
                f"to take at least one of {_some(values)}. Correct the pattern, or move it up."
            )
    return values


def select(paths: Iterable[str], patterns: Sequence[str], *, what: str) -> list[str]:
    """The paths that match any of the patterns, in their own order.

    Args:
      paths: variable paths.
      patterns: for `re.fullmatch`.
      what: what is selected, for the error.

    Raises: InputError for a pattern that matches no path.
    """
    paths = list(paths)
    compiled = [_compile(pattern, what) for pattern in patterns]
    for pattern in compiled:
        if not any(map(pattern.fullmatch, paths)):
            raise errors.InputError(
                f"Got {what} pattern {pattern.pattern!r}, which matches no variable. Expected it to match at "
                f"least one of {_some(paths)}. `experiments.describe` lists every path."
            )
    return [path for path in paths if any(pattern.fullmatch(path) for pattern in compiled)]


def _compile(pattern: str, what: str) -> re.Pattern[str]:
    try:
        return re.compile(pattern)
    except re.error as error:
        raise errors.InputError(
            f"Got {what} pattern {pattern!r}. Expected a regular expression; {error}. Escape special characters."
        ) from error


def _some(paths: Iterable[str], most: int = 5) -> str:
    paths = list(paths)
    more = f" and {len(paths) - most} more" if len(paths) > most else ""
    return ", ".join(map(repr, paths[:most])) + more
