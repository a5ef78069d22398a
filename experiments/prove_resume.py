"""Proves on any recipe that a run that is killed again and again ends as if it had not been.

Everything after -- are flags of experiments.finetune; without any, a small recipe on digits that takes minutes.

  1. The run is made once without a break, into WORKDIR/whole.
  2. It is made again into WORKDIR/killed_1, killed with SIGKILL from outside at moments drawn by the clock, and started
     again each time, to its end. Then into killed_2 and so on, until there were --kills kills. What the process was
     doing is found out by looking at its stack every few milliseconds: importing, starting, tracing, training, saving,
     validating, scoring.
  3. With --terminations, the same with SIGTERM and SIGINT in turn; the seconds until the process ends are measured.
  4. The negative control: cut off in the middle of an epoch and gone on with, but with one of the saved items left as
     it is in a new process. The result has to differ for each item, or the proof would prove nothing.

Compared are the digest over all variables (weights, optimizer, seed generators, metrics), the metrics, those of each
epoch (curves), the best epoch and the number of steps. The exit code is 0 if all are as they should be, else 1. Of a
run that differs it is told after which step it began to, in which process and in which variables; --nodigests saves the
time that this takes each step.

Example:
  python -m experiments.prove_resume --kills=50
  python -m experiments.prove_resume --kills=20 -- --flagfile=RECIPE --train_data=folder:DIR
  python -m experiments.prove_resume --kills=6 --terminations=4 -- --task=text_classification \
    --backbone=bert_tiny_random --train_data=lines:FILE --trainable="lp_ft(1 epoch)" --checkpoint_every="10 steps"
"""

import contextlib
import json
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from absl import flags as absl_flags

from experiments import flags, small_digits, step_digests
from experiments.resume_victim import STAGES
from kft import errors, inspection
from kft.inspection import run_folder

