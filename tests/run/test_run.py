"""One run, end to end: what it writes, what trains when, what is kept, and that it repeats."""

import dataclasses
import json
import math
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import safetensors.numpy

from kft import errors
from kft.run import evaluate, from_flat, from_json, predict, train_and_evaluate
from kft.training import checkpoint_files
from tests.conftest import ROOT
from tests.run import digit_photos
from tests.run.conftest import TINY, watched_run

RESULT = {
    "metrics": dict, "test_metrics": dict, "best_epoch": int, "epochs": int, "steps": int, "train_seconds": float,
    "wall_seconds": float, "examples_per_second": float, "peak_memory_bytes": int, "xla": bool,
    "xla_compilations": int, "precision": str, "seed": int, "variables_sha256": str,
    "num_trainable_parameters": int, "versions": dict,
}  # fmt: skip


def kept_weights(workdir):
    return safetensors.numpy.load_file(workdir / "model" / "weights.safetensors")


def assert_same(first, second, what=""):
    assert first.keys() == second.keys()
    for path, value in first.items():
        np.testing.assert_array_equal(value, second[path], err_msg=f"{what} {path}")


def test_the_run_folder_holds_every_file(finished):
    there = {path.relative_to(finished.workdir).as_posix() for path in finished.workdir.rglob("*")}
    assert there >= {
        "config.json", "run.flags", "run.json", "result.json", "eval_predictions.jsonl", "checkpoints",
        "schedule.png", "tensorboard", "model/model.json", "model/weights.safetensors",
    }  # fmt: skip
    assert not [name for name in there if "/." in f"/{name}"], "a temporary file was left"


def test_result_json_holds_every_key_and_is_what_was_returned(finished):
    result = json.loads((finished.workdir / "result.json").read_text())
    assert result == finished.result
    for key, kind in RESULT.items():
        assert type(result[key]) is kind, key
    assert result["metrics"].keys() == result["test_metrics"].keys() == {
        "loss", "accuracy", "macro_f1", "micro_f1", "matthews", *(f"f1_{name}" for name in digit_photos.CLASSES)
    }  # fmt: skip
    assert result["versions"].keys() >= {"kft", "tensorflow", "keras", "numpy", "python"}
    assert len(result["variables_sha256"]) == 64


def test_result_json_counts_what_was_done(finished):
    result = finished.result
    assert (result["epochs"], result["steps"]) == (6, 6 * math.ceil(90 / 16))
    assert result["seed"] == 3 and result["precision"] == "float32"
    assert (result["xla"], result["xla_compilations"]) == (False, 0)
    assert 0 < result["train_seconds"] < result["wall_seconds"]
    assert result["examples_per_second"] == pytest.approx(6 * 90 / result["train_seconds"])
    assert result["peak_memory_bytes"] > 100 * 2**20
    conv, norm, features, head = 8 * 9 + 8, 8 + 8, 6 * 6 * 8 * 24 + 24, 24 * 5 + 5
    assert result["num_trainable_parameters"] == conv + norm + features + head


def test_config_json_is_the_config(finished):
    assert from_json((finished.workdir / "config.json").read_text()) == finished.config


def test_run_json_tells_data_and_phases(finished):
    decided = json.loads((finished.workdir / "run.json").read_text())
    assert [decided["data"][role]["num_examples"] for role in ("train", "eval", "test")] == [90, 45, 35]
    assert decided["data"]["train"]["num_examples_per_class"]["seven"] == 18
    assert [(phase["epochs"], phase["trains"]) for phase in decided["phases"]] == [
        ("1 to 2", "the head"),
        ("3 to 6", "everything"),
    ]
    assert decided["num_replicas"] == 1 and decided["steps"] == 36


def test_the_summary_comes_before_the_first_step_and_the_result_after_the_last(finished):
    summary, _, rest = finished.printed.partition("epoch 1/6")
    for words in ("train_data", "seven", "the head", "everything", "36 (6 epochs of 6)", "CPU", "float32", "crop"):
        assert words in summary, words
    after = rest[rest.rindex("val_loss") :]
    for words in ("best epoch", "test", str(finished.workdir), "tensorboard --host 127.0.0.1 --logdir"):
        assert words in after, words


