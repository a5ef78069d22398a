"""Tables in Markdown."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from kft.inspection import evaluation_view, examples


def settings_table(config: Mapping[str, Any]) -> str:
    """A Markdown table of names and values."""
    cell = lambda value: str(value).replace("\\", "\\\\").replace("|", "\\|").replace("\n", " ")  # noqa: E731
    rows = [f"| {cell(name)} | {cell(value)} |" for name, value in config.items()]
    return "\n".join(["| setting | value |", "|---|---|", *rows])


def tokens_table(data: Any, rows: Sequence[int], token_name: Callable[[int], str] | None) -> str:
    """Texts of a data set with their truth and their tokens.

    Args:
      data: of `kft.data.token_batches`.
      rows: of its table.
      token_name: from a token's number to its text; None shows numbers.
    """
    table = getattr(data, "table", None)
    records = [int(row) if table is None else int(table.record[row]) for row in rows]
    lines = ["| text | truth | tokens |", "|---|---|---|"]
    for row, record in zip(rows, records, strict=True):
        said = evaluation_view.markdown(examples.text_of(data.source.records[record])[:300])
        tokens = [] if table is None else table.token_ids[table.offsets[row] : table.offsets[row + 1]][:80]
        names = " ".join(token_name(int(token)) if token_name else str(token) for token in tokens)
        truth = evaluation_view.markdown(examples.truth_of(data.source, record))
        lines.append(f"| {said} | {truth} | {evaluation_view.markdown(names)} |")
    return "\n".join(lines)
