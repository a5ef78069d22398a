"""What a run was trained on, and what trained when."""

import re
from typing import Any

import numpy as np

from kft.inspection import charts, report_elements
from kft.inspection.markup import Markup, element
from kft.inspection.run_folder import RunFolder

_MOST_CLASSES, _MOST_TEXTS = 60, 18


def data(run: RunFolder) -> Markup | None:
    """Sources with their fingerprints, sizes of the classes, what the pre-flight found, and samples."""
    parts = _dict(run.decisions.get("data"))
    digests = _dict(run.decisions.get("digests"))
    sources = [
        {
            "data": role,
            "source": _dict(facts).get("source"),
            "examples": _dict(facts).get("num_examples"),
            "fingerprint": digests.get(f"{role} examples"),
        }
        for role, facts in parts.items()
    ]
    return report_elements.section(
        "data",
        "Data",
        report_elements.table(sources),
        _lengths(run),
        _classes({role: _dict(_dict(facts).get("num_examples_per_class")) for role, facts in parts.items()}),
        _findings(run),
        _samples(run),
    )


def _lengths(run: RunFolder) -> Markup | None:
    rows = [dict(row) for row in _list(run.decisions.get("tokens")) if isinstance(row, dict)]
    for row in rows:
        if isinstance(row.get("padding"), float):
            row["padding"] = f"{row['padding']:.1%}"
    return join_two(element("h3", "Lengths"), report_elements.table(rows))


def _classes(counts: dict[str, dict[str, int]]) -> Markup | None:
    labels = list(dict.fromkeys(label for part in counts.values() for label in part))
    if not labels:
        return None
    first = next(iter(counts))
    largest = max([count for count in counts[first].values() if isinstance(count, int)], default=0) or 1
    rows = []
    for label in labels:
        row: dict[str, Any] = {"class": label} | {role: part.get(label, 0) for role, part in counts.items()}
        share = counts[first].get(label, 0)
        share = 100 * share / largest if isinstance(share, int) else 0
        bar = element("div", element("i", style=f"width:{share:.1f}%"), class_="bartrack")
        rows.append(row | {f"share of {first}": bar})
    title = element("h3", f"Classes ({len(labels):,})")
    return join_two(title, report_elements.table(rows, most=_MOST_CLASSES))


def join_two(*parts: Markup | None) -> Markup | None:
    """Parts one after the other, nothing if the last is missing."""
    return element("div", *parts) if parts[-1] is not None else None


def _findings(run: RunFolder) -> Markup | None:
    found = _dict(run.decisions.get("findings"))
    rows = [{"found before training": kind, "count": count} for kind, count in found.items()]
    rows += [
        {"found before training": f"left out of {role}", "count": count}
        for role, count in _dict(run.decisions.get("skipped")).items()
        if count
    ]
    return report_elements.table(rows)


def _samples(run: RunFolder) -> Markup | None:
    rows = [row for row in run.examples if row.get("part") == "train"]
    shown = [{**row, "lines": [row.get("truth")]} for row in rows]
    title = element("h3", "Some of the training examples, as the model takes them, without augmentation")
    texts = not any("image" in row for row in rows)
    return join_two(title, report_elements.examples(shown[: _MOST_TEXTS if texts else None], small=True))


def phases(run: RunFolder) -> Markup | None:
    """The phases as a table, what trains in each as bars, and the learning rate."""
    rows = [row for row in _list(run.decisions.get("phases")) if isinstance(row, dict)]
    marks = phase_marks(run)
    rate = run.curves.get(("train", "training/learning_rate"))
    drawn = [trained_blocks(run)]
    if rate is not None:
        series = charts.Series("", epochs_of(run, rate[0]), rate[1])
        drawn.append(charts.lines("learning rate", [series], marks=marks, from_zero=True))
    drawn = [chart for chart in drawn if chart]
    return report_elements.section(
        "phases",
        "What trained when",
        report_elements.table(rows),
        element("div", drawn, class_="charts") if drawn else None,
    )


def trained_blocks(run: RunFolder) -> Markup | None:
    """Bars of the epochs in which each block trains, the head on top."""
    blocks = [block for block in _list(run.decisions.get("blocks")) if isinstance(block, dict)]
    rows = []
    for block in blocks:
        bars = []
        for first, end in _list(block.get("epochs")):
            bars.append((float(first), float(end), f"epoch {int(first) + 1} to {int(end)}"))
        rows.append((str(block.get("name")), bars))
    end = run.result.get("epochs") or run.decisions.get("epochs")
    return charts.spans("trains", rows, end=float(end)) if rows and isinstance(end, (int, float)) else None


def phase_marks(run: RunFolder) -> list[float]:
    """The epochs at which a phase after the first begins."""
    found = [re.match(r"(\d+)", str(row.get("epochs"))) for row in _list(run.decisions.get("phases"))]
    return [float(match[1]) - 1 for match in found[1:] if match]


def epochs_of(run: RunFolder, steps: Any) -> Any:
    """Steps as epochs, where a run tells how many an epoch has."""
    per_epoch = run.decisions.get("steps_per_epoch")
    return np.asarray(steps) / per_epoch if isinstance(per_epoch, int) and per_epoch > 0 else np.asarray(steps)


def _dict(given: Any) -> dict[str, Any]:
    return given if isinstance(given, dict) else {}


def _list(given: Any) -> list[Any]:
    return given if isinstance(given, list) else []
