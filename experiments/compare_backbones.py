"""Measures backbones on your images by a linear probe, so that choosing the pretrained model is a measurement.

Each runs once over the images, frozen and without augmentation; then a new head is trained on its features for each
seed. Into workdir go backbones.txt, the table; backbones.json and backbones.csv, its numbers; and backbones.png, what
more time per image buys.

Example:
  python -m experiments.compare_backbones --backbones=mobilenet_v2_0.35,efficientnet_b0,resnet50 --image_size=128 \
    --train_data=folder:flowers/train --eval_data=folder:flowers/val --workdir=backbones

NAME=FILE gives a backbone's weights, NAME=none leaves them random, NAME alone takes --backbone_weights. All flags of a
run may be given, also by a recipe; where they are not: --seeds=3, --length="20 epochs", --learning_rate=3e-3,
--weight_decay=0, --schedule=cosine, --warmup="0 steps". What trains, caching, augmentation,
mixing, --sampling, --keep, --strategy and --backbone are not used.
The exit code is 2 if a backbone could not be measured.
"""

import csv
import json
import pathlib
import sys
from collections.abc import Sequence
from typing import Any

from absl import flags as absl_flags

from experiments import flags
from kft import errors

COLUMNS = ("backbone", "weights", "metric", "mean", "low", "high", "parameters", "megabytes")
COLUMNS += ("images_per_second", "seconds_per_epoch", "error")


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit code."""
    return flags.app_run(_run, description=__doc__, define=_define, argv=argv)


def _define(flag_values):
    absl_flags.DEFINE_list("backbones", [], "NAME or NAME=WEIGHTS, between commas.", flag_values=flag_values)


def _run(config, flag_values):
    from kft import inspection
    from kft.run import PROBE, compare_backbones, from_flat

    backbones = parse(flag_values.backbones)
    config = flags.config_from_flags(flag_values, base=from_flat(PROBE))
    if not config.run.workdir:
        raise errors.InputError("Got no workdir. Expected a folder for the results. Use --workdir=DIR.")
    folder = pathlib.Path(config.run.workdir)
    folder.mkdir(parents=True, exist_ok=True)
    rows: list[dict[str, Any]] = []

    def report(row):
        rows.append(row)
        print(_line(row), flush=True)
        _write(rows, folder)

    compare_backbones(config, backbones, report=report)
    print(f"\n{inspection.backbone_table(rows)}\n\nPicture: {folder / 'backbones.png'}")
    return flags.EXIT_INPUT_ERROR if any("error" in row for row in rows) else 0


def parse(words: Sequence[str]) -> dict[str, str | None]:
    """Names and weights.

    Example:
      >>> parse(["resnet50", "mobilenet_v2_0.35=weights.h5"])
      {'resnet50': None, 'mobilenet_v2_0.35': 'weights.h5'}
    """
    backbones: dict[str, str | None] = {}
    for word in words:
        name, equals, weights = word.strip().partition("=")
        if not name or name in backbones or (equals and not weights):
            raise errors.InputError(
                f"Got --backbones={','.join(words)!r}, with {word!r} in it. Expected NAME or NAME=WEIGHTS between "
                "commas, each name once. Correct it."
            )
        backbones[name] = weights or None
    return backbones


def _line(row):
    from kft import inspection

    if "error" in row:
        return f"{row['backbone']}: not measured. {row['error']}"
    interval = inspection.mean_interval(row["values"])
    return f"{row['backbone']}: {row['metric']} {interval}, {row['images_per_second']:.3g} images/s"


def _write(rows, folder):
    from kft import inspection

    (folder / "backbones.json").write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")
    (folder / "backbones.txt").write_text(inspection.backbone_table(rows) + "\n", encoding="utf-8")
    with (folder / "backbones.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)
    inspection.backbone_picture(rows, str(folder / "backbones.png"))


def cli() -> None:
    """The command `kft-compare-backbones`."""
    sys.exit(main())


if __name__ == "__main__":
    cli()
