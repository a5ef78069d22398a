"""Images that a table names or holds, with their labels: CSV, TSV, JSON lines, Parquet."""

import functools
import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from kft import errors
from kft.data import check_memory, image_source, table_rows, text_lines
from kft.data.data_root import safe_path
from kft.data.image_format import ImageFormat
from kft.data.records import RowKeys
from kft.data.source import Finding, Source
from kft.data.text_files import open_parquet


def csv_file(path: str, *, label_names: Sequence[str] | None = None, images: ImageFormat) -> Source:
    """A file of values with commas between, the names of the columns in its first line: paths of images, labels."""
    return _read("csv", path, functools.partial(table_rows.delimited, delimiter=","), label_names, images)


def tsv_file(path: str, *, label_names: Sequence[str] | None = None, images: ImageFormat) -> Source:
    """The same with tabs between; quotes mean nothing."""
    return _read("tsv", path, functools.partial(table_rows.delimited, delimiter="\t"), label_names, images)


def jsonl_file(path: str, *, label_names: Sequence[str] | None = None, images: ImageFormat) -> Source:
    """A file with a JSON object in each line: the path of an image, its label."""
    return _read("jsonl", path, table_rows.json_lines, label_names, images)


def parquet_file(path: str, *, label_names: Sequence[str] | None = None, images: ImageFormat) -> Source:
    """A Parquet file of image files as bytes (or objects with their "bytes"), or of paths; needs pyarrow.

    Bytes stay in memory as they are in the file, not decoded.
    """
    table = open_parquet(path, images.required, (images.image, images.label))
    name, keys = f"parquet:{path}", RowKeys(path, "row", np.arange(table.num_rows))
    labels = table[images.label].to_pylist() if images.label in table.column_names else None
    column = table[images.image]
    if str(column.type) in ("string", "large_string"):
        return _of_paths(name, path, column.to_pylist(), labels, keys, [], label_names, images)
    chunks = [_bytes_of(path, images, chunk) for chunk in column.chunks]
    ends = np.cumsum([len(chunk) for chunk in chunks])

    def read(index: int) -> bytes:
        place = int(np.searchsorted(ends, index, side="right"))
        return chunks[place][index - (int(ends[place - 1]) if place else 0)].as_py() or b""

    problems = [
        _missing(keys[start + place], start + place)
        for start, chunk in zip([0, *ends.tolist()], chunks)
        for place in np.flatnonzero(np.asarray(chunk.is_null()))
    ]
    read_labels = _labels(labels, keys, label_names, images)
    return image_source.source_of_bytes(
        name,
        read,
        keys,
        read_labels.label_names,
        read_labels.labels,
        stamp=lambda index: check_memory.stamp(path, f"{images.image}\0{index}"),
        targets=read_labels.targets,
        problems=_with_labels(problems, read_labels.problems),
    )


def _bytes_of(path: str, images: ImageFormat, chunk: Any) -> Any:
    """The bytes in a part of a column, which may stand in objects, as Hugging Face's data sets have them."""
    from pyarrow import types

    kind = chunk.type
    if types.is_struct(kind) and kind.get_field_index("bytes") >= 0:
        chunk = chunk.field("bytes")
    if not (types.is_binary(chunk.type) or types.is_large_binary(chunk.type)):
        raise errors.InputError(
            f"Got the column {images.image!r} of type {kind} in {path!r}. Expected bytes of image files, objects with "
            "'bytes', or paths. Name another with image_column."
        )
    return chunk


def _read(
    kind: str,
    path: str,
    rows: Callable[[str, Iterator[str]], Iterator[table_rows.Row]],
    label_names: Sequence[str] | None,
    images: ImageFormat,
) -> Source:
    text_lines.existing_file(path, what=f"a file of {kind}")
    read = table_rows.read_columns(
        path, rows, encoding=images.encoding, required=images.required, optional=images.optional
    )
    labels, keys = read.values[images.label], RowKeys(path, "line", read.numbers)
    return _of_paths(
        f"{kind}:{path}", path, read.values[images.image], labels, keys, read.problems, label_names, images
    )


def _of_paths(name, file, values, labels, keys, problems, label_names, images: ImageFormat) -> Source:
    root = images.data_root or os.path.dirname(file) or "."
    paths, wrong = [], {finding.index for finding in problems}
    problems = list(problems)
    for index, value in enumerate(values):
        path, problem = "", None
        if index in wrong:
            pass
        elif not isinstance(value, str) or not value.strip():
            problem = _missing(keys[index], index)
        else:
            try:
                path = safe_path(root, value)
            except errors.InputError as error:
                reason, remedy = str(error).rsplit(". ", 1)
                problem = Finding(image_source.OUTSIDE, keys[index], f"{reason}.", remedy, index=index)
        if problem:
            problems.append(problem)
        paths.append(path)
    read = _labels(labels, keys, label_names, images)
    names = [path or keys[index] for index, path in enumerate(paths)]
    return image_source.source_of_files(
        name,
        paths,
        read.label_names,
        read.labels,
        targets=read.targets,
        keys=names,
        problems=_with_labels(problems, read.problems),
    )


def _labels(values, keys, label_names, images: ImageFormat):
    return image_source.labels_of(values, len(keys), kind=images.labels, label_names=label_names, key=keys.__getitem__)


def _with_labels(problems: Sequence[Finding], of_labels: Sequence[Finding]) -> list[Finding]:
    wrong = {finding.index for finding in problems}
    return [*problems, *(finding for finding in of_labels if finding.index not in wrong)]


def _missing(where: str, index: int) -> Finding:
    reason = "Got no image. Expected its path, or its bytes."
    return Finding(image_source.IMAGE_MISSING, where, reason, "Add it, or leave the row out.", index=index)
