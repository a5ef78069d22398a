"""The texts that a person wants to read before and after training, made from plain data."""

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from kft.inspection import statistics

Row = Mapping[str, Any]


def table(rows: Sequence[Row], *, most: int | None = None) -> str:
    """Rows as aligned columns; numbers stand right and have separators.

    Args:
      rows: column -> value, all with the columns of the first; None is an empty cell.
      most: int >= 1, rows to show; what is left out is counted in a last line.

    Example:
      >>> print(table([{"class": "daisy", "train": 1250}, {"class": "rose", "train": 64}]))
      class  train
      daisy  1,250
      rose      64
    """
    if not rows:
        return ""
    shown = rows[:most]
    columns = list(rows[0])
    cells = [columns] + [[_cell(row.get(column)) for column in columns] for row in shown]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    right = [all(row.get(column) is None or _is_number(row[column]) for row in shown) for column in columns]
    lines = [
        "  ".join(
            cell.rjust(width) if stands_right else cell.ljust(width)
            for cell, width, stands_right in zip(line, widths, right, strict=True)
        ).rstrip()
        for line in cells
    ]
    if len(rows) > len(shown):
        lines.append(f"... and {len(rows) - len(shown):,} more")
    return "\n".join(lines)


def before(
    *,
    data: Sequence[Row],
    classes: Mapping[str, Mapping[str, int]],
    phases: Sequence[Row],
    settings: Mapping[str, Any],
    warnings: Sequence[str] = (),
) -> str:
    """What is going to happen: data, classes, what trains when and how fast, and on what.

    Args:
      data: a row for each part, such as {"data": "train", "source": "folder:photos", "examples": 3670}.
      classes: part -> class -> number of examples, such as {"train": {"daisy": 50}}; at most 20 are shown.
      phases: a row for each, such as {"phase": 1, "epochs": "1 to 3", "steps": 90, "trains": "head",
        "parameters": 6405, "learning rate": "0 .. 0.001 .. 0"}.
      settings: what else is decided, such as {"steps": 900, "device": "1 x CPU", "precision": "float32"}.
      warnings: of the pre-flight, a sentence each.

    Returns: several lines, without one at the end.
    """
    labels = dict.fromkeys(label for counts in classes.values() for label in counts)
    rows = [{"class": label} | {part: counts.get(label, 0) for part, counts in classes.items()} for label in labels]
    parts = [table(data), table(rows, most=20), table(phases), _list(settings)]
    parts += ["\n".join(f"Warning: {warning}" for warning in warnings)]
    return "\n\n".join(part for part in parts if part)


def after(result: Row, *, workdir: str) -> str:
    """What came out of a run, and how to look at it.

    Args:
      result: what result.json has; what is not in it is left out.
      workdir: the run folder.

    Returns: several lines, without one at the end.
    """
    metrics, test_metrics = result.get("metrics") or {}, result.get("test_metrics") or {}
    rows = [{"metric": name, "eval": value} for name, value in metrics.items()]
    if test_metrics:
        rows = [row | {"test": test_metrics.get(row["metric"])} for row in rows]
    facts = {
        "best epoch": _of(result.get("best_epoch"), result.get("epochs")),
        "steps": result.get("steps"),
        "training": _seconds(result.get("train_seconds")),
        "whole run": _seconds(result.get("wall_seconds")),
        "waiting for data": _waiting(result.get("waiting_for_data")),
        "examples per second": _rounded(result.get("examples_per_second")),
        "peak memory": _bytes(result.get("peak_memory_bytes")),
        "trainable parameters": result.get("num_trainable_parameters"),
        "precision": result.get("precision"),
        "seed": result.get("seed"),
    }
    parts = [table(rows, most=20), _list({name: value for name, value in facts.items() if value is not None})]
    if _learned_nothing(result):
        parts.append(
            f"Degenerate: an accuracy of {metrics['accuracy']:.4g} is no better than always answering the largest "
            f"class ({result['majority_share']:.4g}). Try a lower learning rate, a warm-up, or more steps."
        )
    parts.append(f"Run folder: {workdir}\nCurves: tensorboard --host 127.0.0.1 --logdir {workdir}/tensorboard")
    return "\n\n".join(part for part in parts if part)


