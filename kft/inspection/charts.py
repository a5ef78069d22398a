"""Charts as SVG, drawn for a width of 360 px so that they can be read on a phone; colours are the page's."""

import dataclasses
import math
from collections.abc import Sequence

from kft.inspection.markup import Markup, element

WIDTH, HEIGHT = 360, 230
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 12, 26, 34
NUM_COLOURS = 6


@dataclasses.dataclass(frozen=True)
class Series:
    """A line.

    Args:
      name: for the legend.
      x, y: as many of each; values that are not finite are gaps.
      colour: int, of the page's colours; lines of one colour differ by `dashed`.
      dashed: whether the line is dashed.
    """

    name: str
    x: Sequence[float]
    y: Sequence[float]
    colour: int = 0
    dashed: bool = False


def lines(
    title: str,
    series: Sequence[Series],
    *,
    x_label: str = "epoch",
    marks: Sequence[float] = (),
    log: bool = False,
    from_zero: bool = False,
) -> Markup | None:
    """A chart of lines with axes, a legend, and each point's value where a pointer rests on it.

    Args:
      title: what y is.
      series: at least one point in all, or None is returned.
      x_label: what x is.
      marks: places on x with a thin upright line, such as the begin of a phase.
      log: y is logarithmic; values <= 0 are gaps.
      from_zero: y starts at 0.
    """
    points = [
        (float(x), float(y))
        for line in series
        for x, y in zip(line.x, line.y)
        if math.isfinite(x) and math.isfinite(y) and (y > 0 or not log)
    ]
    if not points:
        return None
    scale_y = math.log10 if log else float
    ys = [scale_y(y) for _, y in points] + ([0.0] if from_zero and not log else [])
    x_low, x_high = min(x for x, _ in points), max(x for x, _ in points)
    x_ticks, y_ticks = ticks(x_low, x_high, least=1.0 if x_label == "epoch" else 0.0), ticks(min(ys), max(ys))
    if log:
        y_ticks = [float(n) for n in range(math.floor(min(ys)), math.ceil(max(ys)) + 1)] or y_ticks
        y_ticks = y_ticks[:: max(1, len(y_ticks) // 5)] if len(y_ticks) > 1 else [y_ticks[0], y_ticks[0] + 1]
    if x_low == x_high:
        x_low, x_high = x_low - 0.5, x_high + 0.5
    y_low, y_high = min(y_ticks[0], *ys), max(y_ticks[-1], *ys)
    if y_low == y_high:
        y_low, y_high = y_low - 0.5, y_high + 0.5

    def place(x: float, y: float) -> tuple[float, float]:
        return (
            _LEFT + (x - x_low) / (x_high - x_low) * (WIDTH - _LEFT - _RIGHT),
            HEIGHT - _BOTTOM - (y - y_low) / (y_high - y_low) * (HEIGHT - _TOP - _BOTTOM),
        )

    parts = []
    for tick in y_ticks:
        _, y = place(x_low, tick)
        parts.append(_line(_LEFT, y, WIDTH - _RIGHT, y, "grid"))
        parts.append(_text(_LEFT - 5, y + 4, short(10**tick if log else tick), anchor="end"))
    for tick in x_ticks:
        if x_low <= tick <= x_high:
            x, _ = place(tick, y_low)
            parts.append(_text(x, HEIGHT - _BOTTOM + 15, short(tick)))
    parts.append(_line(_LEFT, HEIGHT - _BOTTOM, WIDTH - _RIGHT, HEIGHT - _BOTTOM, "axis"))
    parts.append(_text(WIDTH - _RIGHT, HEIGHT - 4, x_label, anchor="end", class_="dim"))
    for mark in marks:
        if x_low < mark < x_high:
            x, _ = place(mark, y_low)
            parts.append(_line(x, _TOP, x, HEIGHT - _BOTTOM, "mark"))
    for line in series:
        parts += _drawn(line, place, scale_y, log)
    return _figure(title, parts, _legend(series) if len(series) > 1 or series[0].name else None)


def _drawn(line: Series, place, scale_y, log: bool) -> list[Markup]:
    runs: list[list[tuple[float, float, float, float]]] = [[]]
    for x, y in zip(line.x, line.y):
        if math.isfinite(x) and math.isfinite(y) and (y > 0 or not log):
            runs[-1].append((*place(float(x), scale_y(float(y))), float(x), float(y)))
        elif runs[-1]:
            runs.append([])
    drawn = []
    few = sum(map(len, runs)) <= 60
    colour = f"c{line.colour % NUM_COLOURS}"
    for run in runs:
        if len(run) > 1:
            points = " ".join(f"{x:.1f},{y:.1f}" for x, y, _, _ in run)
            drawn.append(element("polyline", points=points, class_=f"line {colour}" + " dashed" * line.dashed))
        for x, y, x_value, y_value in run if few or len(run) == 1 else []:
            tip = element("title", f"{line.name}: {y_value:.5g} at {x_value:.4g}")
            drawn.append(element("circle", tip, cx=f"{x:.1f}", cy=f"{y:.1f}", r="2.5", class_=f"dot {colour}"))
    return drawn


def _legend(series: Sequence[Series]) -> Markup:
    keys = [
        element("span", element("i", class_=f"key c{line.colour % NUM_COLOURS}" + " dashed" * line.dashed), line.name)
        for line in series
    ]
    return element("figcaption", *keys, class_="legend")


def reliability(title: str, bins: Sequence[dict[str, float]]) -> Markup | None:
    """A bar for each bin of confidence, as high as its accuracy, on the line where both are equal."""
    if not bins:
        return None
    place_x = lambda value: _LEFT + value * (WIDTH - _LEFT - _RIGHT)  # noqa: E731
    place_y = lambda value: HEIGHT - _BOTTOM - value * (HEIGHT - _TOP - _BOTTOM)  # noqa: E731
    parts = []
    for tick in (0.0, 0.25, 0.5, 0.75, 1.0):
        parts.append(_line(_LEFT, place_y(tick), WIDTH - _RIGHT, place_y(tick), "grid"))
        parts.append(_text(_LEFT - 5, place_y(tick) + 4, f"{tick:g}", anchor="end"))
        parts.append(_text(place_x(tick), HEIGHT - _BOTTOM + 15, f"{tick:g}"))
    most = max(row["examples"] for row in bins)
    for row in bins:
        tip = element(
            "title",
            f"{row['examples']:,} examples of confidence {row['low']:.1f} to {row['high']:.1f}: "
            f"{row['accuracy']:.1%} right",
        )
        left, right = place_x(row["low"]) + 1, place_x(row["high"]) - 1
        parts.append(
            element(
                "rect",
                tip,
                x=f"{left:.1f}",
                y=f"{place_y(row['accuracy']):.1f}",
                width=f"{right - left:.1f}",
                height=f"{max(place_y(0) - place_y(row['accuracy']), 1):.1f}",
                class_="bar c0",
                opacity=f"{0.35 + 0.65 * row['examples'] / most:.2f}",
            )
        )
    parts.append(_line(place_x(0), place_y(0), place_x(1), place_y(1), "mark"))
    parts.append(_text(WIDTH - _RIGHT, HEIGHT - 4, "confidence", anchor="end", class_="dim"))
    return _figure(title, parts, None)


def spans(title: str, rows: Sequence[tuple[str, Sequence[tuple[float, float, str]]]], *, end: float) -> Markup | None:
    """What is on when: a row of bars for each name, over epochs 0 to `end`; a bar is (from, to, its words)."""
    if not rows or end <= 0:
        return None
    step = 17 if len(rows) <= 24 else 11
    bottom = _TOP + step * len(rows)
    left = 122
    place = lambda value: left + value / end * (WIDTH - left - _RIGHT)  # noqa: E731
    parts = []
    for tick in ticks(0, end, least=1.0):
        if tick <= end:
            parts.append(_line(place(tick), _TOP - 4, place(tick), bottom, "grid"))
            parts.append(_text(place(tick), bottom + 13, short(tick)))
    for number, (name, bars) in enumerate(rows):
        y = _TOP + number * step
        shown = name if len(name) <= 15 else name[:5] + "…" + name[-8:]
        parts.append(
            element("g", element("title", name), _text(left - 6, y + step - 6, shown, anchor="end", class_="dim"))
        )
        for first, last, words in bars:
            parts.append(
                element(
                    "rect",
                    element("title", f"{name}: {words}"),
                    x=f"{place(first):.1f}",
                    y=y,
                    width=f"{max(place(last) - place(first) - 1, 1):.1f}",
                    height=step - 4,
                    class_="bar c0",
                )
            )
    parts.append(_text(WIDTH - _RIGHT, bottom + 27, "epoch", anchor="end", class_="dim"))
    return _figure(title, parts, None, height=bottom + 32)


def ticks(low: float, high: float, *, about: int = 5, least: float = 0.0) -> list[float]:
    """Round numbers from at or below `low` to at or above `high`, about so many, `least` apart or more.

    Example:
      >>> ticks(0, 9)
      [0.0, 2.0, 4.0, 6.0, 8.0, 10.0]
    """
    if high <= low:
        return [low]
    raw = (high - low) / about
    power = 10.0 ** math.floor(math.log10(raw))
    step = max(least, next(power * factor for factor in (1, 2, 5, 10) if power * factor >= raw * 0.999))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [float(f"{number * step:.12g}") for number in range(first, last + 1)]


def short(number: float) -> str:
    """A number in few signs: 12k, 3.4M, 2e-05.

    Example:
      >>> short(12000), short(0.25), short(1e-5)
      ('12k', '0.25', '1e-05')
    """
    for limit, letter in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if abs(number) >= limit:
            return f"{number / (1e3 if letter == 'k' else limit):.3g}{letter}"
    return f"{number:.4g}"


def _figure(title: str, parts: Sequence[Markup], caption: Markup | None, *, height: float = HEIGHT) -> Markup:
    drawing = element(
        "svg",
        _text(2, 13, title, anchor="start", class_="heading"),
        parts,
        viewBox=f"0 0 {WIDTH} {height:g}",
        role="img",
        aria_label=title,
    )
    return element("figure", drawing, caption, class_="chart")


def _line(x1: float, y1: float, x2: float, y2: float, kind: str) -> Markup:
    return element("line", x1=f"{x1:.1f}", y1=f"{y1:.1f}", x2=f"{x2:.1f}", y2=f"{y2:.1f}", class_=kind)


def _text(x: float, y: float, text: str, *, anchor: str = "middle", class_: str | None = None) -> Markup:
    return element("text", text, x=f"{x:.1f}", y=f"{y:.1f}", text_anchor=anchor, class_=class_)
