"""Rows of files with named columns, one after the other; and all of some of their columns."""

import csv
import dataclasses
import json
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from kft import errors
from kft.data import progress, text_lines
from kft.data.source import Finding


class Row(NamedTuple):
    """The number of a row in its file, from 1; its values by column; what is wrong with it as a whole."""

    number: int
    values: dict[str, Any]
    problem: tuple[str, str, str] | None = None


class Columns(NamedTuple):
    """The columns of a file, each with a value for each row; None for one that no row has."""

    values: dict[str, list[Any] | None]
    numbers: np.ndarray
    problems: list[Finding]


def read_columns(
    path: str,
    rows: Callable[[str, Iterator[str]], Iterator[Row]],
    *,
    encoding: str,
    required: Mapping[str, Sequence[str]],
    optional: Sequence[str] = (),
) -> Columns:
    """Reads some columns of a file.

    Args:
      path: of a file that is there.
      rows: function of the path and its lines, such as `delimited`.
      encoding: of the file.
      required: names of columns by the setting that names them, for the error.
      optional: names of columns that may be missing.

    Raises: InputError for a required column that is not there.
    """
    names = [*(name for names in required.values() for name in names), *optional]
    values: dict[str, list[Any]] = {name: [] for name in names}
    numbers, problems, bad_lines, known, found = [], [], {}, {}, set()
    repeated = {*optional, *required.get("label_column", ())}
    checked = False
    with progress.Progress(f"Reading {path}", "lines") as told:
        for number, row, problem in rows(path, text_lines.decoded_lines(path, encoding, bad_lines)):
            if not checked and not problem:
                check_columns(path, row, required)
                checked = True
            found.update(name for name in optional if name in row)
            for name, column in values.items():
                value = row.get(name)
                column.append(known.setdefault(value, value) if name in repeated and type(value) is str else value)
            numbers.append(number)
            for line in [line for line in bad_lines if line <= number]:
                problems.append(dataclasses.replace(bad_lines.pop(line), index=len(numbers) - 1))
                problem = None
            if problem:
                kind_of, reason, remedy = problem
                problems.append(Finding(kind_of, f"{path}, line {number}", reason, remedy, index=len(numbers) - 1))
            told.update(len(numbers))
    absent = {name: None for name in optional if name not in found}
    return Columns({**values, **absent}, np.array(numbers, np.int64), problems)


def check_columns(path: str, columns: Any, required: Mapping[str, Sequence[str]], *, what: str = "column") -> None:
    """Raises InputError for a column (or `what` it is) that is not there; `required` as of `read_columns`."""
    for setting, names in required.items():
        for name in names:
            if name not in columns:
                error = errors.unknown_name(what, name, [column for column in columns if column])
                raise errors.InputError(f"{path}: {error} Name it with {setting}.")


def delimited(path: str, lines: Iterator[str], *, delimiter: str) -> Iterator[Row]:
    """Rows of values, the names of the columns in the first; with commas quoted as in RFC 4180, with tabs not."""
    csv.field_size_limit(min(sys.maxsize, 2**31 - 1))
    quoting = csv.QUOTE_MINIMAL if delimiter == "," else csv.QUOTE_NONE
    reader = csv.reader(lines, delimiter=delimiter, quoting=quoting, strict=True)
    try:
        header = next(reader, None)
        if not header:
            raise errors.InputError(f"Got {path!r} without a first line. Expected the names of the columns. Add it.")
        end = reader.line_num
        for values in reader:
            number, end = end + 1, reader.line_num
            if not values:
                continue
            problem = None
            if len(values) != len(header):
                problem = (
                    "columns do not fit",
                    f"Got {len(values)} values. Expected {len(header)}, as in the first line.",
                    "Quote values with a comma or a line end in them." if delimiter == "," else "Correct the line.",
                )
            yield Row(number, dict(zip(header, values)), problem)
    except csv.Error as error:
        raise errors.InputError(
            f"Got {path!r}, which line {reader.line_num} makes no table: {error}. Expected quotes in pairs. Correct it."
        ) from error


def json_lines(path: str, lines: Iterator[str]) -> Iterator[Row]:
    """A JSON object in each line; empty lines are passed over."""
    del path
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            values = json.loads(line)
            problem = None
        except ValueError as error:
            values, problem = (
                {},
                ("not JSON", f"Got a line that is no JSON: {error}. Expected an object.", "Correct it."),
            )
        if not isinstance(values, dict):
            reason = f"Got {line.strip()[:40]!r}. Expected an object in each line."
            values, problem = {}, ("not JSON", reason, "Correct it.")
        yield Row(number, values, problem)


def formatted(path: str, lines: Iterator[str], *, pattern: re.Pattern[str]) -> Iterator[Row]:
    """A row in each line, of the columns that the groups of a pattern name."""
    del path
    for number, line in enumerate(lines, 1):
        line = line.rstrip("\r\n")
        if not line:
            continue
        match = pattern.fullmatch(line)
        reason = f"Got {line[:40]!r}. Expected a line as line_format tells."
        problem = None if match else ("line does not fit", reason, "Correct the line, or line_format.")
        yield Row(number, match.groupdict() if match else dict.fromkeys(pattern.groupindex), problem)
