"""Errors that say what was got, what is expected and what to do."""

import difflib
from collections.abc import Iterable


class InputError(ValueError):
    """Something that the user gave cannot be used.

    The text has three parts: what was got, what is expected, what to do. The binaries print it and end
    with exit code 2, before the first step.
    """


class NonFiniteError(ArithmeticError):
    """A gradient was NaN or infinite; the step that it belongs to changed nothing, and the run ends there."""


def unknown_name(what: str, got: str, expected: Iterable[str]) -> InputError:
    """The error for a name that is in no table, with the nearest name that is.

    Args:
      what: what is named, such as "backbone".
      got: the name as it was given.
      expected: the names that are known.

    Returns: the error, to be raised.

    Example:
      >>> print(unknown_name("backbone", "resnet5O", ["resnet50", "resnet101"]))
      Got backbone 'resnet5O'. Expected one of: 'resnet101', 'resnet50'. Did you mean 'resnet50'?
    """
    names = sorted(expected)
    text = f"Got {what} {got!r}. Expected one of: {', '.join(map(repr, names))}."
    near = difflib.get_close_matches(got, names, n=1)
    if near:
        text += f" Did you mean {near[0]!r}?"
    return InputError(text)


def not_available_yet(what: str, got: object, instead: str) -> InputError:
    """The error for a setting that has a name but nothing behind it yet.

    Args:
      what: the setting, such as "--ema".
      got: its value.
      instead: what to do, a full sentence.
    """
    return InputError(f"Got {what}={got!r}, which is not available yet. {instead}")
