"""Writes a page about finished runs from what is in their folders: report.html, without network or scripts.

It takes one run folder or several: RUN [RUN ...]. Of one, report.html and MODEL_CARD.md are written into it again;
several are compared on one page, --output. A folder of several seeds counts as the run of each.

Example:
  python -m experiments.report runs/flowers
  python -m experiments.report runs/probe runs/everything --output=comparison.html
"""

import os
import sys
from collections.abc import Sequence

from absl import flags as absl_flags

from experiments import flags


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit code."""
    return flags.app_run(_run, description=__doc__, names=(), define=_define, num_arguments=flags.SOME, argv=argv)


def _define(flag_values):
    absl_flags.DEFINE_string(
        "output", "comparison.html", "The page that compares several runs.", flag_values=flag_values
    )


def _run(config, flag_values, *folders):
    from kft import inspection

    if len(folders) == 1 and os.path.isfile(os.path.join(folders[0], "config.json")):
        print(inspection.write_report(folders[0]))
        return
    flags.check_output(flag_values.output)
    print(inspection.write_comparison(folders, flag_values.output))


def cli() -> None:
    """The command `kft-report`."""
    sys.exit(main())


if __name__ == "__main__":
    cli()
