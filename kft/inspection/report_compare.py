"""Several runs on one page: metrics side by side, what differs, curves over each other, and paired tests."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from kft import errors
from kft.inspection import charts, classes, report_elements, report_training, statistics
from kft.inspection.markup import Markup, element
from kft.inspection.run_folder import RunFolder

_NOT_OF_THE_RESULT = ("workdir", "resume", "checkpoint_every")
_MOST_CLASSES = 60


def sections(runs: Sequence[RunFolder]) -> list[Markup | None]:
    """The parts of the page."""
    return [
        report_elements.section("metrics", "Metrics", _keys(runs), report_elements.table(_metrics(runs))),
        report_elements.section("tests", "Is the difference more than noise?", *_tests(runs)),
        report_elements.section("settings", "Settings that differ", report_elements.table(_differences(runs))),
        report_elements.section("curves", "Curves", _curves(runs)),
        report_elements.section("classes", "F1 of each class", _table_of_classes(runs)),
    ]


def _table_of_classes(runs: Sequence[RunFolder]) -> Markup | None:
    return report_elements.table(_classes(runs), most=_MOST_CLASSES)


def _keys(runs: Sequence[RunFolder]) -> Markup:
    keys = [
        element("span", element("i", class_=f"key c{number % charts.NUM_COLOURS}"), run.name)
        for number, run in enumerate(runs)
    ]
    return element("p", keys, class_="legend")


def _metrics(runs: Sequence[RunFolder]) -> list[dict[str, Any]]:
    rows = []
    for run in runs:
        row: dict[str, Any] = {"run": run.name}
        for part, key in (("", "metrics"), ("test ", "test_metrics")):
            metrics = run.result.get(key)
            row |= {f"{part}{name}": value for name, value in metrics.items()} if isinstance(metrics, dict) else {}
        row |= {
            "best epoch": run.result.get("best_epoch"),
            "training": report_elements.duration(run.result.get("train_seconds")),
            "examples / s": report_training.rounded(run.result.get("examples_per_second")),
            "seed": run.result.get("seed"),
        }
        rows.append(row)
    columns = dict.fromkeys(column for row in rows for column in row)
    last = ("best epoch", "training", "examples / s", "seed")
    columns = [column for column in columns if column not in last] + list(last)
    return [{column: row.get(column) for column in columns} for row in rows]


def _tests(runs: Sequence[RunFolder]) -> list[Markup | None]:
    """Each run against the first, by the examples that both predicted."""
    found = [classes.classified(run.predictions) for run in runs]
    if len(runs) < 2 or found[0] is None:
        return []
    first = dict(zip(_example_names(found[0]), found[0].correct))
    sentences = []
    for run, other in zip(runs[1:], found[1:], strict=True):
        second = dict(zip(_example_names(other), other.correct)) if other is not None else {}
        common = [key for key in first if key in second]
        if not common:
            continue
        try:
            comparison = statistics.compare_predictions([first[key] for key in common], [second[key] for key in common])
        except errors.InputError:
            continue
        sentences.append(element("p", statistics.verdict(comparison, names=(runs[0].name, run.name))))
    if not sentences:
        return []
    note = "By pairs of predictions of the same examples. It speaks of these trainings, not of other seeds."
    return [*sentences, element("p", note, class_="dim")]


def _example_names(found: classes.Classified) -> list[tuple[str, str]]:
    """Each example by its class and the last part of its key, so that a folder may have moved."""
    keys = [key.replace("\\", "/").rsplit("/", 1)[-1] for key in found.keys]
    return [(found.label_names[truth], key) for truth, key in zip(found.truth, keys, strict=True)]


def _differences(runs: Sequence[RunFolder]) -> list[dict[str, Any]]:
    settings = [run.settings() for run in runs]
    names = dict.fromkeys(name for part in settings for name in part if name not in _NOT_OF_THE_RESULT)
    return [
        {"setting": name} | {run.name: part.get(name) for run, part in zip(runs, settings, strict=True)}
        for name in names
        if len({repr(part.get(name)) for part in settings}) > 1
    ]


def _curves(runs: Sequence[RunFolder]) -> Markup | None:
    drawn = [chart for chart in report_training.metric_charts(runs) if chart]
    return element("div", drawn, class_="charts") if drawn else None


def _classes(runs: Sequence[RunFolder]) -> list[dict[str, Any]]:
    found = [(run, classes.classified(run.predictions)) for run in runs]
    scores = {
        run.name: {row["class"]: row["f1"] for row in classes.scores_of_classes(part.confusion(), part.label_names)}
        for run, part in found
        if part is not None
    }
    names = dict.fromkeys(name for part in scores.values() for name in part)
    rows = [
        {"class": name} | {run: report_elements.with_interval(part.get(name)) for run, part in scores.items()}
        for name in names
    ]
    if len(rows) > _MOST_CLASSES and len(scores) > 1:
        first, *_, last = scores.values()
        gap = lambda row: -abs(np.subtract(*((part.get(row["class"]) or (0,))[0] for part in (first, last))))  # noqa: E731
        rows.sort(key=gap)
    return rows
