"""Two processes give what one gives, through plain fit, evaluate and predict; each reads its share."""

import json
import os
import socket
import subprocess
import sys

import numpy as np
import pytest

from tests.conftest import ROOT


def addresses(count):
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    found = [f"127.0.0.1:{each.getsockname()[1]}" for each in sockets]
    for each in sockets:
        each.close()
    return found


def train(folder, name, num_workers, *arguments):
    """What each worker wrote."""
    environment = {key: value for key, value in os.environ.items() if key != "TF_CONFIG"}
    workers, processes = addresses(num_workers), []
    for index in range(num_workers):
        if num_workers > 1:
            task = {"type": "worker", "index": index}
            environment = environment | {"TF_CONFIG": json.dumps({"cluster": {"worker": workers}, "task": task})}
        command = [sys.executable, "-m", "tests.distribute.two_workers", str(folder / name), *arguments]
        processes.append(subprocess.Popen(command, env=environment, cwd=ROOT, stderr=subprocess.PIPE, text=True))
    ends = [process.communicate(timeout=280) for process in processes]
    assert [process.returncode for process in processes] == [0] * num_workers, [end[1][-2000:] for end in ends]
    return [json.loads((folder / f"{name}.{index}").read_text()) for index in range(num_workers)]


@pytest.mark.slow
@pytest.mark.parametrize("plain", ["kft", "plain"])
def test_two_workers_give_what_one_gives(tmp_path, plain):
    one, two = train(tmp_path, "one", 1, "frozen", plain)[0], train(tmp_path, "two", 2, "frozen", plain)
    assert two[0]["num_workers"] == 2
    assert two[0]["sha256"] == two[1]["sha256"] and two[0]["history"] == two[1]["history"]
    for name, values in one["history"].items():
        np.testing.assert_allclose(two[0]["history"][name], values, rtol=1e-5, err_msg=name)
    for mine, theirs in zip(two[0]["weights"], one["weights"], strict=True):
        np.testing.assert_allclose(mine, theirs, atol=1e-6)
    for part in two:
        np.testing.assert_allclose(part["predicted"], one["predicted"], atol=1e-5)
        assert part["scores"] == pytest.approx(one["scores"], rel=1e-5)
    if plain == "kft":  # each read a half of every batch, and the whole only once it was shuffled anew
        evaluated = [{0, 1, 2, 3, 8, 9, 10, 11}, {4, 5, 6, 7, 12}]
        assert all(mine <= set(part["read"]) for mine, part in zip(evaluated, two, strict=True))


@pytest.mark.slow
def test_statistics_of_batchnorm_are_the_same_on_all_workers(tmp_path):
    two = train(tmp_path, "two", 2, "train", "kft")
    assert two[0]["sha256"] == two[1]["sha256"]
    assert np.isfinite(two[0]["history"]["val_loss"]).all()