def test_in_the_first_phase_the_head_alone_moves_to_the_bit(finished):
    for epoch in (0, 1):
        for path, value in finished.weights[epoch].items():
            assert np.array_equal(value, finished.before[path]) == (not path.startswith("head/")), path


def test_in_the_second_phase_everything_moves_but_the_frozen_statistics(finished):
    for path, value in finished.weights[-1].items():
        assert np.array_equal(value, finished.weights[1][path]) == ("/moving_" in path), path


def test_the_kept_model_is_that_of_the_best_epoch(finished):
    accuracies = [logs["val_accuracy"] for logs in finished.logs]
    best = accuracies.index(max(accuracies))
    assert finished.result["best_epoch"] == best + 1
    assert_same(kept_weights(finished.workdir), finished.weights[best])


def test_metrics_are_those_of_the_kept_model(finished):
    logs = finished.logs[finished.result["best_epoch"] - 1]
    for name in ("loss", "accuracy"):
        assert finished.result["metrics"][name] == pytest.approx(logs[f"val_{name}"], rel=1e-6)
    assert finished.result["metrics"]["accuracy"] > 0.5


def test_eval_and_test_data_are_scored_once(finished):
    assert finished.num_scored == 2


def test_tensorboard_has_curves_by_step_and_the_config(finished):
    from tensorboard.backend.event_processing.event_multiplexer import EventMultiplexer

    events = EventMultiplexer().AddRunsFromDirectory(str(finished.workdir / "tensorboard")).Reload()
    found = [tags for kinds in events.Runs().values() for tags in kinds.values() if isinstance(tags, list)]
    tags = [tag for several in found for tag in several]
    for words in ("loss", "accuracy", "learning_rate", "examples_per_second", "config", "pictures/schedule"):
        assert any(words in tag for tag in tags), (words, tags)


def test_a_users_model_without_layer_names_is_found_again_in_the_same_process(tiny, tmp_path):
    model = "python:tests.run.tiny_models:make_without_names"
    config = from_flat({**tiny, "backbone": model, "length": "1 epoch", "trainable": "all"})
    result = train_and_evaluate(config, tmp_path, verbose=0)
    assert {path.partition("/")[0] for path in kept_weights(tmp_path)} == {"sequential", "head"}
    assert evaluate(tmp_path, tiny["eval_data"]) == result["metrics"]


def test_a_model_with_recalibrated_statistics_is_kept_and_scores_the_same_again(tiny, photos, tmp_path):
    result = train_and_evaluate(from_flat({**tiny, "batchnorm": "recalibrate"}), tmp_path, verbose=0)
    assert evaluate(tmp_path, photos["eval_data"]) == result["metrics"]


def test_early_stopping_counts_from_the_last_phase_and_keep_last_keeps_its_end(tiny, tmp_path):
    """Nothing gets better after epoch 1: patience of 2 ends a run whose last phase begins with epoch 3 in epoch 5."""
    folder = digit_photos.write(tmp_path / "train", first=0, count=12)
    (folder / "one" / "empty.png").write_bytes(b"")
    settings = {**tiny, "train_data": f"folder:{folder}", "trainable": "lp_ft(2 epochs, 1)", "length": "9 epochs"}
    settings |= {"keep": "last", "early_stopping": 2, "learning_rate": 1e-9}
    with pytest.raises(errors.InputError, match=r"empty\.png"):
        train_and_evaluate(from_flat(settings), tmp_path / "run", verbose=0)
    run = watched_run(from_flat({**settings, "on_bad_example": "skip"}), tmp_path / "run")
    assert (run.result["epochs"], run.result["steps"], run.result["best_epoch"]) == (5, 5 * 4, 1)
    assert_same(kept_weights(run.workdir), run.weights[4])
    assert not np.array_equal(run.weights[4]["head/kernel"], run.weights[0]["head/kernel"])
    # And the empty file was left out, and counted.
    decided = json.loads((run.workdir / "run.json").read_text())
    assert decided["findings"]["zero bytes"] == 1 and decided["skipped"]["train"] == 1
    assert decided["data"]["train"]["num_examples_per_class"]["one"] == 12


