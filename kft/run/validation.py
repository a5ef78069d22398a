"""What can be said against a config before anything is read or built."""

import math
from collections.abc import Sequence
from typing import Any

from kft import errors
from kft.data.few_examples import parse_amount
from kft.duration import Duration
from kft.models import PREFIXES
from kft.run.config import LEAVES, RunConfig, flat
from kft.run.config_text import REDACTED
from kft.run.setting import Leaf


def validate(config: RunConfig, *, required: Sequence[str] = ()) -> None:
    """Checks every setting: its type, its limits, its names, and whether there is something behind it yet.

    Args:
      config: RunConfig.
      required: names of settings that may not be empty, such as "workdir" and "train_data".

    Raises: InputError with all problems, one a line.
    """
    values = flat(config)
    problems = [f"Got no {name}. Expected a value. Give it as --{name}=..." for name in required if not values[name]]
    for name, leaf in LEAVES.items():
        try:
            check_value(leaf, values[name])
        except errors.InputError as error:
            problems.append(str(error))
    if problems:
        raise errors.InputError("\n".join(problems))


def check_value(leaf: Leaf, value: Any) -> None:
    """Raises InputError if a setting cannot have this value, ."""
    value = leaf.convert(value)
    if value == leaf.default and leaf.metadata["unit"] != "data":
        return
    for part in value if leaf.type is tuple else (value,):
        if isinstance(part, str):
            _check_text(leaf, part)
        elif not isinstance(part, bool) and not _inside(part, leaf.metadata["limits"]):
            raise leaf.error(value)
    if leaf.type is tuple and leaf.item is str and len(set(value)) < len(value):
        raise errors.InputError(f"Got {leaf.name}={value!r}. Expected each name once. Leave out what is there twice.")


def parse_options(text: str, *, what: str) -> dict[str, bool | int | float | str]:
    """Reads "name=value,name=value"; a value is true, false, a whole number, a number, or else text.

    Args:
      text: as it was written; empty for no options.
      what: the setting, for the error.

    Raises: InputError for a part without "=", a name that is none, and a name that is there twice.
    Example:
      >>> parse_options("beta_2=0.98,bias_correction=false", what="optimizer_options")
      {'beta_2': 0.98, 'bias_correction': False}
    """
    options = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, equals, value = (piece.strip() for piece in part.partition("="))
        if not equals or not name.isidentifier() or name in options:
            raise errors.InputError(
                f"Got {what}={text!r}, with {part!r} in it. Expected name=value,name=value, each name once. Correct it."
            )
        options[name] = _option_value(value)
    return options


def _check_text(leaf: Leaf, text: str) -> None:
    if REDACTED in text:
        raise errors.InputError(
            f"Got {leaf.name}={text!r}. Expected the secret that was left out when this was written. "
            f"Give --{leaf.name} again."
        )
    if not text.isprintable() or text != text.strip():
        raise errors.InputError(
            f"Got {leaf.name}={text!r}. Expected printable text without spaces around it. Correct the value."
        )
    unit = leaf.metadata["unit"]
    try:
        if unit == "duration":
            Duration.parse(text)
        elif unit == "options":
            parse_options(text, what="options")
        elif unit == "amount" and text:
            parse_amount(text)
        elif unit == "data" and text:
            _check_data(leaf, text)
    except errors.InputError as error:
        raise errors.InputError(f"--{leaf.name}: {error}") from None
    names = leaf.names()
    name = text.partition("(")[0].strip() if unit == "recipe" else text
    if names and name not in names and not (unit == "backbone" and name.startswith(tuple(PREFIXES))):
        raise errors.unknown_name(leaf.name, name, names)


def _check_data(leaf: Leaf, text: str) -> None:
    from kft.data import IMAGE_SOURCES, SOURCES, TEXT_SOURCES

    kinds = {**SOURCES, **IMAGE_SOURCES, **TEXT_SOURCES}
    kind, colon, _ = text.partition(":")
    if not colon:
        raise errors.InputError(f"Got {text!r}. Expected {leaf.expected}. For a folder of images, use 'folder:{text}'.")
    if kind not in kinds:
        raise errors.unknown_name("kind of data", kind, kinds)


def _option_value(text: str) -> bool | int | float | str:
    for read in (int, float):
        try:
            return read(text)
        except ValueError:
            pass
    return {"true": True, "false": False}.get(text.lower(), text)


def _inside(number: float, limits: str) -> bool:
    if not math.isfinite(number):
        return False
    if not limits:
        return True
    low, high = (float(end) for end in limits[1:-1].split(","))
    return (number >= low if limits[0] == "[" else number > low) and (
        number <= high if limits[-1] == "]" else number < high
    )
