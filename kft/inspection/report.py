"""A run as one page that opens without a network: report.html, and a model card beside it."""

import os
import pathlib
from collections.abc import Sequence
from typing import Any

from kft import errors, files
from kft.inspection import (
    model_card,
    report_compare,
    report_data,
    report_elements,
    report_results,
    report_style,
    report_training,
    run_folder,
)
from kft.inspection.markup import Markup, element

# No scripts, nothing from elsewhere: whatever a class or a file is called, a browser only shows it.
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
REPORT, CARD = "report.html", "MODEL_CARD.md"


def write_report(workdir: str | os.PathLike) -> pathlib.Path:
    """Writes report.html and MODEL_CARD.md into a run folder, from what is in it.

    The page is one file: pictures and charts are inside, there are no scripts, and its policy forbids a browser to load
    anything. All text that comes from data and settings is escaped.

    Args:
      workdir: the folder of one run.

    Returns: the page.
    Raises: InputError for a folder that is none of one run.
    """
    runs = run_folder.read_runs([workdir])
    if len(runs) != 1:
        raise errors.InputError(
            f"Got {os.fspath(workdir)!r} with {len(runs)} runs. Expected one. Use write_comparison for several."
        )
    workdir = pathlib.Path(workdir)
    _write(workdir / CARD, model_card.model_card(runs[0]))
    _write(workdir / REPORT, page(runs[0]))
    return workdir / REPORT


def write_comparison(folders: Sequence[str | os.PathLike], file: str | os.PathLike) -> pathlib.Path:
    """Writes one page that compares several runs.

    Args:
      folders: run folders; of one of several seeds each counts.
      file: the page.

    Raises: InputError for a folder that is none of a run.
    """
    runs = run_folder.read_runs(folders)
    sections = report_compare.sections(runs)
    _write(pathlib.Path(file), _page(f"{len(runs)} runs", f"{len(runs)} runs compared", sections))
    return pathlib.Path(file)


def page(run: run_folder.RunFolder) -> str:
    """The page of one run."""
    sections = {
        "data": report_data.data(run),
        "phases": report_data.phases(run),
        "curves": report_training.curves(run),
        "results": report_results.results(run),
        "speed": report_training.speed(run),
        "environment": report_training.environment(run),
        "repeat": report_training.repeat(run),
    }
    head = element("div", element("p", _what(run), class_="dim"), _facts(run), _warning(run))
    return _page(run.name, f"Run {run.name}", [head, *sections.values()], list(sections))


def _what(run: run_folder.RunFolder) -> str:
    data = run.decisions.get("data")
    train = data.get("train") if isinstance(data, dict) else None
    source = train.get("source") if isinstance(train, dict) else run.setting("train_data")
    task = str(run.setting("task", "")).replace("_", " ")
    return f"{task} with {_short_place(run.setting('backbone'))}, trained on {_short_place(source)}"


def _short_place(place: Any) -> str:
    """ "hf:/long/way/to/models/minilm" as "hf:…/models/minilm"."""
    kind, colon, path = str(place).rpartition(":")
    parts = path.split("/")
    return f"{kind}{colon}…/{'/'.join(parts[-2:])}" if len(parts) > 3 else str(place)


def _facts(run: run_folder.RunFolder) -> Markup | None:
    result = run.result
    values: dict[str, Any] = {}
    for part, key in (("", "metrics"), ("test ", "test_metrics")):
        metrics = result.get(key)
        for name, value in metrics.items() if isinstance(metrics, dict) else ():
            below = report_results.accuracy_interval(run) if (part, name) == ("", "accuracy") else None
            values[f"{part}{name}"] = (value, below)
    best, epochs = result.get("best_epoch"), result.get("epochs")
    values["best epoch"] = (best, f"of {epochs}") if best is not None else None
    values["whole run"] = report_elements.duration(result.get("wall_seconds"))
    return report_elements.facts(values)


def _warning(run: run_folder.RunFolder) -> Markup | None:
    metrics, share = run.result.get("metrics"), run.result.get("majority_share")
    accuracy = metrics.get("accuracy") if isinstance(metrics, dict) else None
    if not isinstance(accuracy, (int, float)) or not isinstance(share, (int, float)) or accuracy > share + 1e-6:
        return None if run.result else element("p", "This run has not finished.", class_="bad")
    text = f"It learned nothing: always answering the largest class would be right as often ({share:.4g})."
    return element("p", text, class_="bad")


def _page(title: str, heading: str, sections: Sequence[Markup | None], links: Sequence[str] = ()) -> str:
    there = [name for name in links if any(section and f'id="{name}"' in section for section in sections)]
    navigation = element("nav", [element("a", name, href=f"#{name}") for name in there]) if there else None
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=POLICY),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="referrer", content="no-referrer"),
        element("title", f"{title} – kft"),
        element("style", Markup(report_style.STYLE)),
    )
    footer = element("footer", "Made from the files of the run folder; kft-report makes it again.")
    body = element("body", element("h1", heading), navigation, [s for s in sections if s], footer)
    return f"<!DOCTYPE html>\n{element('html', head, body, lang='en')}\n"


def _write(file: pathlib.Path, text: str) -> None:
    try:
        files.write_whole(file, text)
    except OSError as error:
        raise errors.InputError(
            f"Got {str(file)!r}, which cannot be written: {error}. Expected a file that can. Name another."
        ) from error