def after_seeds(results: Sequence[Row]) -> str:
    """The mean of several seeds, its 95 percent interval, and the runs that learned nothing.

    Args:
      results: of each seed, what result.json has.

    Returns: several lines, without one at the end.
    """
    rows = []
    for part in ("metrics", "test_metrics"):
        for name in results[0].get(part) or {}:
            values = [result[part][name] for result in results]
            finite = [value for value in values if math.isfinite(value)]
            interval = str(statistics.mean_interval(finite)) if finite else "no finite value"
            values = " ".join(f"{value:.4g}" for value in values)
            rows.append({"on": part.removesuffix("metrics").strip("_") or "eval", "metric": name})
            rows[-1] |= {"mean and 95 % interval": interval, "each": values}
    degenerate = [str(result.get("seed")) for result in results if _learned_nothing(result)]
    count = f"Degenerate runs, no better than the largest class: {len(degenerate)} of {len(results)}"
    return f"{table(rows)}\n\n{count}{' (seeds ' + ', '.join(degenerate) + ')' if degenerate else ''}."


def variable_table(rows: Sequence[Row]) -> str:
    """Every variable of a model: what it is, when it trains and how fast; and the sums.

    Args:
      rows: for each variable "path", "shape" (a tuple), "block", "trains" (when, or None for never) and
        "learning_rates" (at the start, middle and end of the run; None where it does not train).

    Returns: several lines, without one at the end.

    Example:
      >>> print(variable_table([{"path": "head/bias", "shape": (5,), "block": "head", "trains": "epoch 1 on",
      ...                        "learning_rates": (0.0, 0.1, 0.01)}]))
      variable   shape  parameters  block  trains      start  middle   end
      head/bias  5               5  head   epoch 1 on      0     0.1  0.01
      <BLANKLINE>
      1 variable, 5 parameters, of which 5 train.
    """
    lines = []
    for row in rows:
        start, middle, end = row["learning_rates"] or (None, None, None)
        lines.append(
            {
                "variable": row["path"],
                "shape": " x ".join(map(str, row["shape"])) or "scalar",
                "parameters": math.prod(row["shape"]),
                "block": row["block"],
                "trains": row["trains"] or "never",
                "start": start,
                "middle": middle,
                "end": end,
            }
        )
    total = sum(line["parameters"] for line in lines)
    trains = sum(line["parameters"] for line, row in zip(lines, rows, strict=True) if row["trains"])
    count = f"{len(rows):,} variable{'s' if len(rows) != 1 else ''}"
    return f"{table(lines)}\n\n{count}, {total:,} parameters, of which {trains:,} train."


def _learned_nothing(result: Row) -> bool:
    accuracy, share = (result.get("metrics") or {}).get("accuracy"), result.get("majority_share")
    return None not in (accuracy, share) and statistics.is_degenerate(accuracy, share)


def _list(facts: Mapping[str, Any]) -> str:
    width = max(map(len, facts), default=0)
    return "\n".join(f"{name.ljust(width)}  {_cell(value)}" for name, value in facts.items())


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _of(number: int | None, total: int | None) -> str | None:
    return None if number is None else f"{number} of {total}"


def _rounded(value: float | None) -> int | None:
    return None if value is None else round(value)


def _seconds(seconds: float | None) -> str | None:
    if seconds is None or seconds < 120:
        return None if seconds is None else f"{seconds:.1f} s"
    minutes, seconds = divmod(round(seconds), 60)
    return f"{minutes} min {seconds} s"


def _waiting(shares: Sequence[float] | None) -> str | None:
    """The part of the time of the epochs after the first, in the middle of them, and of the first."""
    if not shares:
        return None
    later = f"{sorted(shares[1:])[len(shares[1:]) // 2]:.0%} of an epoch, " if shares[1:] else ""
    return f"{later}{shares[0]:.0%} of the first"


def _bytes(number: int | None) -> str | None:
    return None if number is None else f"{number / 2**30:.2f} GiB"


def block_name(pattern: str) -> str:
    """A pattern of a block as a name of letters, digits and -_./ only.

    Example:
      >>> block_name("layers/(attention|dense)/.*")
      'layers/attention.dense'
      >>> block_name("block_1[0-2]_.*")
      'block_10-12'
      >>> block_name("Conv_1(_bn)?/.*")
      'Conv_1'
    """
    name = re.sub(r"\\(.)", r"\1", pattern.removesuffix("/.*").removesuffix(".*"))
    name = re.sub(r"\([^()]*\)\?", "", name).removesuffix("/.*").removesuffix("/")
    name = re.sub(r"(\d*)\[([^\]]+)\]", _choices, name)
    name = re.sub(r"[^A-Za-z0-9_/-]+", ".", name)
    return re.sub(r"\.?/\.?", "/", name).strip("./_") or "all"


def _choices(match: re.Match) -> str:
    """What "1[0-2]" and "[345]" stand for: "10-12" and "3.4.5"."""
    first, several = match.groups()
    return first + several.replace("-", f"-{first}") if "-" in several else ".".join(first + one for one in several)
