"""What checkpointing costs: the same run with a checkpoint every so many steps, and with none within its epochs.

Everything after -- are flags of experiments.finetune. Each measurement is a process of its own; they come in pairs, the
first one of a pair being now the one with, now the one without. Compared is the mean time of a step within the epochs,
with the saves in it that come there:

    seconds_per_step = mean over steps of (time at the end of the step - time at the end of the one before)

without the first step of each epoch and the first --skip ones. What is saved before the first step and at the ends of
epochs is saved in both.

Example:
  python -m experiments.benchmarks.checkpoint --runs=5 --every="50 steps" -- \
    --flagfile=experiments/recipes/flowers_mobilenet_v2.flags --train_data=folder:flowers/train \
    --eval_data=folder:flowers/val --backbone_weights=FILE
"""

import contextlib
import itertools
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from typing import Any

from absl import flags as absl_flags

from experiments import flags
from kft import inspection

WAYS = ("without", "with")
NEVER = "1000000 steps"


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the benchmark; returns its exit code."""
    argv = list(sys.argv if argv is None else argv)
    place = argv.index("--") if "--" in argv else len(argv)
    given = argv[place + 1 :]

    def run(config, flag_values):
        if flag_values.only:
            print(json.dumps(measure(given, every=flag_values.only, steps=flag_values.steps, skip=flag_values.skip)))
            return
        pairs = []
        for number in range(flag_values.runs):
            order = WAYS if number % 2 == 0 else WAYS[::-1]
            pairs.append({way: _in_new_process(way, flag_values, given) for way in order})
            print(json.dumps(pairs[-1]), flush=True)
        print(f"\n{report(pairs)}")

    return flags.app_run(run, description=__doc__, names=(), define=_define, argv=argv[:place])


def _define(flag_values):
    define = {"flag_values": flag_values}
    absl_flags.DEFINE_integer("runs", 5, "Pairs of measurements.", 1, **define)
    absl_flags.DEFINE_string("every", "50 steps", "How often to save, in the one.", **define)
    absl_flags.DEFINE_integer("steps", 180, "Steps of each measurement, over epochs.", 2, **define)
    absl_flags.DEFINE_integer("skip", 10, "Steps that are not measured: tracing, first batches.", 1, **define)
    absl_flags.DEFINE_string("only", "", "Measure once, in this process, with this distance of saves.", **define)


def _in_new_process(way: str, flag_values: Any, given: Sequence[str]) -> dict[str, Any]:
    every = flag_values.every if way == "with" else NEVER
    command = [sys.executable, "-m", "experiments.benchmarks.checkpoint", f"--only={every}"]
    command += [f"--steps={flag_values.steps}", f"--skip={flag_values.skip}", "--", *given]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, env={"TF_CPP_MIN_LOG_LEVEL": "3", **os.environ})
    if done.returncode:
        raise RuntimeError(f"The measurement {way} checkpoints ended with exit code {done.returncode}; see above.")
    return json.loads(done.stdout.splitlines()[-1])


class _Measured(Exception):
    """Enough steps are done."""


def measure(given: Sequence[str], *, every: str, steps: int, skip: int) -> dict[str, Any]:
    """Runs so many steps, everything trained.

    Args:
      given: flags of experiments.finetune, without workdir.
      every: distance of saves.
      steps: to run.
      skip: steps at the begin that are not counted.

    Returns: seconds_per_step; saves, all after those steps, ends of epochs too; seconds_in_saves, of the training
      thread; mebibytes of the checkpoints that are kept.
    """
    from experiments import finetune
    from kft.training import checkpoint

    times, in_saves = [], [0.0]
    after_step, save = checkpoint.Checkpoint._after_step, checkpoint.Checkpoint._save

    def timed_step(self):
        after_step(self)
        times.append((self.epoch, time.perf_counter()))
        if len(times) == steps:
            self._writer.join()
            raise _Measured

    def timed_save(self):
        began = time.perf_counter()
        save(self)
        if len(times) >= skip:
            in_saves.append(time.perf_counter() - began)

    checkpoint.Checkpoint._after_step, checkpoint.Checkpoint._save = timed_step, timed_save
    with tempfile.TemporaryDirectory() as folder:
        command = [*given, "--trainable=all", f"--workdir={folder}/run", f"--checkpoint_every={every}", "--verbose=0"]
        with contextlib.suppress(_Measured):
            finetune.main(["finetune", *command])
        size = sum(file.stat().st_size for file in pathlib.Path(folder).glob("run/checkpoints/*/*"))
    pairs = list(itertools.pairwise(times))[skip:]
    return {
        "seconds_per_step": statistics.fmean(end - begin for (e1, begin), (e2, end) in pairs if e1 == e2),
        "saves": len(in_saves),
        "seconds_in_saves": round(sum(in_saves), 4),
        "mebibytes": round(size / 2**20, 2),
    }


def report(pairs: Sequence[dict[str, dict[str, Any]]]) -> str:
    """The table of the pairs and the medians.

    Args:
      pairs: way -> what `measure` returns, for each pair.

    Example:
      >>> print(report([{"without": {"seconds_per_step": 0.1}, "with": {"seconds_per_step": 0.102, "saves": 3}}]))
      pair    without, s a step  with, s a step  cost, %
      1                     0.1           0.102        2
      median                0.1           0.102        2
    """
    rows = []
    for number, pair in enumerate(pairs, 1):
        without, with_saves = (pair[way]["seconds_per_step"] for way in WAYS)
        cost = round(100 * (with_saves / without - 1), 6)
        rows.append({"pair": str(number), "without, s a step": without, "with, s a step": with_saves, "cost, %": cost})
    columns = list(rows[0])[1:]
    rows.append({"pair": "median"} | {name: statistics.median(row[name] for row in rows) for name in columns})
    return inspection.table(rows)


if __name__ == "__main__":
    sys.exit(main())
