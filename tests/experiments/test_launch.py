"""Two workers under the launcher: one killed or stopped, and all go on to the same bits."""

import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest

from experiments import launch
from tests.conftest import ROOT

FLAGS = [
    "--train_data=digits:", "--backbone=python:tests.run.tiny_models:make@features", "--backbone_weights=none",
    "--augmentation=crop", "--global_batch_size=64", "--length=3 epochs", "--trainable=lp_ft(1 epochs)",
    "--checkpoint_every=5 steps", "--verbose=0",
]  # fmt: skip


def start(workdir):
    command = [sys.executable, "-m", "experiments.launch", "--num_workers=2", "--", *FLAGS, f"--workdir={workdir}"]
    return subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True)


def read(process, name):
    return pathlib.Path(f"/proc/{process}/{name}").read_text()


def has_ended(process):
    """Whether it is gone, or waits for the launcher to look at its exit code."""
    return not os.path.exists(f"/proc/{process}") or read(process, "stat").rpartition(")")[2].split()[0] == "Z"


def worker_of(launcher, index):
    """The process of a worker, by what Linux tells of the launcher's children."""
    for entry in os.listdir("/proc"):
        try:
            status = read(entry, "stat").rpartition(")")[2].split()
            environment = read(entry, "environ")
        except (OSError, ValueError):
            continue
        if int(status[1]) == launcher.pid and f'"index": {index}' in environment:
            return int(entry)
    raise LookupError


@pytest.mark.slow
def test_a_lost_worker_ends_the_other_and_all_go_on_to_the_same_bits(tmp_path):
    whole = start(tmp_path / "whole")
    assert whole.wait(timeout=400) == 0, whole.stderr.read()[-3000:]
    digests = [json.loads((tmp_path / "whole" / "result.json").read_text())["variables_sha256"]]
    for index, number in ((1, signal.SIGKILL), (0, signal.SIGSTOP)):
        workdir = tmp_path / number.name
        launcher = start(workdir)
        while not list(workdir.glob("checkpoints/*/manifest.json")) and launcher.poll() is None:
            time.sleep(0.1)
        lost, other = worker_of(launcher, index), worker_of(launcher, 1 - index)
        os.kill(lost, number)
        began = time.monotonic()
        while not has_ended(other):
            time.sleep(0.1)
            assert time.monotonic() - began <= 30
        assert launcher.wait(timeout=400) == 0
        assert f"worker {index}" in launcher.stderr.read()
        digests.append(json.loads((workdir / "result.json").read_text())["variables_sha256"])
    assert digests == digests[:1] * 3


def test_an_input_error_is_not_tried_again(tmp_path, capfd, monkeypatch):
    starts = []
    monkeypatch.setattr(launch, "_run_once", lambda arguments, num_workers: starts.append(num_workers) or 2)
    assert launch.main(["launch", "--num_workers=3", "--", "--nonsense"]) == 2
    assert starts == [3]


def test_it_gives_up_after_so_many_starts(monkeypatch, capfd):
    starts = []
    monkeypatch.setattr(launch, "_run_once", lambda arguments, num_workers: starts.append(arguments) or -9)
    assert launch.main(["launch", "--max_restarts=2", "--", "--seed=3"]) == 137
    assert starts == [["--seed=3"]] * 3
