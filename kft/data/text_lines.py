"""Lines of a file, decoded one by one, so that a byte that does not decode is told by file, line and byte."""

import codecs
import difflib
import os
from collections.abc import Iterator

from kft import errors
from kft.data.source import Finding

_UNITS_OF_MORE_BYTES = ("utf-16", "utf-32")


def existing_file(path: str, *, what: str) -> str:
    """The path, of a file that is there.

    Args:
      path: of a file.
      what: it should be, for the error.

    Raises: InputError with the nearest name in the folder.
    """
    if os.path.isfile(path):
        return path
    folder, name = os.path.split(path)
    near = difflib.get_close_matches(name, os.listdir(folder or "."), n=1) if os.path.isdir(folder or ".") else []
    hint = f"Did you mean {os.path.join(folder, near[0])!r}?" if near else "Correct the path."
    raise errors.InputError(f"Got {path!r}, which is not there. Expected {what}. {hint}")


def decoded_lines(path: str, encoding: str, problems: dict[int, Finding]) -> Iterator[str]:
    """The lines of a file, each with its end, "\\n" or "\\r\\n".

    Args:
      path: of a file that is there.
      encoding: as Python names it.
      problems: takes what is wrong, by the number of the line from 1; such a line is given with replacements.

    Raises: InputError for UTF-16 or UTF-32 that does not decode, as lines cannot be told apart then.
    """
    name = codecs.lookup(encoding).name
    if name.startswith(_UNITS_OF_MORE_BYTES):
        try:
            with open(path, encoding=name, newline="\n") as stream:
                yield from stream
        except UnicodeError as error:
            raise errors.InputError(
                f"Got {path!r}, which is not {encoding}: {error}. Expected text of this encoding. Give the file's own."
            ) from error
        return
    with open(path, "rb") as stream:
        for number, line in enumerate(stream, 1):
            if number == 1 and name == "utf-8" and line.startswith(codecs.BOM_UTF8):
                line = line[len(codecs.BOM_UTF8) :]
            try:
                yield line.decode(name)
            except UnicodeDecodeError as error:
                problems[number] = Finding(
                    f"not {encoding}",
                    f"{path}, line {number}, byte {error.start + 1}",
                    f"Got the byte 0x{line[error.start]:02x}, which is not {encoding} there. Expected {encoding}.",
                    "Give the file's own encoding (latin-1 takes every byte), or convert the file.",
                )
                yield line.decode(name, "replace")
