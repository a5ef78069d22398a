import json
import random
import resource
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from kft import errors
from kft.training import checkpoint_files

WRITER = """
import sys
import numpy as np
from kft.training import checkpoint_files
print("ready", flush=True)
step = int(sys.argv[2])
while True:
    step += 1
    checkpoint_files.save(sys.argv[1], step, {"w": np.full((400, 500), step, "float32")}, {"step": step})
"""


def arrays(step):
    return {"w": np.full((30, 20), step, "float32"), "steps": np.array([step], "int64")}


def save(folder, *steps):
    for step in steps:
        checkpoint_files.save(folder, step, arrays(step), {"epoch": step})


def test_what_was_saved_is_loaded(tmp_path):
    save(tmp_path, 7)
    saved = checkpoint_files.load_newest(tmp_path)
    assert (saved.step, saved.facts, saved.passed_over) == (7, {"epoch": 7}, ())
    for name, value in arrays(7).items():
        np.testing.assert_array_equal(saved.arrays[name], value)
        assert saved.arrays[name].dtype == value.dtype


def test_the_newest_two_are_kept(tmp_path):
    save(tmp_path, 1, 2, 3)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step_000000000002", "step_000000000003"]


def test_no_checkpoint_is_none(tmp_path):
    assert checkpoint_files.load_newest(tmp_path / "nothing") is None


def test_what_is_not_finite_is_not_committed(tmp_path):
    save(tmp_path, 1)
    with pytest.raises(errors.NonFiniteError, match="'w'"):
        checkpoint_files.save(tmp_path, 2, {"w": np.array([1.0, np.nan], "float32")}, {})
    assert checkpoint_files.load_newest(tmp_path).step == 1


def files_of(folder):
    return sorted(path for path in (folder / "step_000000000002").iterdir())


@pytest.mark.parametrize("damage", ["flip", "cut", "delete"])
def test_any_damage_is_found_and_the_one_before_is_used(tmp_path, damage):
    """R9: 100 bit flips, 50 truncations, and every file deleted once."""
    choose = random.Random(0)
    save(tmp_path, 1, 2)
    for trial in range({"flip": 100, "cut": 50, "delete": 2}[damage]):
        file = files_of(tmp_path)[trial % 2]
        content = file.read_bytes()
        if damage == "flip":
            place = choose.randrange(len(content))
            file.write_bytes(
                content[:place] + bytes([content[place] ^ 1 << choose.randrange(8)]) + content[place + 1 :]
            )
        elif damage == "cut":
            file.write_bytes(content[: choose.randrange(len(content))])
        else:
            file.unlink()
        saved = checkpoint_files.load_newest(tmp_path)
        if damage == "flip" and file.name == checkpoint_files.MANIFEST and saved.step == 2:
            # A blank or an escape that JSON reads as the same: nothing that is used differs.
            assert json.loads(file.read_bytes()) == json.loads(content)
        else:
            assert saved.step == 1
            assert "step_000000000002" in str(saved.passed_over[0][0])
        file.write_bytes(content)
    assert checkpoint_files.load_newest(tmp_path).step == 2


def test_where_all_are_damaged_it_says_so(tmp_path):
    save(tmp_path, 1)
    (tmp_path / "step_000000000001" / checkpoint_files.ARRAYS).write_bytes(b"")
    with pytest.raises(errors.InputError, match="none is intact"):
        checkpoint_files.load_newest(tmp_path)


def test_a_full_disk_keeps_the_one_before(tmp_path):
    """R8: the operating system refuses to write beyond each of 20 sizes."""
    save(tmp_path, 1)
    large = {"w": np.zeros(50_000, "float32")}
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        for size in range(0, 200_000, 10_000):
            resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
            with pytest.raises(OSError, match=r"which takes [0-9,]+ bytes"):
                checkpoint_files.save(tmp_path, 2, large, {})
            assert checkpoint_files.load_newest(tmp_path).step == 1
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert [path.name for path in tmp_path.iterdir()] == ["step_000000000001"]


def test_a_disk_without_room_is_said_before_anything_is_written(tmp_path, monkeypatch):
    save(tmp_path, 1)
    monkeypatch.setattr(checkpoint_files.shutil, "disk_usage", lambda path: Usage())
    with pytest.raises(OSError, match="Got 10 bytes free"):
        save(tmp_path, 2)
    assert checkpoint_files.load_newest(tmp_path).step == 1


class Usage:
    free = 10


@pytest.mark.parametrize("kills", [10, pytest.param(200, marks=pytest.mark.slow)])
def test_a_writer_killed_at_any_moment_leaves_a_checkpoint_that_loads(tmp_path, kills):
    """R7: kill -9 inside a save; what dead writers left is cleaned by the next one."""
    choose = random.Random(1)
    step = 0
    for _ in range(kills):
        command = [sys.executable, "-c", WRITER, str(tmp_path), str(step)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
            assert writer.stdout.readline() == "ready\n"
            time.sleep(0.02 + 0.05 * choose.random())
            writer.send_signal(signal.SIGKILL)
        saved = checkpoint_files.load_newest(tmp_path)
        if saved is not None:
            assert saved.passed_over == ()
            assert (saved.arrays["w"] == saved.step).all()
            assert saved.step >= step
            step = saved.step
    save(tmp_path, step + 1)
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]
    assert step > 0
