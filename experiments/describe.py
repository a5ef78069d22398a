"""Says what a run would do, without training: every variable with its shape, its block, when it trains and how fast.

And for each phase what it will take: seconds, and memory beyond that of the process before there is a model, which with
TensorFlow imported is some 0.9 GiB.

Example:
  python -m experiments.describe --flagfile=experiments/recipes/flowers_mobilenet_v2.flags \
    --train_data=folder:flowers/train --eval_data=folder:flowers/val
"""

import sys
from collections.abc import Sequence

from experiments import flags


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit code."""
    return flags.app_run(_run, description=__doc__, argv=argv)


def _run(config, flag_values):
    from kft.run import describe, validate

    validate(config, required=("train_data",))
    print(describe(config))


def cli() -> None:
    """The command `kft-describe`."""
    sys.exit(main())


if __name__ == "__main__":
    cli()
