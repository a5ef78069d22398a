"""What one setting of a run is: its default, help, unit, limits and names."""

import dataclasses
import types
import typing
from collections.abc import Mapping
from typing import Any

from kft import errors, tables

TYPES = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}
WRITTEN = {
    "duration": "a length such as '10 epochs' (steps, epochs, examples, percent, minutes)",
    "options": "name=value,name=value",
    "data": "kind:place, such as 'folder:DIR'",
    "amount": "a whole number, alone or with 'per class'",
    "recipe": "a name, or name(argument)",
    "backbone": "a name, or python:package.module:function",
}


def setting(
    default: Any,
    help: str,
    *,
    unit: str = "",
    limits: str = "",
    choices: tuple[str, ...] | str = (),
) -> Any:
    """A field of a settings dataclass.

    Args:
      default: bool, int, float, str, or a tuple of int or str.
      help: one or two sentences, for `--help` and the docs.
      unit: what a number counts, such as "pixels"; or how a text is written, a key of WRITTEN.
      limits: the interval that numbers lie in, such as "[0, 1)" or "(0, inf)".
      choices: the names a text (or each member of a tuple) may have; or the place of a table that holds them,
        such as "kft.optimizers:OPTIMIZERS".
    """
    metadata = {"help": help, "unit": unit, "limits": limits, "choices": choices}
    return dataclasses.field(default=default, metadata=types.MappingProxyType(metadata))


@dataclasses.dataclass(frozen=True)
class Leaf:
    """One setting with its place in the config.

    Args:
      room: the field of RunConfig that holds it, such as "optimizers".
      name: its own name, which is the flag's.
      type: bool, int, float, str or tuple.
      item: the type of a tuple's members, else None.
      default: its default.
      metadata: what `setting` was given.
    """

    room: str
    name: str
    type: type
    item: type | None
    default: Any
    metadata: Mapping[str, Any]

    @classmethod
    def of(cls, room: str, field: dataclasses.Field) -> "Leaf":
        """Reads a field that `setting` made."""
        item = typing.get_args(field.type)[0] if typing.get_origin(field.type) is tuple else None
        return cls(room, field.name, tuple if item else field.type, item, field.default, field.metadata)

    @property
    def expected(self) -> str:
        """What a value of this setting looks like, for errors, `--help` and the docs."""
        unit, limits = self.metadata["unit"], self.metadata["limits"]
        if unit in WRITTEN:
            return WRITTEN[unit]
        text = TYPES[self.item or self.type] + (f" of {unit}" if unit else "") + (f" in {limits}" if limits else "")
        return f"{text}, several with a comma between them" if self.item else text

    def names(self) -> tuple[str, ...]:
        """The names that a value may have, from the setting or from the table of its room; () for free text."""
        choices = self.metadata["choices"]
        return tuple(tables.load_place(choices)) if isinstance(choices, str) else choices

    def parse(self, text: str) -> Any:
        """The value that a person wrote, such as "256,128" for a tuple of int; "none" is the empty tuple.

        Raises: InputError if the text is not of the setting's type.
        """
        try:
            if self.type is tuple:
                parts = [] if text.strip() in ("", "none") else text.split(",")
                return tuple(self.item(part.strip()) for part in parts)
            if self.type is bool:
                return {"true": True, "false": False}[text.strip().lower()]
            return self.type(text)
        except (KeyError, ValueError):
            raise self.error(text) from None

    def unparse(self, value: Any) -> str:
        """The text that `parse` reads back as the same value."""
        if self.type is tuple:
            return ",".join(map(str, value))
        return str(value).lower() if self.type is bool else str(value)

    def convert(self, value: Any) -> Any:
        """The value in the setting's own type: a list as a tuple, a whole number as a float; nothing else changes.

        Raises: InputError if the value is not of the setting's type.
        """
        if self.type is tuple and isinstance(value, (list, tuple)):
            if all(type(part) is self.item for part in value):
                return tuple(value)
        elif self.type is float and type(value) is int:
            return float(value)
        elif type(value) is self.type:
            return value
        raise self.error(value)

    def error(self, got: Any) -> errors.InputError:
        """The error for a value that the setting cannot have."""
        return errors.InputError(f"Got {self.name}={got!r}. Expected {self.expected}. Correct the value.")
