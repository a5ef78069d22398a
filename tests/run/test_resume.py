"""A run that goes on: what has to be the same, where it may be, and what it may begin from."""

import dataclasses
import json
import os
import pathlib
import resource
import signal
import subprocess
import sys

import numpy as np
import pytest

from kft import errors
from kft.run import from_flat, from_json, run, scoring, train_and_evaluate
from kft.training import checkpoint_files
from tests.conftest import ROOT
from tests.run import digit_photos
from tests.run.test_run import kept_weights

SETTINGS = {"length": "2 epochs", "trainable": "lp_ft(1 epochs)", "learning_rate": 1e-2}


class Cut(Exception):
    """The run ended before its result."""


def cut_off(config, workdir):
    """Trains, but ends before the result is there."""

    def end(*args, **kwargs):
        raise Cut

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scoring, "score", end)
        with pytest.raises(Cut):
            train_and_evaluate(config, workdir, verbose=0)


@pytest.fixture(scope="module")
def unfinished(tmp_path_factory):
    """A run without its result, and its settings; its photos may be changed, and are set back."""
    data = digit_photos.write_parts(tmp_path_factory.mktemp("photos"))
    from tests.run.conftest import TINY

    settings = {**data, **TINY, **SETTINGS}
    workdir = tmp_path_factory.mktemp("runs") / "unfinished"
    cut_off(from_flat(settings), workdir)
    return workdir, settings


