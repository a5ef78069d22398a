"""The wheel: what is in it, and that its commands run where there is no checkout."""

import configparser
import json
import os
import pathlib
import shutil
import subprocess
import sys
import zipfile

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent
SOURCES = ("kft", "experiments", "setup.cfg", "pyproject.toml", "LICENSE", "README.md")


def commands() -> dict[str, str]:
    """Name of each console script -> its module, from setup.cfg."""
    config = configparser.ConfigParser(interpolation=None)
    config.read(ROOT / "setup.cfg")
    lines = config["options.entry_points"]["console_scripts"].strip().splitlines()
    return {name.strip(): place.strip().partition(":")[0] for name, _, place in (line.partition("=") for line in lines)}


@pytest.fixture(scope="session")
def wheel(tmp_path_factory) -> pathlib.Path:
    """The wheel, built from a copy of the sources with what is installed here."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    source.mkdir()
    for name in SOURCES:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, source / name)
    pip("wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(folder), str(source))
    [path] = folder.glob("kft-*.whl")
    return path


@pytest.fixture(scope="session")
def installed(wheel, tmp_path_factory) -> pathlib.Path:
    """A folder that holds the installed wheel and nothing else."""
    target = tmp_path_factory.mktemp("installed")
    pip("install", "--no-deps", "--target", str(target), str(wheel))
    return target


def pip(*arguments: str) -> None:
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", arguments[0], "--no-index", *arguments[1:]]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def run(installed: pathlib.Path, folder: pathlib.Path, *command: str) -> subprocess.CompletedProcess:
    """Runs a command in a folder, with the installed wheel in front of everything else."""
    environment = dict(os.environ, PYTHONPATH=str(installed), TF_CPP_MIN_LOG_LEVEL="3")
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)


def test_the_wheel_holds_code_recipes_and_licence_and_no_tests(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    for path in sorted((ROOT / "kft").rglob("*.py")) + sorted((ROOT / "experiments" / "recipes").glob("*.flags")):
        assert path.relative_to(ROOT).as_posix() in names
    assert any(name.endswith("LICENSE") for name in names)
    assert {name.split("/")[0] for name in names if ".dist-info/" not in name} == {"kft", "experiments"}


def test_the_wheel_runs_without_the_checkout(installed, tmp_path):
    done = run(installed, tmp_path, sys.executable, "-c", "import kft; print(kft.__file__)")
    assert pathlib.Path(done.stdout.strip()).is_relative_to(installed), done.stderr


@pytest.mark.parametrize("name", commands())
def test_help_of_the_installed_command(name, installed, tmp_path):
    done = run(installed, tmp_path, sys.executable, str(installed / "bin" / name), "--help")
    assert done.returncode == 0, done.stderr
    assert "--workdir" in done.stdout or "--train_data" in done.stdout or "RUN" in done.stdout
    module = run(installed, tmp_path, sys.executable, "-m", commands()[name], "--help")
    assert module.stdout == done.stdout
    assert not list(tmp_path.iterdir()), "--help left files"


USER_MODEL = """
import keras


def make():
    inputs = keras.Input((8, 8, 1), name="image")
    x = keras.layers.Rescaling(1 / 255, name="scale")(inputs)
    x = keras.layers.Conv2D(16, 3, activation="relu", name="conv")(x)
    return keras.Model(inputs, keras.layers.Flatten(name="flatten")(x))
"""


def test_the_installed_commands_train_and_predict_in_an_empty_folder(installed, tmp_path):
    """The digits come with scikit-learn; the model is the user's, in the folder that the command starts in."""
    from PIL import Image
    from sklearn import datasets

    digits = datasets.load_digits()
    (tmp_path / "my_model.py").write_text(USER_MODEL)
    (tmp_path / "photos").mkdir()
    for index in range(20):
        image = Image.fromarray((digits.images[index] * (255 / 16)).round().astype("uint8"))
        image.save(tmp_path / "photos" / f"{index:02}.png")
    settings = ["--backbone=python:my_model:make", "--backbone_weights=none", "--augmentation=none", "--trainable=all"]
    settings += ["--train_data=digits:", "--length=2 epochs", "--learning_rate=1e-2", "--workdir=run"]
    command = [sys.executable, str(installed / "bin" / "kft-finetune"), *settings]
    done = run(installed, tmp_path, *command)
    assert done.returncode == 0, done.stdout + done.stderr
    for words in ("digits: (train part)", "everything", "best epoch", "Run folder: run", "--logdir run/tensorboard"):
        assert words in done.stdout, words
    assert json.loads((tmp_path / "run" / "result.json").read_text())["metrics"]["accuracy"] > 0.85
    done = run(
        installed, tmp_path, sys.executable, str(installed / "bin" / "kft-predict"), "--workdir=run", "--input=photos"
    )
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert [row["file"] for row in rows] == [f"photos/{index:02}.png" for index in range(20)]
    right = [row["label"] == str(label) for row, label in zip(rows, digits.target, strict=False)]
    assert sum(right) >= 16


def test_recipes_are_found_where_there_is_no_checkout(installed, tmp_path):
    """README's command line names the recipe as in a checkout."""
    command = [sys.executable, str(installed / "bin" / "kft-finetune"), "--train_data=folder:no_such_folder"]
    command += ["--flagfile=experiments/recipes/flowers_mobilenet_v2.flags", "--workdir=run"]
    done = run(installed, tmp_path, *command)
    assert done.returncode == 2 and "no_such_folder" in done.stderr, done.stderr
