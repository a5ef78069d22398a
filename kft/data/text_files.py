"""Files of rows with named columns: CSV, TSV, JSON lines, Parquet, and lines of one's own format."""

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from kft import errors
from kft.data import table_rows, text_lines
from kft.data.records import RowKeys
from kft.data.source import Finding, Source
from kft.data.text_format import TextFormat, line_pattern
from kft.data.texts import from_columns


def csv_file(path: str, *, label_names: Sequence[str] | None = None, text: TextFormat) -> Source:
    """A file of values with commas between, the names of the columns in its first line, quoted as in RFC 4180."""
    return _read("csv", path, functools.partial(table_rows.delimited, delimiter=","), label_names, text)


def tsv_file(path: str, *, label_names: Sequence[str] | None = None, text: TextFormat) -> Source:
    """A file of values with tabs between, the names of the columns in its first line; quotes mean nothing."""
    return _read("tsv", path, functools.partial(table_rows.delimited, delimiter="\t"), label_names, text)


def jsonl_file(path: str, *, label_names: Sequence[str] | None = None, text: TextFormat) -> Source:
    """A file with a JSON object in each line."""
    return _read("jsonl", path, table_rows.json_lines, label_names, text)


def line_file(path: str, *, label_names: Sequence[str] | None = None, text: TextFormat) -> Source:
    """A file with an example in each line, of the columns that `line_format` tells."""
    return _read(
        "lines",
        path,
        functools.partial(table_rows.formatted, pattern=line_pattern(text.line_format)),
        label_names,
        text,
    )


def parquet_file(path: str, *, label_names: Sequence[str] | None = None, text: TextFormat) -> Source:
    """A Parquet file; needs the extra 'text' (pyarrow)."""
    wanted = [*text.texts, text.label]
    table = open_parquet(path, _required(text), wanted)
    values = {name: table[name].to_pylist() for name in table.column_names}
    return from_columns(
        [values[name] for name in text.texts],
        values.get(text.label),
        keys=RowKeys(path, "row", np.arange(table.num_rows)),
        name=f"parquet:{path}",
        label_names=label_names,
        label_kind=text.labels,
    )


def open_parquet(path: str, required: Mapping[str, Sequence[str]], wanted: Sequence[str]) -> Any:
    """The wanted columns of a Parquet file, those that are there; `required` as of `table_rows.read_columns`.

    Returns: pyarrow.Table.
    Raises: InputError without pyarrow, for a file that does not read, and a required column that is not there.
    """
    try:
        from pyarrow import ArrowException, parquet
    except ImportError as error:
        raise errors.InputError(
            "Got no pyarrow. Expected the extra 'text'. Run pip install --use-pep517 'kft[text]'."
        ) from error
    text_lines.existing_file(path, what="a Parquet file")
    try:
        file = parquet.ParquetFile(path)
        columns = set(file.schema_arrow.names)
        table_rows.check_columns(path, columns, required)
        return file.read(columns=[name for name in dict.fromkeys(wanted) if name in columns])
    except (ArrowException, OSError) as error:
        raise errors.InputError(
            f"Got {path!r}, which does not read: {error}. Expected a Parquet file. Use an intact copy."
        ) from error


def raw_lines(paths: Sequence[str], *, encoding: str = "utf-8", pair: bool = False) -> Source:
    """Every line of some files as an example without a label, for prediction; a pair with a tab between.

    Args:
      paths: of text files.
      encoding: of all of them.
      pair: whether an example is two texts.

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
    read = table_rows.read_columns(
        path, rows, encoding=text.encoding, required=_required(text), optional=(text.label,) * (not text.label_column)
    )
    return from_columns(
        [read.values[name] for name in text.texts],
        read.values[text.label],
        keys=RowKeys(path, "line", read.numbers),
        name=f"{kind}:{path}",
        label_names=label_names,
        label_kind=text.labels,
        problems=read.problems,
    )


def _required(text: TextFormat) -> dict[str, tuple[str, ...]]:
    return {"text_columns": text.texts, "label_column": (text.label,) * bool(text.label_column)}
