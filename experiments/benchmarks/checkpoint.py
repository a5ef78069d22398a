"""What checkpointing costs: epochs with a checkpoint every so many steps, and epochs with none within, by turns.

Everything after -- are flags of experiments.finetune. One process trains everything; its first epoch, in which it
traces, is not counted. Then come pairs of epochs, the first one of a pair being now the one with, now the one without.
What is saved at the ends of epochs is saved in both. Of each epoch the seconds from its first step to its last count,
with the saves in it and with what is written beside the steps:

    seconds of a save = (seconds with - seconds without) / saves within the epoch
    cost              = seconds of a save / seconds of as many steps as lie between two saves

Example:
  python -m experiments.benchmarks.checkpoint --pairs=10 --every="50 steps" -- \
    --flagfile=experiments/recipes/flowers_mobilenet_v2.flags --train_data=folder:flowers/train \
    --eval_data=folder:flowers/val --backbone_weights=FILE
"""

import contextlib
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from typing import Any

from absl import flags as absl_flags

from experiments import flags
from kft import errors, inspection
from kft.duration import Duration

NEVER = Duration(1e6, "steps")


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the benchmark; returns its exit code."""
    argv = list(sys.argv if argv is None else argv)
    place = argv.index("--") if "--" in argv else len(argv)
    given = argv[place + 1 :]

    def run(config, flag_values):
        every = Duration.parse(flag_values.every)
        print(report(measure(given, every=every, pairs=flag_values.pairs), every=every))

    return flags.app_run(run, description=__doc__, names=(), define=_define, argv=argv[:place])


def _define(flag_values):
    absl_flags.DEFINE_integer("pairs", 10, "Pairs of epochs.", 1, flag_values=flag_values)
    absl_flags.DEFINE_string("every", "50 steps", "How often to save, in the one.", flag_values=flag_values)


def measure(given: Sequence[str], *, every: Duration, pairs: int) -> list[dict[str, Any]]:
    """Trains everything for as many epochs as it takes.

    Args:
      given: flags of experiments.finetune, without workdir.
      every: distance of saves.
      pairs: of epochs.

    Returns: for each epoch but the first: with_saves; steps; saves, and their seconds_in_saves of the training thread;
      seconds from the end of the first step to that of the last.
    Raises: InputError if an epoch is too short for a save.
    """
    from experiments import finetune
    from kft.training import checkpoint

    after_step, save = checkpoint.Checkpoint._after_step, checkpoint.Checkpoint._save
    epochs: dict[int, dict[str, Any]] = {}

    def timed_step(self):
        epoch = self._position[0]
        if epoch not in epochs:
            pair, place = divmod(epoch - 1, 2)
            with_saves = epoch > 0 and place == pair % 2
            epochs[epoch] = {"with_saves": with_saves, "saves": 0, "seconds_in_saves": 0.0, "ends": []}
            self.every = every if with_saves else NEVER
        after_step(self)
        epochs[epoch]["ends"].append(time.perf_counter())

    def timed_save(self):
        began, row = time.perf_counter(), epochs.get(self._position[0])
        save(self)
        if row is not None and self._position[1] > 0:
            row["saves"] += 1
            row["seconds_in_saves"] += time.perf_counter() - began

    checkpoint.Checkpoint._after_step, checkpoint.Checkpoint._save = timed_step, timed_save
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(sys.stderr):
        command = [*given, "--trainable=all", f"--workdir={folder}/run", "--verbose=0"]
        finetune.main(["finetune", *command, f"--length={2 * pairs + 1} epochs", f"--checkpoint_every={every}"])
    rows = [epochs[epoch] for epoch in sorted(epochs)[1:]]
    for row in rows:
        ends = row.pop("ends")
        row |= {"steps": len(ends) - 1, "seconds": ends[-1] - ends[0]}
    if not all(row["saves"] for row in rows if row["with_saves"]):
        raise errors.InputError(
            f"Got epochs of {rows[0]['steps'] + 1} steps. Expected a save in each. Give a shorter --every."
        )
    return rows


def report(rows: Sequence[dict[str, Any]], *, every: Duration) -> str:
    """The table of the pairs, and the medians.

    Args:
      rows: what `measure` returns.
      every: distance of saves.

    Example:
      >>> one = {"with_saves": False, "steps": 100, "saves": 0, "seconds_in_saves": 0.0, "seconds": 10.0}
      >>> other = one | {"with_saves": True, "saves": 2, "seconds_in_saves": 0.1, "seconds": 10.3}
      >>> print(report([one, other], every=Duration(50, "steps")))
      pair    without, s  with, s  a save, s  in the training thread, s  cost, %
      1               10     10.3       0.15                       0.05        3
      median          10     10.3       0.15                       0.05        3
    """
    table = []
    for number in range(len(rows) // 2):
        pair = rows[2 * number : 2 * number + 2]
        (bare,), (saving,) = ([row for row in pair if row["with_saves"] is way] for way in (False, True))
        of_save = (saving["seconds"] - bare["seconds"]) / saving["saves"]
        between = every.amount * bare["seconds"] / bare["steps"]
        row = {"pair": str(number + 1), "without, s": bare["seconds"], "with, s": saving["seconds"]}
        row |= {
            "a save, s": round(of_save, 6),
            "in the training thread, s": saving["seconds_in_saves"] / saving["saves"],
        }
        table.append(row | {"cost, %": round(100 * of_save / between, 6)})
    columns = list(table[0])[1:]
    table.append({"pair": "median"} | {name: statistics.median(row[name] for row in table) for name in columns})
    return inspection.table(table)


if __name__ == "__main__":
    sys.exit(main())
