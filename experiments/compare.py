"""Says whether the second of two runs is better than the first, by a paired test, or that this cannot be said.

It takes two run folders, RUN_A and RUN_B. Runs of several seeds (--seeds) are paired by seed, single runs by example.

Example:
  python -m experiments.compare runs/probe runs/everything
"""

import sys
from collections.abc import Sequence

from absl import flags as absl_flags

from experiments import flags


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit code."""
    return flags.app_run(_run, description=__doc__, names=(), define=_define, num_arguments=2, argv=argv)


def _define(flag_values):
    absl_flags.DEFINE_string("metric", "accuracy", "What to compare runs of several seeds by.", flag_values=flag_values)


def _run(config, flag_values, folder_a, folder_b):
    from kft.run import compare

    print(compare(folder_a, folder_b, metric=flag_values.metric))


def cli() -> None:
    """The command `kft-compare`."""
    sys.exit(main())


if __name__ == "__main__":
    cli()
