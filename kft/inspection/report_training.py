"""Curves, speed, where the time went, and what a run was computed with."""

from collections.abc import Sequence
from typing import Any

from kft.inspection import charts, report_elements
from kft.inspection.markup import Markup, element
from kft.inspection.report_data import epochs_of, phase_marks
from kft.inspection.run_folder import RunFolder

_METRICS = "metrics/"
_MORE = {  # tag -> title, and how y is drawn
    "gradient_norm/all": ("gradient norm", {"log": True}),
    "weight_norm/all": ("norm of the weights", {}),
    "update_ratio/all": ("update / weights, of one step", {"log": True}),
    "training/examples_per_second": ("examples per second", {"from_zero": True}),
    "training/waiting_for_data": ("share of time waiting for data", {"from_zero": True}),
    "memory/process_gib": ("memory of the process (GiB)", {"from_zero": True}),
}


def curves(run: RunFolder) -> Markup | None:
    """Loss and metrics of train and evaluation on one chart each, and what else was measured over time."""
    drawn = metric_charts([run]) + [_single(run, tag, *how) for tag, how in _MORE.items()]
    drawn = [chart for chart in drawn if chart]
    best, kept = run.result.get("best_epoch"), run.setting("keep")
    note = None
    if isinstance(best, int) and kept == "best":
        note = element("p", f"The model of epoch {best} was kept. Thin upright lines: a phase begins.", class_="dim")
    return report_elements.section("curves", "Curves", note, element("div", drawn, class_="charts") if drawn else None)


def metric_charts(runs: Sequence[RunFolder]) -> list[Markup | None]:
    """A chart for each metric: of one run train and evaluation, of several a colour each, train dashed."""
    tags = dict.fromkeys(tag for run in runs for _, tag in run.curves if tag.startswith(_METRICS))
    drawn = []
    for tag in sorted(tags, key=lambda tag: (tag != "metrics/loss", tag)):
        series = []
        for number, run in enumerate(runs):
            for writer in ("train", "eval"):
                if (writer, tag) in run.curves:
                    steps, values = run.curves[writer, tag]
                    name = writer if len(runs) == 1 else f"{run.name}, {writer}"
                    colour = (writer == "eval") if len(runs) == 1 else number
                    dashed = writer == "train"
                    series.append(charts.Series(name, epochs_of(run, steps), values, int(colour), dashed))
        marks = phase_marks(runs[0]) if len(runs) == 1 else []
        drawn.append(charts.lines(tag.removeprefix(_METRICS), series, marks=marks))
    return drawn


def _single(run: RunFolder, tag: str, title: str, how: dict[str, bool]) -> Markup | None:
    curve = run.curves.get(("train", tag))
    if curve is None:
        return None
    series = [charts.Series("", epochs_of(run, curve[0]), curve[1])]
    return charts.lines(title, series, marks=phase_marks(run), **how)


def speed(run: RunFolder) -> Markup | None:
    """Examples per second, memory, and a bar of where the time went."""
    result = run.result
    numbers = report_elements.facts(
        {
            "examples per second": rounded(result.get("examples_per_second")),
            "training": report_elements.duration(result.get("train_seconds")),
            "whole run": report_elements.duration(result.get("wall_seconds")),
            "peak memory": _gib(result.get("peak_memory_bytes")),
            "optimizer steps": result.get("steps"),
            "functions compiled by XLA": result.get("xla_compilations") if result.get("xla") else None,
        }
    )
    return report_elements.section("speed", "Speed", numbers, _where_time_went(result.get("seconds")))


def _where_time_went(seconds: Any) -> Markup | None:
    if not isinstance(seconds, dict):
        return None
    parts = {str(name): float(part) for name, part in seconds.items() if isinstance(part, (int, float)) and part > 0}
    total = sum(parts.values())
    if not total:
        return None
    bar = element(
        "div",
        [
            element("i", class_=f"c{number % charts.NUM_COLOURS}", style=f"width:{100 * part / total:.2f}%", title=name)
            for number, (name, part) in enumerate(parts.items())
        ],
        class_="stack",
    )
    rows = [
        {
            "": element("i", class_=f"key c{number % charts.NUM_COLOURS}"),
            "where the time went": name,
            "time": report_elements.duration(part),
            "share": f"{part / total:.1%}",
        }
        for number, (name, part) in enumerate(parts.items())
    ]
    return element("div", bar, report_elements.table(rows))


def environment(run: RunFolder) -> Markup | None:
    """Device, versions, and every setting that is not the default."""
    decisions, result = run.decisions, run.result
    rows = {
        "device": decisions.get("device"),
        "replicas": decisions.get("num_replicas"),
        "precision": decisions.get("precision"),
        "XLA": decisions.get("xla"),
        "parameters": decisions.get("num_parameters"),
        "trainable at the end": result.get("num_trainable_parameters"),
        "seed": result.get("seed"),
        "digest of all variables": result.get("variables_sha256"),
    }
    versions = result.get("versions")
    rows |= versions if isinstance(versions, dict) else {}
    table = report_elements.table([{"": name, "value": part} for name, part in rows.items() if part is not None])
    return report_elements.section("environment", "Environment", table)


def repeat(run: RunFolder) -> Markup | None:
    """The flags that give the run again, and all settings."""
    settings = report_elements.table([{"setting": name, "value": part} for name, part in run.settings().items()])
    everything = element("details", element("summary", "All settings"), settings) if settings else None
    flags = element("pre", run.flags) if run.flags else None
    return report_elements.section("repeat", "Flags to repeat it", flags, everything)


def rounded(number: Any) -> Any:
    """A number as a whole one."""
    return round(number) if isinstance(number, (int, float)) else None


def _gib(number: Any) -> str | None:
    return f"{number / 2**30:.2f} GiB" if isinstance(number, (int, float)) else None