def test_digits_hold_out_a_fixed_part_and_a_loss_can_choose_the_epoch(tmp_path):
    settings = {**TINY, "train_data": "digits:", "augmentation": (), "trainable": "all", "monitor": "val_loss"}
    run = watched_run(
        from_flat({**settings, "length": "2 epochs", "global_batch_size": 64, "learning_rate": 1e-2}), tmp_path
    )
    data = json.loads((tmp_path / "run.json").read_text())["data"]
    assert data["train"]["num_examples"] + data["eval"]["num_examples"] == 1797
    assert 0.15 < data["eval"]["num_examples"] / 1797 < 0.25
    assert run.result["metrics"]["accuracy"] > 0.8 and run.result["test_metrics"] is None
    losses = [logs["val_loss"] for logs in run.logs]
    assert run.result["best_epoch"] == losses.index(min(losses)) + 1 > 1


def test_two_replicas_give_the_result_of_one(finished, tmp_path):
    execution = dataclasses.replace(finished.config.execution, strategy="mirrored")
    two = train_and_evaluate(dataclasses.replace(finished.config, execution=execution), tmp_path, verbose=0)
    assert json.loads((tmp_path / "run.json").read_text())["num_replicas"] == 2
    for part in ("metrics", "test_metrics"):
        for name, value in finished.result[part].items():
            assert two[part][name] == pytest.approx(value, rel=1e-5), (part, name)
    assert two["best_epoch"] == finished.result["best_epoch"]
    expected = kept_weights(finished.workdir)
    for path, value in kept_weights(tmp_path).items():
        np.testing.assert_allclose(value, expected[path], atol=1e-5, err_msg=path)


@pytest.mark.slow
def test_xla_changes_no_metric_and_compiles_each_function_once(tiny, tmp_path):
    settings = {**tiny, "trainable": "head", "length": "2 epochs", "cache": "off"}
    off, on = (
        train_and_evaluate(from_flat({**settings, "xla": xla}), tmp_path / xla, verbose=0) for xla in ("off", "on")
    )
    assert on["metrics"] == pytest.approx(off["metrics"], rel=1e-4)
    assert on["xla"] and on["xla_compilations"] == 3  # train, test, predict


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"monitor": "val_acuracy"}, "Did you mean 'val_accuracy'"),
        ({"trainable": "lp_ft(5 epochs)", "length": "3 epochs"}, "Train longer"),
        ({"length": "0 epochs"}, "one step at least"),
        ({"optimizer_options": "beta_9=0.5"}, "beta_9"),
        ({"schedule_options": "gamma=0.5"}, "gamma"),
        ({"image_size": 16}, "image_size"),
    ],
)
def test_what_does_not_fit_is_said_before_anything_is_written(tiny, tmp_path, settings, words):
    with pytest.raises(errors.InputError) as caught:
        train_and_evaluate(from_flat({**tiny, **settings}), tmp_path / "run", verbose=0)
    assert words in str(caught.value)
    assert not list((tmp_path / "run").iterdir())


def test_nothing_that_was_saved_is_overwritten(finished):
    with pytest.raises(errors.InputError, match="has a finished run"):
        train_and_evaluate(finished.config, finished.workdir, verbose=0)


@pytest.mark.slow
def test_a_run_killed_at_any_moment_goes_on_to_the_same_result(finished, tmp_path):
    """R1: kill -9 by the clock, in fresh processes, while tracing, training, evaluating or saving; then the digest."""
    command = [sys.executable, "-m", "experiments.finetune", f"--flagfile={finished.workdir / 'run.flags'}"]
    command += ["--head_dropout=0.3", "--checkpoint_every=2 steps", "--verbose=0"]
    began = time.monotonic()
    subprocess.run([*command, f"--workdir={tmp_path / 'whole'}"], cwd=ROOT, check=True)
    seconds = time.monotonic() - began
    choose, kills = random.Random(0), 0
    while not (tmp_path / "parts" / "result.json").exists():
        process = subprocess.Popen([*command, f"--workdir={tmp_path / 'parts'}"], cwd=ROOT)
        try:
            assert process.wait(timeout=None if kills == 12 else choose.uniform(0.3 * seconds, 0.8 * seconds)) == 0
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            kills += 1
    whole, parts = (json.loads((tmp_path / name / "result.json").read_text()) for name in ("whole", "parts"))
    assert kills > 0
    for name in ("variables_sha256", "metrics", "best_epoch", "epochs", "steps"):
        assert parts[name] == whole[name], name


