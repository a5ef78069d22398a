"""Files of rows with named columns: CSV, TSV, JSON lines, Parquet, and lines of one's own format."""

import csv
import functools
import json
import sys
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from kft import errors
from kft.data import progress, text_lines
from kft.data.conll import WordRecords
from kft.data.records import RowKeys
from kft.data.source import Finding, Source
from kft.data.text_format import TextFormat, line_pattern
from kft.data.texts import from_columns, source_of_records


class Row(NamedTuple):
    """The number of a row in its file, from 1; its values by column; what is wrong with it as a whole."""

    number: int
    values: dict[str, Any]
    problem: tuple[str, str, str] | None = None


def csv_file(path: str, *, label_names: Sequence[str] | None = None, text: TextFormat) -> Source:
    """A file of values with commas between, the names of the columns in its first line, quoted as in RFC 4180."""
    return _read("csv", path, functools.partial(_delimited, delimiter=","), label_names, text)


def tsv_file(path: str, *, label_names: Sequence[str] | None = None, text: TextFormat) -> Source:
    """A file of values with tabs between, the names of the columns in its first line; quotes mean nothing."""
    return _read("tsv", path, functools.partial(_delimited, delimiter="\t"), label_names, text)


def jsonl_file(path: str, *, label_names: Sequence[str] | None = None, text: TextFormat) -> Source:
    """A file with a JSON object in each line."""
    return _read("jsonl", path, _json_lines, label_names, text)


def line_file(path: str, *, label_names: Sequence[str] | None = None, text: TextFormat) -> Source:
    """A file with an example in each line, of the columns that `line_format` tells."""
    return _read(
        "lines", path, functools.partial(_formatted, pattern=line_pattern(text.line_format)), label_names, text
    )


def parquet_file(path: str, *, label_names: Sequence[str] | None = None, text: TextFormat) -> Source:
    """A Parquet file; needs the extra 'text' (pyarrow)."""
    try:
        from pyarrow import ArrowException, parquet
    except ImportError as error:
        raise errors.InputError("Got no pyarrow. Expected the extra 'text'. Run pip install 'kft[text]'.") from error
    text_lines.existing_file(path, what="a Parquet file")
    try:
        file = parquet.ParquetFile(path)
        columns = set(file.schema_arrow.names)
        _check_columns(path, columns, text)
        wanted = [name for name in (*text.texts, text.label) if name in columns]
        table = file.read(columns=wanted)
    except (ArrowException, OSError) as error:
        raise errors.InputError(f"Got {path!r}, which does not read: {error}. Expected a Parquet file.") from error
    values = {name: table[name].to_pylist() for name in wanted}
    return from_columns(
        [values[name] for name in text.texts],
        values.get(text.label),
        keys=RowKeys(path, "row", np.arange(table.num_rows)),
        name=f"parquet:{path}",
        label_names=label_names,
        label_kind=text.labels,
    )


def raw_lines(paths: Sequence[str], *, encoding: str = "utf-8", pair: bool = False, words: bool = False) -> Source:
    """Every line of some files as an example without a label, for prediction; a pair with a tab between.

    Args:
      paths: of text files.
      encoding: of all of them.
      pair: whether an example is two texts.
      words: whether an example is a sentence of words, with spaces between.

    Raises: InputError for a file that is not there.
    """
    columns, keys, problems = ([], []) if pair else ([],), [], []
    for path in paths:
        text_lines.existing_file(path, what="a file of lines")
        wrong: dict[int, Finding] = {}
        for number, line in enumerate(text_lines.decoded_lines(path, encoding, wrong), 1):
            first, tab, second = line.rstrip("\r\n").partition("\t")
            texts = (first, second) if pair else (first + tab + second,)
            for column, value in zip(columns, texts, strict=True):
                column.append(value)
            keys.append((path, number))
            if pair and not tab:
                reason = "Got a line without a tab. Expected two texts with a tab between."
                wrong.setdefault(number, Finding("no pair", f"{path}, line {number}", reason, "Add the second text."))
            if number in wrong:
                problems.append(_at(wrong[number], len(keys) - 1))
    names = _Lines(keys)
    if words:
        records = WordRecords.of([line.split() for line in columns[0]])
        return source_of_records(records, keys=names, name=f"lines:{','.join(paths)}", problems=problems)
    return from_columns(columns, None, keys=names, name=f"lines:{','.join(paths)}", problems=problems)


