"""Texts and labels from Python lists, or columns of them."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from kft import errors
from kft.data import text_labels
from kft.data.records import Records, RowKeys, TextRecords, Texts, normalized
from kft.data.source import Finding, Source
from kft.data.text_format import LABEL_KINDS


def from_texts(
    texts: Sequence[Any],
    labels: Sequence[Any] | None = None,
    *,
    label_names: Sequence[str] | None = None,
    label_kind: str = "classes",
    name: str = "texts",
) -> Source:
    """Texts, or pairs of texts, and their labels, in memory.

    Args:
      texts: strings, or (first, second) each. None and NaN are noted for the pre-flight.
      labels: one for each: for "classes" a name or a whole number, for "sets" a list of names, for "numbers" a number.
        None for texts without labels.
      label_names: of the classes; those found, sorted, where not given. Whole numbers are places in them.
      label_kind: "classes", "sets" or "numbers".
      name: what messages call it.

    Raises: InputError if there is not one label for each text, or neither one nor two texts for each example.

    Example:
      >>> source = from_texts(["How far is it?", "Who was Galileo?"], ["number", "human"])
      >>> source.label_names, source.labels.tolist(), source.records[1]
      (('human', 'number'), [1, 0], {'texts': ('Who was Galileo?',)})
    """
    rows = [tuple(row) if isinstance(row, (list, tuple)) else (row,) for row in texts]
    widths = {len(row) for row in rows} or {1}
    if widths not in ({1}, {2}):
        raise errors.InputError(
            f"Got {sorted(widths)} texts for an example in {name!r}. Expected one, or two, for all alike. Correct them."
        )
    if labels is not None and len(labels) != len(rows):
        raise errors.InputError(
            f"Got {len(labels)} labels for {len(rows)} texts in {name!r}. Expected one for each. Correct them."
        )
    columns = [[row[place] for row in rows] for place in range(widths.pop())]
    keys = RowKeys(name, "row", np.arange(len(rows)))
    return from_columns(columns, labels, keys=keys, name=name, label_names=label_names, label_kind=label_kind)


def from_columns(
    columns: Sequence[Sequence[Any]],
    labels: Sequence[Any] | None,
    *,
    keys: RowKeys,
    name: str,
    label_names: Sequence[str] | None = None,
    label_kind: str = "classes",
    problems: Sequence[Finding] = (),
) -> Source:
    """A source of one or two columns of text, with what is wrong in them.

    Args:
      columns: of text, all of one length; what is no text is noted for the pre-flight.
      labels: a column of them, or None.
      keys: what the rows are called.
      name, label_names, label_kind: as of `from_texts`.
      problems: that were found on reading.
    """
    if label_kind not in LABEL_KINDS:
        raise errors.unknown_name("kind of labels", label_kind, LABEL_KINDS)
    wrong = {finding.index: finding for finding in problems}
    found, texts = list(problems), []
    for column in columns:
        if not isinstance(column, Texts):
            missing = [index for index, text in enumerate(column) if type(text) is not str]
            if missing:
                column = list(column)
            for index in missing:
                if index not in wrong:
                    wrong[index] = _no_text(column[index], keys[index], index)
                    found.append(wrong[index])
                column[index] = ""
            column = Texts(column)
        texts.append(column)
    records = TextRecords(texts)
    if labels is None:
        read = text_labels.Labels(tuple(label_names or ()), np.full(len(records), -1, np.int64), None, ())
    else:
        read = text_labels.READERS[label_kind](labels, label_names, keys.__getitem__)
    found += [finding for finding in read.problems if finding.index not in wrong]
    return source_of_records(
        records,
        keys=keys,
        name=name,
        label_names=read.label_names,
        labels=read.labels,
        targets=read.targets,
        problems=found,
        warnings=_empty(texts, keys, wrong),
    )


def source_of_records(
    records: Records,
    *,
    keys: Sequence[str],
    name: str,
    label_names=(),
    labels=None,
    targets=None,
    problems=(),
    warnings=(),
) -> Source:
    """A source of text; its examples are read from `records`, not by `load`."""
    return Source(
        name=name,
        num_examples=len(records),
        label_names=tuple(label_names),
        labels=np.full(len(records), -1, np.int64) if labels is None else labels,
        load=None,
        keys=keys,
        content=records.content,
        normalized=lambda index: normalized(records.text(index)),
        problems=tuple(problems),
        warnings=tuple(warnings),
        records=records,
        targets=targets,
    )


def _no_text(value: Any, where: str, index: int) -> Finding:
    missing = value is None or (isinstance(value, float) and math.isnan(value))
    got = f"Got {value!r}" if missing else f"Got {value!r} of type {type(value).__name__}"
    return Finding(
        "text missing" if missing else "not text",
        where,
        f"{got} for a text. Expected text.",
        "Add it, or leave the row out.",
        index=index,
    )


def _empty(columns: Sequence[Texts], keys: RowKeys, wrong: dict[int, Finding]) -> list[Finding]:
    """One warning for all examples whose texts are all empty or spaces."""
    empty = [
        index
        for index in range(len(keys))
        if index not in wrong and not any(column[index].strip() for column in columns)
    ]
    if not empty:
        return []
    reason = f"Got {len(empty)} empty texts, the first here. Expected text."
    return [Finding("empty text", keys[empty[0]], reason, "Add it, or leave the rows out.", count=len(empty))]
