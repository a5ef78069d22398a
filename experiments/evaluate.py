"""Scores the kept model of a run on labelled data, as its result.json would.

Example:
  python -m experiments.evaluate --workdir=runs/flowers --test_data=folder:flowers/val
"""

import json
import sys
from collections.abc import Sequence

from experiments import flags

REQUIRED = ("workdir", "test_data")
SETTINGS = (*REQUIRED, "data_root")


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit code."""
    return flags.app_run(_run, description=__doc__, names=SETTINGS, argv=argv)


def _run(config, flag_values):
    from kft.run import evaluate, validate

    validate(config, required=REQUIRED)
    scores = evaluate(config.run.workdir, config.data.test_data, data_root=config.data.data_root)
    print(json.dumps(scores, indent=2))


def cli() -> None:
    """The command `kft-evaluate`."""
    sys.exit(main())


if __name__ == "__main__":
    cli()
