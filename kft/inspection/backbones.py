"""Backbones that were measured on one data set: a table, and a picture of what more cost buys."""

import pathlib
from collections.abc import Sequence
from typing import Any

from kft.inspection import statistics, summary

Row = dict[str, Any]
_LONGEST = 28


def backbone_table(rows: Sequence[Row]) -> str:
    """The rows of `kft.run.compare_backbones`, the best first; "*" where no other is both better and quicker.

    Example:
      >>> row = {"backbone": "small", "weights": "imagenet", "image_size": (64, 64), "metric": "accuracy"}
      >>> row |= {"mode": "max", "values": [0.5], "mean": 0.5, "parameters": 10, "megabytes": 0.04}
      >>> print(backbone_table([row | {"images_per_second": 100.0, "seconds_per_epoch": 2.0}]))
         backbone  weights   pixels   accuracy                    parameters    MB  images/s  s/epoch
      *  small     imagenet  64 x 64  0.5 (one run, no interval)          10  0.04       100        2
    """
    measured = in_order(rows)
    best = {row["backbone"] for row in not_beaten(measured)}
    lines = [
        {
            "": "*" if row["backbone"] in best else "",
            "backbone": row["backbone"],
            "weights": _weights(row["weights"]),
            "pixels": " x ".join(map(str, row["image_size"] or ())),
            row["metric"]: str(statistics.mean_interval(row["values"])),
            "parameters": row["parameters"],
            "MB": float(f"{row['megabytes']:.3g}"),
            "images/s": float(f"{row['images_per_second']:.3g}"),
            "s/epoch": float(f"{row['seconds_per_epoch']:.3g}"),
        }
        for row in measured
    ]
    parts = [summary.table(lines)] if lines else []
    random = [row["backbone"] for row in measured if row["weights"] == "none"]
    if random:
        parts.append(f"With random weights, which says little of the pretrained ones: {', '.join(random)}.")
    parts += [f"Not measured: {row['backbone']}. {row['error']}" for row in rows if "error" in row]
    return "\n\n".join(parts)


def in_order(rows: Sequence[Row]) -> list[Row]:
    """What was measured, the best first."""
    measured = [row for row in rows if "error" not in row]
    return sorted(measured, key=lambda row: row["mean"] if row["mode"] == "min" else -row["mean"])


def not_beaten(rows: Sequence[Row]) -> list[Row]:
    """Those that are better than all that are as quick, the best first."""
    kept: list[Row] = []
    for row in in_order(rows):
        if not kept or row["images_per_second"] > kept[-1]["images_per_second"]:
            kept.append(row)
    return kept


def backbone_picture(rows: Sequence[Row], path: str) -> pathlib.Path | None:
    """Draws the metric over milliseconds per image into a PNG file, with intervals; the area tells the megabytes.

    Args:
      rows: as of `kft.run.compare_backbones`.
      path: file to write, overwritten.

    Returns: the path; None where nothing was measured.
    """
    from matplotlib.figure import Figure

    measured = in_order(rows)
    if not measured:
        return None
    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.subplots()
    front = not_beaten(measured)
    axes.plot([1000 / row["images_per_second"] for row in front], [row["mean"] for row in front], ":", color="0.6")
    largest = max(row["megabytes"] for row in measured)
    costs = [1000 / row["images_per_second"] for row in measured]
    middle = (min(costs) * max(costs)) ** 0.5 * 1.001  # one alone has its name on the right
    for row in measured:
        x, y = 1000 / row["images_per_second"], row["mean"]
        ends = None if row["low"] is None else [[y - row["low"]], [row["high"] - y]]
        colour = "C0" if row in front else "0.5"
        axes.errorbar(x, y, yerr=ends, color=colour, capsize=3, linewidth=1)
        axes.scatter(x, y, s=20 + 280 * row["megabytes"] / largest, color=colour, alpha=0.4)
        label = row["backbone"] + (" (random)" if row["weights"] == "none" else "")
        side, place = ("left", 7) if x < middle else ("right", -7)
        axes.annotate(label, (x, y), xytext=(place, 7), textcoords="offset points", ha=side, fontsize=8)
    first = measured[0]
    axes.set(xlabel="milliseconds per image, forward", ylabel=first["metric"], xscale="log")
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter("{x:g}")
    axes.margins(x=0.2, y=0.15)
    axes.grid(alpha=0.3)
    figure.savefig(path, format="png", dpi=120)
    return pathlib.Path(path)


def _weights(weights: str) -> str:
    if weights == "none":
        return "random"
    name = pathlib.PurePath(weights).name
    return name if len(name) <= _LONGEST else f"…{name[1 - _LONGEST :]}"
