"""Fine-tunes a pretrained model and writes a run folder.

Example:
  python -m experiments.finetune --flagfile=experiments/recipes/flowers_mobilenet_v2.flags \
    --train_data=folder:flowers/train --eval_data=folder:flowers/val --workdir=runs/flowers
"""

import signal
import sys
import threading
from collections.abc import Sequence

from experiments import flags


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit code."""
    return flags.app_run(_run, description=__doc__, define=_define, argv=argv)


def _define(flag_values):
    flags.define_verbose(flag_values)


def _run(config, flag_values):
    from kft.run import train_and_evaluate, train_seeds, validate

    if threading.current_thread() is threading.main_thread():
        # While it trains, the checkpoint takes the signals; before and after, there is nothing to save.
        signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    validate(config, required=("train_data", "workdir"))
    train = train_and_evaluate if config.run.seeds == 1 else train_seeds
    train(config, config.run.workdir, verbose=flag_values.verbose)


def cli() -> None:
    """The command `kft-finetune`."""
    sys.exit(main())


if __name__ == "__main__":
    cli()
