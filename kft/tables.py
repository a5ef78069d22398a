"""Tables from a name to the place of a function, so that names can be listed without importing TensorFlow."""

import importlib
from collections.abc import Callable, Mapping
from typing import Any

from kft import errors


def load_place(place: str) -> Any:
    """Imports what a place such as "kft.optimizers.adam:Adam" names."""
    module, _, attribute = place.partition(":")
    return getattr(importlib.import_module(module), attribute)


def lookup(table: Mapping[str, str], name: str, *, what: str) -> Any:
    """The member of a room that a user named.

    Args:
      table: name -> place, "module:attribute".
      name: the user's word.
      what: what the table holds, for the error.

    Raises: InputError for a name that is not in the table, with the nearest one that is.
    """
    if name not in table:
        raise errors.unknown_name(what, name, table)
    return load_place(table[name])


def lazy_attributes(module: str, table: Mapping[str, str]) -> Callable[[str], Any]:
    """A module's `__getattr__` that imports public names when they are first used.

    Args:
      module: the module's `__name__`.
      table: public name -> place.
    """

    def getattribute(name: str) -> Any:
        if name not in table:
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        return load_place(table[name])

    return getattribute
