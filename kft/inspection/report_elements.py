"""Tables, facts, and examples as a report shows them."""

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from kft.inspection.markup import Markup, element

_PICTURE = re.compile(r"data:image/(?:png|jpeg);base64,[A-Za-z0-9+/=]+")


def section(name: str, title: str, *children: Any) -> Markup | None:
    """A part of the page with a heading, to be linked to; None without content."""
    content = [child for child in children if child]
    return element("section", element("h2", title), content, id=name) if content else None


def table(rows: Sequence[Mapping[str, Any]], *, most: int | None = None, class_: str | None = None) -> Markup | None:
    """Rows with those columns of the first that are not empty; numbers stand right. What is left out is counted."""
    if not rows:
        return None
    shown = rows[:most]
    columns = [column for column in rows[0] if any(value(row.get(column)) != "" for row in shown)]
    numeric = {column: all(_is_number(row.get(column)) for row in shown) for column in columns}
    kinds = {column: "number" if numeric[column] else None for column in columns}
    head = element("tr", [element("th", column, class_=kinds[column]) for column in columns])
    body = [
        element("tr", [element("td", value(row.get(column)), class_=kinds[column]) for column in columns])
        for row in shown
    ]
    more = len(rows) - len(shown)
    rest = element("p", f"and {more:,} more", class_="dim") if more else None
    return element("div", element("table", head, body, class_=class_), rest, class_="wide")


def facts(values: Mapping[str, Any]) -> Markup | None:
    """A few numbers in large; a value may be (value, what stands below it)."""
    boxes = []
    for name, given in values.items():
        number, below = given if isinstance(given, tuple) else (given, None)
        if number is not None:
            boxes.append(
                element(
                    "div", element("small", name), element("b", value(number)), below and element("small", below),
                    class_="fact",
                )
            )  # fmt: skip
    return element("div", boxes, class_="facts") if boxes else None


def value(given: Any) -> Any:
    """A value as a person reads it; Markup stays."""
    if isinstance(given, Markup):
        return given
    if given is None or given == "":
        return ""
    if isinstance(given, bool):
        return "yes" if given else "no"
    if isinstance(given, int):
        return f"{given:,}"
    if isinstance(given, float):
        return f"{given:.4g}" if math.isfinite(given) else "not finite"
    if isinstance(given, (list, tuple)):
        return ", ".join(str(value(part)) for part in given)
    if isinstance(given, dict):
        return ", ".join(f"{name} {value(part)}" for name, part in given.items())
    return str(given)


def with_interval(score: Sequence[float] | None) -> Markup | str:
    """(value, low, high) as "0.912 0.88–0.94"."""
    if score is None:
        return ""
    number, low, high = score
    return element("span", f"{number:.3f} ", element("small", f"{low:.2f}–{high:.2f}", class_="dim"))


def duration(seconds: Any) -> str | None:
    """Seconds as a person says them.

    Example:
      >>> duration(0.234), duration(75.4), duration(7260)
      ('0.23 s', '1 min 15 s', '2 h 1 min')
    """
    if not _is_number(seconds) or seconds is None:
        return None
    if seconds < 10:
        return f"{seconds:.2g} s"
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def examples(rows: Sequence[Mapping[str, Any]], *, small: bool = False) -> Markup | None:
    """Pictures in a grid, texts one below the other.

    Args:
      rows: "image" (a data: URI) or "text"; "lines", what stands below it; and "key".
      small: for pictures of no need for more than a name.
    """
    if not rows:
        return None
    texts = not any(_PICTURE.fullmatch(str(row.get("image", ""))) for row in rows)
    kind = "examples texts" if texts else "examples small" if small else "examples"
    return element("div", [_example(row) for row in rows], class_=kind)


def _example(row: Mapping[str, Any]) -> Markup:
    uri, text = str(row.get("image", "")), row.get("text")
    below = [element("div", line) for line in row.get("lines", ()) if line]
    key = str(row.get("key", ""))
    picture = None
    if _PICTURE.fullmatch(uri):
        side = row.get("width")
        tiny = "tiny" if isinstance(side, int) and side < 48 else None
        picture = element("img", src=uri, alt=f"picture of {key}", class_=tiny)
    said = element("q", text) if text is not None else None
    name = element("div", key.replace("\\", "/").rsplit("/", 1)[-1][-60:], class_="key-of", title=key) if key else None
    return element("div", picture, said, below, name, class_="example")


def _is_number(given: Any) -> bool:
    return given is None or (isinstance(given, (int, float)) and not isinstance(given, bool))
