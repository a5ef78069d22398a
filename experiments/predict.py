"""Predicts with the kept model of a run: files or folders in, one line of JSON for each example out.

A model of texts takes files with a text in each line (pairs with a tab between), or data such as squad:FILE,
whose labels are not used.

Example:
  python -m experiments.predict --workdir=runs/flowers --input=photos,more/rose.jpg --output=predictions.jsonl
"""

import json
import pathlib
import sys
from collections.abc import Sequence

from absl import flags as absl_flags

from experiments import flags
from kft import errors


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit code."""
    return flags.app_run(_run, description=__doc__, names=("workdir",), define=_define, argv=argv)


def _define(flag_values):
    absl_flags.DEFINE_list("input", [], "Files, and folders of images, with a comma between.", flag_values=flag_values)
    absl_flags.DEFINE_string("output", "", "The file to write; empty: standard output.", flag_values=flag_values)


def _run(config, flag_values):
    from kft.run import predict, validate

    validate(config, required=("workdir",))
    if not flag_values.input:
        raise errors.InputError("Got no input. Expected files or folders. Give them as --input=FILE,FOLDER,...")
    flags.check_output(flag_values.output)
    lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in predict(config.run.workdir, flag_values.input)]
    if flag_values.output:
        pathlib.Path(flag_values.output).write_text("".join(lines), encoding="utf-8")
    else:
        sys.stdout.writelines(lines)


def cli() -> None:
    """The command `kft-predict`."""
    sys.exit(main())


if __name__ == "__main__":
    cli()