class _Lines(RowKeys):
    """What lines of several files are called."""

    def __init__(self, places: Sequence[tuple[str, int]]):
        self.places = places

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, index):
        path, number = self.places[index]
        return f"{path}, line {number}"

    def take(self, indices: np.ndarray) -> "_Lines":
        return _Lines([self.places[index] for index in indices])


def _at(finding: Finding, index: int) -> Finding:
    return Finding(finding.kind, finding.where, finding.reason, finding.remedy, index=index)


def _read(kind, path, rows, label_names, text: TextFormat) -> Source:
    text_lines.existing_file(path, what=f"a file of {kind}")
    columns: list[list[Any]] = [[] for _ in text.texts]
    labels, numbers, problems, bad_lines = [], [], [], {}
    known: dict[str, str] = {}
    checked = labelled = False
    with progress.Progress(f"Reading {path}", "lines") as told:
        for number, values, problem in rows(path, text_lines.decoded_lines(path, text.encoding, bad_lines)):
            if not checked and not problem:
                _check_columns(path, values, text)
                checked = True
            labelled = labelled or text.label in values
            for column, name in zip(columns, text.texts, strict=True):
                column.append(values.get(name))
            label = values.get(text.label)
            labels.append(known.setdefault(label, label) if type(label) is str else label)
            numbers.append(number)
            for line in [line for line in bad_lines if line <= number]:
                problems.append(_at(bad_lines.pop(line), len(numbers) - 1))
                problem = None
            if problem:
                kind_of, reason, remedy = problem
                problems.append(Finding(kind_of, f"{path}, line {number}", reason, remedy, index=len(numbers) - 1))
            told.update(len(numbers))
    return from_columns(
        columns,
        labels if labelled else None,
        keys=RowKeys(path, "line", np.array(numbers, np.int64)),
        name=f"{kind}:{path}",
        label_names=label_names,
        label_kind=text.labels,
        problems=problems,
    )


def _check_columns(path, columns, text: TextFormat) -> None:
    """Raises InputError for a column that is not there."""
    for setting, names in (("text_columns", text.texts), ("label_column", (text.label,) * bool(text.label_column))):
        for name in names:
            if name not in columns:
                error = errors.unknown_name("column", name, [column for column in columns if column])
                raise errors.InputError(f"{path}: {error} Name it with --{setting}.")


def _delimited(path: str, lines: Iterator[str], *, delimiter: str) -> Iterator[Row]:
    csv.field_size_limit(min(sys.maxsize, 2**31 - 1))
    quoting = csv.QUOTE_MINIMAL if delimiter == "," else csv.QUOTE_NONE
    reader = csv.reader(lines, delimiter=delimiter, quoting=quoting, strict=True)
    try:
        header = next(reader, None)
        if not header:
            raise errors.InputError(f"Got {path!r} without a first line. Expected the names of the columns there.")
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


def _json_lines(path: str, lines: Iterator[str]) -> Iterator[Row]:
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


def _formatted(path: str, lines: Iterator[str], *, pattern) -> Iterator[Row]:
    for number, line in enumerate(lines, 1):
        line = line.rstrip("\r\n")
        if not line:
            continue
        match = pattern.fullmatch(line)
        reason = f"Got {line[:40]!r}. Expected a line as --line_format tells."
        problem = None if match else ("line does not fit", reason, "Correct the line, or --line_format.")
        yield Row(number, match.groupdict() if match else dict.fromkeys(pattern.groupindex), problem)
