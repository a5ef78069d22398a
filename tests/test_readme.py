"""What README.md shows works as it stands there."""

import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys

import pytest
from absl import flags as absl_flags

from experiments import flags

ROOT = pathlib.Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
PHOTOS = {"train": 8, "val": 4}
KERAS_NAME = "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_0.35_{}_no_top.h5"


def python_blocks() -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


def command_lines() -> list[list[str]]:
    """The indented lines that call a command of ours, those continued by a backslash joined."""
    lines = re.findall(r"^ {4}((?:kft-|python -m )(?:.*\\\n)*.*)", README, re.MULTILINE)
    return [shlex.split(line.replace("\\\n", " "), comments=True) for line in lines]


@pytest.fixture
def flowers(test_data, tmp_path) -> pathlib.Path:
    """A folder with flowers/train and flowers/val: a few real photos of each class."""
    for part, count in PHOTOS.items():
        for folder in (test_data / "flowers" / part).iterdir():
            (tmp_path / "flowers" / part / folder.name).mkdir(parents=True)
            for file in sorted(folder.iterdir())[:count]:
                (tmp_path / "flowers" / part / folder.name / file.name).symlink_to(file)
    return tmp_path


def test_the_example_of_user_code_trains(flowers, test_data):
    """As it stands, in a folder with photos; Keras finds the weights where it would have downloaded them."""
    [code] = python_blocks()
    models = flowers / "keras" / "models"
    models.mkdir(parents=True)
    size = re.search(r"image_size=(\d+)", code)[1]
    shutil.copy(test_data / "weights" / "mobilenet_v2_035" / KERAS_NAME.format(224), models / KERAS_NAME.format(size))
    (flowers / "example.py").write_text(
        code + "\nprint(model.history.history['val_accuracy'][-1], model.history.epoch)\n"
    )
    environment = {**os.environ, "KERAS_HOME": str(models.parent), "PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run(
        [sys.executable, "example.py"], cwd=flowers, env=environment, capture_output=True, text=True, timeout=570
    )
    assert done.returncode == 0, done.stderr
    accuracy, epochs = done.stdout.splitlines()[-1].split(maxsplit=1)
    assert 0 <= float(accuracy) <= 1 and epochs == "[0, 1, 2, 3, 4]"


def test_the_example_has_the_length_that_is_said_of_it():
    [code] = python_blocks()
    assert len(code.splitlines()) <= 20


def test_the_flags_of_the_command_lines_exist():
    lines = command_lines()
    assert lines
    values = absl_flags.FlagValues()
    flags.define_flags(flag_values=values)
    for line in lines:
        given = [word for word in line if word.startswith("--")]
        assert len(given) == len(line) - 1 or line[0] == "python", line
        for word in given:
            name, _, value = word.removeprefix("--").partition("=")
            assert name == "flagfile" or name in values, word
            if name == "flagfile":
                assert (ROOT / value).is_file(), value


def test_every_command_of_the_table_is_installed():
    setup = (ROOT / "setup.cfg").read_text(encoding="utf-8")
    commands = re.findall(r"^\| `(kft-\w+)` \|", README, re.MULTILINE)
    assert commands and set(commands) == set(re.findall(r"^ +(kft-\w+) = ", setup, re.MULTILINE))


def test_linked_files_are_there():
    for link in re.findall(r"\]\(([^)#:]+)\)", README):
        assert (ROOT / link).is_file(), link
