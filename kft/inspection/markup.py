"""HTML and SVG put together so that no text from outside can become markup."""

import html
from collections.abc import Iterable
from typing import Any

_WITHOUT_CONTENT = frozenset({"br", "col", "hr", "img", "input", "meta", "link"})


class Markup(str):
    """Text that is markup already; only `element` and `join` make it."""

    __slots__ = ()


def element(tag: str, *children: Any, **attributes: Any) -> Markup:
    """An element with its attributes and children; every text in it is escaped.

    Args:
      tag: name of the element, of the program's own.
      children: Markup as it is, lists of children, None for nothing; all else as text.
      attributes: name -> value; None leaves one out, a trailing _ is dropped and _ becomes -.

    Example:
      >>> print(element("p", "a < b ", element("b", "c"), class_="note", data_of="\\""))
      <p class="note" data-of="&quot;">a &lt; b <b>c</b></p>
    """
    written = "".join(
        f' {name.rstrip("_").replace("_", "-")}="{html.escape(_clean(str(value)))}"'
        for name, value in attributes.items()
        if value is not None
    )
    if tag in _WITHOUT_CONTENT:
        return Markup(f"<{tag}{written}>")
    return Markup(f"<{tag}{written}>{join(children)}</{tag}>")


def join(children: Iterable[Any]) -> Markup:
    """Children one after the other, as in `element`."""
    return Markup("".join(_child(child) for child in children))


def _child(child: Any) -> str:
    if child is None:
        return ""
    if isinstance(child, Markup):
        return child
    if isinstance(child, (list, tuple)):
        return join(child)
    return html.escape(_clean(str(child)))


def _clean(text: str) -> str:
    """Without control characters, which HTML forbids, and halves of surrogate pairs, which UTF-8 cannot hold."""
    text = text.encode("utf-8", "replace").decode("utf-8")
    return "".join(character if character >= " " or character in "\n\t" else "\ufffd" for character in text)