CHANGES = {
    "seed": {"seed": 1},
    "global_batch_size": {"global_batch_size": 8},
    "optimizer": {"optimizer": "momentum"},
    "optimizer_options": {"optimizer_options": "beta_2=0.9"},
    "schedule": {"schedule": "linear"},
    "learning_rate": {"learning_rate": 2e-2},
    "trainable": {"trainable": "all"},
    "length": {"length": "3 epochs"},
    "head_dropout": {"head_dropout": 0.5},
    "augmentation": {"augmentation": ()},
    "replicas": {"strategy": "mirrored"},
    "on_nan": {"on_nan": "rollback"},
    "slot_dtype": {"slot_dtype": "bfloat16"},
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_changed_setting_is_refused_by_name(name, unfinished):
    """R6."""
    workdir, settings = unfinished
    before = (workdir / "config.json").read_text()
    with pytest.raises(errors.InputError, match=rf"changed settings.*{name} was") as caught:
        train_and_evaluate(from_flat({**settings, **CHANGES[name]}), workdir, verbose=0)
    assert "resume='force'" in str(caught.value)
    assert (workdir / "config.json").read_text() == before


@pytest.mark.parametrize("part", ["train_data", "eval_data", "test_data"])
def test_one_changed_byte_of_the_data_is_refused(part, unfinished):
    """R6: behind the image, so that it is decoded as before."""
    workdir, settings = unfinished
    file = sorted(pathlib.Path(settings[part].partition(":")[2]).rglob("*.png"))[3]
    content = file.read_bytes()
    try:
        file.write_bytes(content + b"x")
        with pytest.raises(errors.InputError, match=f"{part.removesuffix('_data')} examples was"):
            train_and_evaluate(from_flat(settings), workdir, verbose=0)
    finally:
        file.write_bytes(content)


def test_another_order_of_classes_is_refused(unfinished):
    """R6: two folders that change their names."""
    workdir, settings = unfinished
    folder = pathlib.Path(settings["train_data"].partition(":")[2])
    names = [("one", "temporary"), ("two", "one"), ("temporary", "two")]
    try:
        for old, new in names:
            (folder / old).rename(folder / new)
        with pytest.raises(errors.InputError, match="train examples was"):
            train_and_evaluate(from_flat({**settings, "allow_leakage": True}), workdir, verbose=0)
    finally:
        for old, new in ((new, old) for old, new in reversed(names)):
            (folder / old).rename(folder / new)


def test_the_place_of_the_data_may_change(unfinished, tmp_path):
    import shutil

    workdir, settings = unfinished
    moved = dict(settings)
    for part in ("train_data", "eval_data", "test_data"):
        shutil.copytree(settings[part].partition(":")[2], tmp_path / part)
        moved[part] = f"folder:{tmp_path / part}"
    shutil.copytree(workdir, tmp_path / "run")
    assert train_and_evaluate(from_flat(moved), tmp_path / "run", verbose=0)["epochs"] == 2


def test_places_of_data_are_written_so_that_they_hold_in_any_folder(tiny, tmp_path, monkeypatch):
    folder = pathlib.Path(tiny["train_data"].partition(":")[2])
    monkeypatch.chdir(folder.parent)
    relative = {**tiny, **SETTINGS, "train_data": f"folder:{folder.name}"}
    cut_off(from_flat(relative), tmp_path / "run")
    written = from_json((tmp_path / "run" / "config.json").read_text())
    assert written.data.train_data == f"folder:{folder}"
    assert f"--train_data=folder:{folder}\n" in (tmp_path / "run" / "run.flags").read_text()


def test_numbers_that_are_not_finite_are_null_in_the_result(tmp_path):
    run.write_json(tmp_path / "result.json", {"metrics": {"f1": float("nan"), "loss": 1.5}, "values": [float("inf")]})
    strict = json.loads((tmp_path / "result.json").read_text(), parse_constant=pytest.fail)
    assert strict == {"metrics": {"f1": None, "loss": 1.5}, "values": [None]}


def test_a_warm_start_takes_what_another_run_kept(finished, tmp_path):
    settings = {"warm_start": str(finished.workdir), "length": "1 epoch", "trainable": "head", "learning_rate": 1e-9}
    execution = dataclasses.replace(finished.config, data=finished.config.data)
    config = from_flat({**settings, "keep": "last"}, base=execution)
    result = train_and_evaluate(config, tmp_path / "warm", verbose=0)
    assert result["metrics"]["accuracy"] == pytest.approx(finished.result["metrics"]["accuracy"])
    expected = kept_weights(finished.workdir)
    for path, value in kept_weights(tmp_path / "warm").items():
        np.testing.assert_allclose(value, expected[path], atol=1e-6, err_msg=path)
    report = json.loads((tmp_path / "warm" / "warm_start.json").read_text())
    assert len(report["matched"]) == len(expected) and not report["missing"]


def test_a_warm_start_that_does_not_fit_is_refused_before_anything_is_written(finished, tmp_path):
    config = from_flat({"warm_start": str(finished.workdir), "head_hidden_units": (4,)}, base=finished.config)
    with pytest.raises(errors.InputError, match="head_1|missing: head"):
        train_and_evaluate(config, tmp_path / "warm", verbose=0)
    assert not list((tmp_path / "warm").iterdir())


def test_a_disk_without_room_ends_the_run_and_keeps_the_checkpoint(finished, tmp_path):
    """R8: files of at most 100,000 bytes: pictures fit in, the checkpoint of everything does not."""
    command = [sys.executable, "-m", "experiments.finetune", f"--flagfile={finished.workdir / 'run.flags'}"]
    command += ["--verbose=0", f"--workdir={tmp_path / 'run'}"]

    def limit():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))

    done = subprocess.run(command, cwd=ROOT, preexec_fn=limit, capture_output=True, text=True, check=False)
    assert done.returncode not in (0, 2)
    assert "bytes: File too large" in done.stderr and str(tmp_path / "run" / "checkpoints") in done.stderr
    assert not (tmp_path / "run" / "result.json").exists()


def test_nothing_but_whole_checkpoints_is_left(unfinished):
    workdir, _ = unfinished
    names = sorted(os.listdir(workdir / "checkpoints"))
    assert len(names) == 2 and all(name.startswith("step_") for name in names)
    assert checkpoint_files.load_newest(workdir / "checkpoints").passed_over == ()