def test_sigterm_saves_and_ends_with_its_exit_code(finished, tmp_path):
    """R10: within the running step; what is left is an unfinished run with a checkpoint that loads."""
    command = [sys.executable, "-m", "experiments.finetune", f"--flagfile={finished.workdir / 'run.flags'}"]
    command += ["--length=10000 epochs", "--verbose=2", f"--workdir={tmp_path / 'run'}"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout:
            if line.startswith("epoch 1/"):
                break
        process.stdout.readline()
        process.terminate()
        process.communicate()
    assert process.returncode == 128 + signal.SIGTERM
    assert checkpoint_files.load_newest(tmp_path / "run" / "checkpoints").step > 0
    assert not (tmp_path / "run" / "result.json").exists()


@pytest.mark.parametrize("precision", ["mixed_bfloat16", "mixed_float16"])
def test_a_kept_model_predicts_in_the_precision_it_was_trained_in(tiny, tmp_path, precision):
    config = from_flat({**tiny, "precision": precision, "length": "2 epochs", "cache": "exact", "augmentation": ()})
    result = train_and_evaluate(config, tmp_path / "run", verbose=0)
    assert result["precision"] == precision
    assert json.loads((tmp_path / "run" / "run.json").read_text())["precision"] == precision
    assert evaluate(tmp_path / "run", tiny["test_data"]) == pytest.approx(result["test_metrics"], rel=1e-6)


def test_images_of_a_table_train_as_those_of_the_folder(finished, tiny, tmp_path):
    rows = [("image", "label")]
    folder = pathlib.Path(tiny["train_data"].partition(":")[2])
    rows += [(path.relative_to(folder).as_posix(), path.parent.name) for path in sorted(folder.glob("*/*.png"))]
    (tmp_path / "photos.csv").write_text("\n".join(map(",".join, rows)) + "\n")
    settings = {"train_data": f"csv:{tmp_path}/photos.csv", "data_root": str(folder)}
    config = dataclasses.replace(finished.config, data=dataclasses.replace(finished.config.data, **settings))
    result = train_and_evaluate(config, tmp_path / "run", verbose=0)
    assert result["variables_sha256"] == finished.result["variables_sha256"]
    assert evaluate(tmp_path / "run", f"csv:{tmp_path}/photos.csv")["accuracy"] == pytest.approx(
        evaluate(finished.workdir, tiny["train_data"])["accuracy"]
    )
    shutil.copytree(folder, tmp_path / "moved")
    elsewhere = evaluate(tmp_path / "run", f"csv:{tmp_path}/photos.csv", data_root=str(tmp_path / "moved"))
    assert elsewhere["accuracy"] == evaluate(finished.workdir, tiny["train_data"])["accuracy"]
    (row, *_) = predict(tmp_path / "run", [f"csv:{tmp_path}/photos.csv"])
    assert row["file"] == str(folder / rows[1][0])


def test_few_examples_of_each_class_that_the_seed_fixes(tiny, tmp_path):
    settings = {**tiny, "max_examples": "6 per class", "sampling": "balanced", "length": "1 epoch", "trainable": "all"}
    for name, given in (("one", {}), ("same", {}), ("other", {"seed": 1})):
        train_and_evaluate(from_flat({**settings, **given}), tmp_path / name, verbose=0)
    decided = {name: json.loads((tmp_path / name / "run.json").read_text()) for name in ("one", "same", "other")}
    digests = {name: decided[name]["digests"]["train examples"] for name in decided}
    assert digests["one"] == digests["same"] != digests["other"]
    assert set(decided["one"]["data"]["train"]["num_examples_per_class"].values()) == {6}
