"""Runs the pre-flight alone: every problem of the data with file, reason and remedy. Exit code 2 if there is one.

Example:
  python -m experiments.check --train_data=folder:flowers/train --eval_data=folder:flowers/val --output=report.json
"""

import pathlib
import sys
from collections.abc import Sequence

from absl import flags as absl_flags

from experiments import flags

SETTINGS = (
    "train_data",
    "eval_data",
    "test_data",
    "data_root",
    "image_column",
    "on_bad_example",
    "allow_leakage",
    "max_megapixels",
    "preflight_cache",
)
TEXT_SETTINGS = ("task", "text_columns", "label_column", "multi_label", "line_format", "encoding")


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit code."""
    return flags.app_run(_run, description=__doc__, names=(*SETTINGS, *TEXT_SETTINGS), define=_define, argv=argv)


def _define(flag_values):
    absl_flags.DEFINE_string("output", "", "Write the report to this file too, as JSON.", flag_values=flag_values)


def _run(config, flag_values):
    from kft.run import check_data, validate

    validate(config, required=("train_data",))
    flags.check_output(flag_values.output)
    report = check_data(config)
    if flag_values.output:
        pathlib.Path(flag_values.output).write_text(report.to_json() + "\n", encoding="utf-8")
    print(report.text())
    return 0 if report.ok else flags.EXIT_INPUT_ERROR


def cli() -> None:
    """The command `kft-check`."""
    sys.exit(main())


if __name__ == "__main__":
    cli()