MOST_IN_VAIN = 10
MOST_SECONDS_ASLEEP = 0.5
MOST_SECONDS_TO_END = 10.0
COMPARED = ("variables_sha256", "metrics", "best_epoch", "epochs", "steps", "curves")
# Item -> how its saved names begin, or what else it is.
ITEMS = {
    "weights": "weight/",
    "seed generators": "seed/",
    "first slots": "optimizer/m/",
    "own steps of the variables": "optimizer/steps",
    "number of updates": "optimizer/iteration",
    "averages": "optimizer/average/",
    "accumulated gradients": "optimizer/accumulated",
    "loss scale": "optimizer/loss_scale",
    "plateau": "schedule/",
    "best value and patience": "callback/KeepBest",
    "metrics of the running epoch": "metric/",
    "position in the epoch": "position",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit code."""
    argv = list(sys.argv if argv is None else argv)
    place = argv.index("--") if "--" in argv else len(argv)
    own, given = argv[:place], argv[place + 1 :]

    def run(config, flag_values):
        return prove(
            given or list(small_digits.FLAGS),
            kills=flag_values.kills,
            terminations=flag_values.terminations,
            control=flag_values.control,
            digests=flag_values.digests,
            seed=flag_values.seed,
            workdir=pathlib.Path(flag_values.workdir or tempfile.mkdtemp(prefix="prove_resume.")),
        )

    return flags.app_run(run, description=__doc__, names=(), define=_define, argv=own)


def _define(flag_values):
    define = {"flag_values": flag_values}
    absl_flags.DEFINE_integer("kills", 50, "SIGKILLs in all.", 1, **define)
    absl_flags.DEFINE_integer("terminations", 0, "SIGTERMs and SIGINTs in all.", 0, **define)
    absl_flags.DEFINE_bool(
        "control", True, "Also leave out each saved item, and see that the result differs.", **define
    )
    absl_flags.DEFINE_bool("digests", True, "Keep a digest of each variable after each step.", **define)
    absl_flags.DEFINE_integer("seed", 0, "Of the moments.", 0, **define)
    absl_flags.DEFINE_string("workdir", "", "For the runs, a new folder; empty: a temporary one.", **define)


def prove(
    given: Sequence[str],
    *,
    kills: int,
    terminations: int,
    control: bool,
    seed: int,
    workdir: pathlib.Path,
    digests: bool = True,
) -> int:
    """All of the proof; prints tables.

    Args:
      given: flags of experiments.finetune, without workdir.
      kills, terminations: how many.
      control: whether to make the negative control.
      seed: of the moments.
      workdir: a new or empty folder.
      digests: whether to tell after which step a run began to differ.

    Returns: 0 if everything is as it should be, else 1.
    """
    if workdir.is_dir() and any(workdir.iterdir()):
        raise errors.InputError(
            f"Got workdir={str(workdir)!r}, which is not empty. Expected a new folder. Name another."
        )
    workdir.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    whole = Run(workdir / "whole", given, digests)
    whole.to_the_end()
    window = (0.9 * whole.first_seen.get("tracing", 0.0), whole.seconds)
    print(f"Without a break: {whole.seconds:.1f} s, {whole.result['steps']} steps, in {whole.folder}", flush=True)

    choose, rows, good = random.Random(seed), [], True
    for name, total, signals in (
        ("killed", kills, (signal.SIGKILL,)),
        ("terminated", terminations, (signal.SIGTERM, signal.SIGINT)),
    ):
        done, number, in_vain = 0, 0, 0
        while done < total:
            number += 1
            run = Run(workdir / f"{name}_{number}", given, digests)
            run.broken_off(total - done, signals, choose, window)
            if not run.breaks:  # the machine is faster now than it was
                window = (min(window[0], 0.5 * run.seconds), min(window[1], run.seconds))
            done += run.breaks
            same = differing(whole.result, run.result)
            good &= not same and run.well_ended
            rows.append(run.row(same))
            in_vain = 0 if run.breaks else in_vain + 1
            print(
                f"{run.folder.name}: {run.breaks} breaks; {'DIFFERS in ' + ', '.join(same) if same else 'equal'}",
                flush=True,
            )
            if same and digests:
                print(step_digests.first_difference(whole.digests_file, run.digests_file), flush=True)
            if in_vain == MOST_IN_VAIN:
                raise errors.InputError(
                    f"Got {in_vain} runs that ended before their first break. Expected ones that take longer. Give a "
                    "longer recipe."
                )
    print("\n" + inspection.table(rows), flush=True)
    if control:
        table, all_missed = negative_control(given, whole, workdir)
        good &= all_missed
        print("\n" + inspection.table(table), flush=True)
    print(f"\n{'PROVEN' if good else 'NOT PROVEN'} in {time.monotonic() - began:.0f} s", flush=True)
    return 0 if good else 1


def negative_control(given: Sequence[str], whole: "Run", workdir: pathlib.Path) -> tuple[list[dict[str, Any]], bool]:
    """A row for each saved item: whether a run that goes on without it ends otherwise, and whether all do."""
    result = whole.result
    steps = result["steps"] // result["epochs"]
    done = min(max(int(0.6 * result["epochs"]), (result["best_epoch"] or 0) + 1), result["epochs"] - 1)  # the best too
    stop_after = done * steps + max(steps - 2, 1)
    cut = Run(workdir / "control", [*given, "--steps_per_execution=1"])
    cut.start(f"--stop_after={stop_after}")
    cut.process.wait()
    from kft.training import checkpoint_files

    saved = checkpoint_files.load_newest(cut.folder / "checkpoints")
    rows, all_missed = [], True
    for item, prefix in {"nothing": "", **ITEMS}.items():
        there = not prefix or prefix == "position" or any(name.startswith(prefix) for name in saved.arrays)
        row = {"left out": item, "result": "not in this recipe"}
        if there:
            folder = workdir / f"control_{prefix.strip('/').replace('/', '_') or 'nothing'}"
            shutil.copytree(cut.folder, folder)
            run = Run(folder, given)
            run.to_the_end(f"--leave_out={prefix}")
            differs = differing(whole.result, run.result)
            all_missed &= bool(differs) == bool(prefix)
            row["result"] = f"differs: {', '.join(differs)}" if differs else "equal"
        rows.append(row)
        print(f"control, without {item}: {row['result']}", flush=True)
    print(f"cut off after step {stop_after}, gone on from step {saved.step}", flush=True)
    return rows, all_missed


def differing(first: dict[str, Any], second: dict[str, Any]) -> list[str]:
    """What differs of the results of two runs.

    Example:
      >>> differing({"steps": 3, "epochs": 1}, {"steps": 4, "epochs": 1})
      ['steps']
    """
    return [name for name in COMPARED if first.get(name) != second.get(name)]


class Run:
    """A run folder and the processes that work on it, one after the other.

    Args:
      folder: of the run.
      given: flags of experiments.finetune.
      digests: whether to keep those of each step.
    """

    def __init__(self, folder: pathlib.Path, given: Sequence[str], digests: bool = False):
        self.folder, self.given = folder, list(given)
        self.digests, self.digests_file = digests, folder.with_name(f"{folder.name}.digests")
        self.first_seen: dict[str, float] = {}
        self.stages: Counter[str] = Counter()
        self.breaks, self.slowest, self.well_ended = 0, 0.0, True

    @property
    def result(self) -> dict[str, Any]:
        """What is in result.json, and as "curves" the metrics of each epoch, of training and evaluation."""
        curves = run_folder.scalars(self.folder / "tensorboard")
        of_metrics = {key: [axis.tolist() for axis in curve] for key, curve in curves.items() if "metrics/" in key[1]}
        return json.loads((self.folder / "result.json").read_text(encoding="utf-8")) | {"curves": of_metrics}

    def start(self, *own: str) -> None:
        """Starts a process."""
        self.stage_file = self.folder.with_name(f"{self.folder.name}.stage")
        self.stage_file.write_bytes(bytes(1))
        command = [sys.executable, "-m", "experiments.resume_victim", f"--stage_file={self.stage_file}", *own]
        command += [f"--digests={self.digests_file}"] if self.digests else []
        command += ["--", *self.given, f"--workdir={self.folder}", "--verbose=0"]
        with open(self.folder.with_name(f"{self.folder.name}.log"), "ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log)
        self.began = time.monotonic()

    def to_the_end(self, *own: str) -> None:
        """Lets a process end by itself."""
        self.start(*own)
        self.seconds = self._until_end(lambda seconds: self.first_seen.setdefault(self._stage(), seconds))
        self._check()

    def broken_off(self, most: int, signals: Sequence[int], choose: random.Random, window: tuple[float, float]) -> None:
        """Sends signals at moments of the clock, and starts again each time, until the run has ended."""
        while True:
            self.start()
            wait = choose.uniform(*window) if self.breaks < most else None
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(timeout=wait)
                self.seconds = time.monotonic() - self.began
                self._check()
                return
            number = signals[self.breaks % len(signals)]
            stage = self._stage()
            self.process.send_signal(number)
            sent = time.monotonic()
            seconds, code = self._until_end(), self.process.returncode
            if code == 0:  # it ended by itself at that very moment
                self.seconds = sent - self.began
                return
            self.breaks += 1
            self.stages[stage] += 1
            self.slowest = max(self.slowest, seconds)
            self.well_ended &= code in (-number, 128 + number) and seconds <= MOST_SECONDS_TO_END
            if (self.folder / "result.json").is_file():  # broken off behind its last act
                self.seconds = sent - self.began
                return

    def row(self, differs: Sequence[str]) -> dict[str, Any]:
        """Of the table."""
        doing = {stage: self.stages[stage] or None for stage in STAGES}
        return {
            "run": self.folder.name,
            "breaks": self.breaks,
            **doing,
            "slowest end": f"{self.slowest:.1f} s",
            "result": (f"differs: {', '.join(differs)}" if differs else "equal")
            + ("" if self.well_ended else "; ended too late, or with another exit code"),
        }

    def _until_end(self, look: Callable[[float], Any] = lambda seconds: None) -> float:
        """Seconds until the process ends, without those in which it and this one were halted."""
        seconds, last = 0.0, time.monotonic()
        while self.process.poll() is None:
            look(seconds)
            time.sleep(0.02)
            now = time.monotonic()
            seconds, last = seconds + min(now - last, MOST_SECONDS_ASLEEP), now
        return seconds

    def _stage(self) -> str:
        return STAGES[self.stage_file.read_bytes()[0]]

    def _check(self) -> None:
        if self.process.returncode:
            log = self.folder.with_name(f"{self.folder.name}.log").read_text(encoding="utf-8", errors="replace")
            raise RuntimeError(f"A run in {self.folder} ended with exit code {self.process.returncode}:\n{log[-3000:]}")


if __name__ == "__main__":
    sys.exit(main())
