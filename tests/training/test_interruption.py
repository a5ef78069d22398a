"""R10: SIGTERM and SIGINT save within 10 seconds wherever they come, end with 143 or 130, and nothing is lost."""

import os
import shutil
import signal
import subprocess
import sys
import threading
import time

import pytest

from kft.training import checkpoint_files
from kft.training.interruption import Interruption
from tests.conftest import ROOT

EPOCHS = "4"


def start(folder, place):
    command = [sys.executable, "-m", "tests.training.interrupted", str(folder), place, EPOCHS]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def digest(folder, place="nowhere"):
    """Of a run that is let to its end."""
    with start(folder, place) as process:
        lines = process.communicate()[0].splitlines()
    return next(line for line in lines if line.startswith("digest"))


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return digest(tmp_path_factory.mktemp("whole"))


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("place", ["trace", "train", "trace validation", "validate"])
def test_a_signal_saves_in_time_wherever_it_comes(place, number, whole, tmp_path):
    with start(tmp_path, place) as process:
        for line in process.stdout:
            if line.strip() == place:
                break
        time.sleep(0.3)
        sent = time.monotonic()
        process.send_signal(number)
        errors = process.communicate()[1]
        seconds = time.monotonic() - sent
    assert seconds < 10
    # Python ends by SIGINT itself after a KeyboardInterrupt, which a shell sees as 130.
    assert process.returncode in (128 + number, -number) and signal.Signals(number).name in errors
    saved = checkpoint_files.load_newest(tmp_path)
    position = (saved.facts["epoch"], saved.facts["step"])
    if place == "trace":
        assert position == (0, 0)
    elif place == "train":
        assert position[0] == 1 and position[1] > 0
    else:
        assert position == (0, 8)
    assert digest(tmp_path) == whole


@pytest.mark.slow
def test_every_checkpoint_of_a_run_ends_in_the_same_bits(whole, tmp_path):
    """R2: saved at every step of three phases, each restored in a process of its own."""
    assert digest(tmp_path / "all", "save every step") == whole
    saved = sorted((tmp_path / "all").glob("step_*"))
    assert len(saved) == 33
    for path in saved:
        shutil.copytree(path, tmp_path / "one" / path.name)
        assert digest(tmp_path / "one") == whole, path.name
        shutil.rmtree(tmp_path / "one")


def interruption(saved):
    return Interruption(lambda: saved, lambda: None)


def test_the_handlers_are_given_back_however_it_ends():
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
    watch = interruption(True)
    watch.begin()
    assert signal.getsignal(signal.SIGTERM) != before[0]
    watch.end()
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)] == before
    watch.end()


def test_a_signal_is_noted_and_ends_what_runs():
    for number, error in ((signal.SIGTERM, SystemExit), (signal.SIGINT, KeyboardInterrupt)):
        watch = interruption(False)
        watch.begin()
        try:
            os.kill(os.getpid(), number)
            while not watch.number:
                time.sleep(0.01)
            with pytest.raises(error) as caught:
                watch.raise_error()
        finally:
            watch.end()
        if error is SystemExit:
            assert caught.value.code == 143


def test_outside_of_the_main_thread_nothing_is_taken():
    before = signal.getsignal(signal.SIGTERM)
    watch = interruption(True)
    thread = threading.Thread(target=watch.begin)
    thread.start()
    thread.join()
    assert signal.getsignal(signal.SIGTERM) is before
    watch.end()
