"""How well a run did: metrics, confusion, scores of each class, calibration, and the worst examples."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from kft.inspection import charts, classes, report_elements
from kft.inspection.markup import Markup, element
from kft.inspection.report_data import join_two
from kft.inspection.run_folder import RunFolder

_MOST_IN_MATRIX, _MOST_CLASSES, _MOST_PAIRS, _MOST_EXAMPLES = 16, 100, 12, 24


def results(run: RunFolder) -> Markup | None:
    """Everything that eval_predictions.jsonl and result.json tell of the kept model."""
    parts: list[Any] = [_metrics(run)]
    found = classes.classified(run.predictions)
    if found is not None:
        confusion = found.confusion()
        parts += [_confusion(confusion, found.label_names), _classes(confusion, found.label_names)]
        parts += [_calibration(found), *_worst(run, found)]
    else:
        parts.append(_differences(run))
    return report_elements.section("results", "Results", *parts)


def accuracy_interval(run: RunFolder) -> str | None:
    """What stands below the accuracy: the 95 percent interval over the evaluation examples."""
    found = classes.classified(run.predictions)
    if found is None:
        return None
    low, high = classes.wilson(int(found.correct.sum()), len(found.truth))
    return f"{low:.3f} to {high:.3f} (95\u00a0%, {len(found.truth):,} examples)"


def _metrics(run: RunFolder) -> Markup | None:
    columns = {"eval": "metrics", "eval without leaked": "metrics_without_leaked", "test": "test_metrics"}
    columns |= {"test without leaked": "test_metrics_without_leaked"}
    given = {name: run.result.get(key) for name, key in columns.items() if isinstance(run.result.get(key), dict)}
    names = dict.fromkeys(metric for metrics in given.values() for metric in metrics if metric != "leaked")
    rows = [{"metric": name} | {part: metrics.get(name) for part, metrics in given.items()} for name in names]
    return report_elements.table(rows)


def _confusion(confusion: np.ndarray, names: Sequence[str]) -> Markup | None:
    pairs = [
        {
            "truth": pair["truth"],
            "taken for": pair["predicted"],
            "times": pair["count"],
            "of its examples": f"{pair['share']:.1%}",
        }
        for pair in classes.most_confused(confusion, names, _MOST_PAIRS)
    ]
    table = report_elements.table(pairs) or element("p", "No example was taken for another class.", class_="dim")
    matrix = _matrix(confusion, names) if len(names) <= _MOST_IN_MATRIX else None
    title = element("h3", "Confusion")
    return element("div", title, matrix, element("h3", "Most often confused") if pairs else None, table)


def _matrix(confusion: np.ndarray, names: Sequence[str]) -> Markup:
    shares = confusion / np.maximum(confusion.sum(1, keepdims=True), 1)
    head = element("tr", element("th", "truth \\ predicted", class_="name"), [element("th", name) for name in names])
    body = []
    for i, name in enumerate(names):
        cells = [
            element(
                "td",
                f"{confusion[i, j]:,}",
                style=f"--a:{0.75 * shares[i, j]:.3f}",
                title=f"{name} predicted as {other}: {confusion[i, j]:,} ({shares[i, j]:.1%})",
                class_=" ".join(["hit"] * (i == j) + ["zero"] * int(confusion[i, j] == 0)) or None,
            )
            for j, other in enumerate(names)
        ]
        body.append(element("tr", element("th", name, class_="name"), cells))
    note = element("p", "Colour: the share of the row, which is all examples of that class.", class_="dim")
    return element("div", element("table", head, body, class_="matrix"), note, class_="wide")


def _classes(confusion: np.ndarray, names: Sequence[str]) -> Markup | None:
    rows = classes.scores_of_classes(confusion, names)
    if len(rows) > _MOST_CLASSES:
        rows = sorted(rows, key=lambda row: row["f1"][0] if row["f1"] else 2.0)
    shown = [
        row | {name: report_elements.with_interval(row[name]) for name in ("precision", "recall", "f1")} for row in rows
    ]
    note = "Small: the 95 percent interval over examples."
    if len(rows) > _MOST_CLASSES:
        note += f" The {_MOST_CLASSES} classes with the lowest F1 come first."
    title = element("div", element("h3", "Each class"), element("p", note, class_="dim"))
    return join_two(title, report_elements.table(shown, most=_MOST_CLASSES))


def _calibration(found: classes.Classified) -> Markup:
    measured = classes.calibration(found.confidence, found.correct)
    chart = charts.reliability("share of right predictions", measured.bins)
    mean, right = float(found.confidence.mean()), float(found.correct.mean())
    text = (
        f"Expected calibration error {measured.expected_error:.3f}. On the dashed line a prediction of confidence p is "
        f"right in a share p of the cases; mean confidence {mean:.3f}, accuracy {right:.3f}: "
        f"{_over_or_under(mean - right)}. Pale bars have few examples."
    )
    sure = [
        {
            "answering only above": f"{limit:.0%}",
            "answers": f"{np.mean(found.confidence >= limit):.1%}",
            "of them right": f"{found.correct[found.confidence >= limit].mean():.1%}",
        }
        for limit in (0.5, 0.7, 0.9, 0.95, 0.99)
        if np.any(found.confidence >= limit)
    ]
    table = element("div", element("p", text), report_elements.table(sure))
    return element("div", element("h3", "Calibration"), element("div", chart, table, class_="charts"))


def _over_or_under(difference: float) -> str:
    if abs(difference) < 0.01:
        return "neither over- nor underconfident"
    return "overconfident" if difference > 0 else "underconfident"


def _worst(run: RunFolder, found: classes.Classified) -> list[Markup | None]:
    pictures = {row.get("index"): row for row in run.examples if row.get("part") == "eval"}
    wrong, worst = found.confident_mistakes(_MOST_EXAMPLES), found.highest_losses(_MOST_EXAMPLES)
    rest = [index for index in worst if index not in set(wrong.tolist())]
    titles = ("Wrong, and most sure of it", "Highest losses of the others")
    sections = []
    for title, indices in zip(titles, (wrong, rest), strict=True):
        rows = [_prediction(found, int(index), pictures.get(int(index), {})) for index in indices]
        sections.append(join_two(element("h3", title), report_elements.examples(rows)))
    return sections


def _prediction(found: classes.Classified, index: int, shown: Mapping[str, Any]) -> dict[str, Any]:
    names, truth = found.label_names, int(found.truth[index])
    predicted = int(found.predicted[index])
    lines = [f"{names[predicted]} {found.confidence[index]:.0%}"]
    if predicted != truth:
        lines.append(
            element("span", f"is {names[truth]} ({found.probabilities[index, truth]:.1%})", class_="bad")
        )  # fmt: skip
    lines.append(element("span", f"loss {found.losses[index]:.2f}", class_="dim"))
    return {**shown, "key": found.keys[index], "lines": lines}


def _differences(run: RunFolder) -> Markup | None:
    """Predictions of whatever task, those that are not the truth."""
    texts = {row.get("index"): row.get("text") for row in run.examples if row.get("part") == "eval"}
    rows = []
    for index, row in enumerate(run.predictions):
        if not classes.is_right(row):
            text = texts.get(index) or " ".join(map(str, row.get("words") or ()))
            rows.append({"example": row.get("file"), "text": text, "truth": row.get("truth")})
            rows[-1]["prediction"] = classes.predicted(row)
    count = f"{len(rows):,} of {len(run.predictions):,} predictions are not the truth to the letter."
    title = element("div", element("h3", "Predictions"), element("p", count, class_="dim"))
    return join_two(title, report_elements.table(rows, most=_MOST_EXAMPLES))
