"""The commands: a run from flags to predictions, and every wrong input with exit code 2, file, reason and remedy."""

import json
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys

import keras
import pytest
from PIL import Image

from experiments import check, compare, describe, evaluate, finetune, predict
from kft import training
from tests.run import digit_photos

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
MODEL = "--backbone=python:tests.run.tiny_models:make@features"
SETTINGS = [MODEL, "--backbone_weights=none", "--augmentation=crop", "--global_batch_size=16", "--length=2 epochs"]
SETTINGS += ["--trainable=lp_ft(1 epoch)", "--learning_rate=1e-2"]


def call(command, *arguments):
    return command.main([command.__name__, *map(str, arguments)])


@pytest.fixture(scope="session")
def photos(tmp_path_factory):
    return digit_photos.write_parts(tmp_path_factory.mktemp("command_photos"))


@pytest.fixture(scope="session")
def data_flags(photos):
    return [f"--{role}={spec}" for role, spec in photos.items()]


@pytest.fixture(scope="session")
def workdir(data_flags, tmp_path_factory):
    """A run by the command, dropout and augmentation on."""
    workdir = tmp_path_factory.mktemp("commands") / "run"
    assert call(finetune, *SETTINGS, *data_flags, f"--workdir={workdir}", "--verbose=0") == 0
    return workdir


@pytest.fixture
def train(photos, tmp_path):
    """A copy of the training data, to be spoiled."""
    shutil.copytree(photos["train_data"].removeprefix("folder:"), tmp_path / "train")
    return tmp_path / "train"


@pytest.fixture
def no_step(monkeypatch):
    def fine_tune(*args, **kwargs):
        raise AssertionError("the training began")

    monkeypatch.setattr(training, "fine_tune", fine_tune)


def result(workdir):
    return json.loads((workdir / "result.json").read_text())


# What works.


def test_run_flags_repeats_the_run_in_a_fresh_process_to_the_bit(workdir, tmp_path):
    command = [sys.executable, "-m", "experiments.finetune", f"--flagfile={workdir / 'run.flags'}", "--verbose=0"]
    done = subprocess.run(
        [*command, f"--workdir={tmp_path}"], cwd=ROOT, capture_output=True, text=True, timeout=300, env=environment()
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == done.stderr == "", "--verbose=0 is silent"
    again = result(tmp_path)
    for key in ("variables_sha256", "metrics", "test_metrics", "best_epoch", "steps"):
        assert again[key] == result(workdir)[key], key


def environment():
    return {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}


def test_evaluate_prints_the_metrics_of_the_run(workdir, photos, capsys):
    assert call(evaluate, f"--workdir={workdir}", f"--test_data={photos['eval_data']}") == 0
    assert json.loads(capsys.readouterr().out) == result(workdir)["metrics"]


def test_predict_writes_a_line_of_json_for_each_file(workdir, photos, tmp_path, capsys):
    folder = photos["test_data"].removeprefix("folder:")
    output = tmp_path / "predictions.jsonl"
    assert call(predict, f"--workdir={workdir}", f"--input={folder}", f"--output={output}") == 0
    rows = [json.loads(line) for line in output.read_text().splitlines()]
    right = sum(row["label"] == pathlib.Path(row["file"]).parent.name for row in rows) / len(rows)
    assert right == pytest.approx(result(workdir)["test_metrics"]["accuracy"], abs=1e-6)
    two = [rows[20]["file"], rows[1]["file"]]
    assert call(predict, f"--workdir={workdir}", f"--input={','.join(two)}") == 0
    assert [json.loads(line)["file"] for line in capsys.readouterr().out.splitlines()] == two


def test_compare_names_no_winner_of_a_run_and_itself(workdir, capsys):
    assert call(compare, workdir, workdir) == 0
    assert "No winner" in capsys.readouterr().out


def test_describe_lists_every_variable_and_trains_nothing(data_flags, no_step, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert call(describe, *SETTINGS, *data_flags) == 0
    text = capsys.readouterr().out
    rows = {line.split()[0]: line for line in text.splitlines() if re.match(r"(conv|norm|features|head)/\w", line)}
    assert set(rows) == {
        *(f"conv/{name}" for name in ("kernel", "bias")),
        *(f"norm/{name}" for name in ("gamma", "beta", "moving_mean", "moving_variance")),
        *(f"{layer}/{name}" for layer in ("features", "head") for name in ("kernel", "bias")),
    }
    assert "epoch 2 to 2" in rows["conv/kernel"] and "3 x 3 x 1 x 8" in rows["conv/kernel"]
    assert "epoch 1 to 2" in rows["head/kernel"] and "epoch" not in rows["norm/moving_mean"]
    assert "7,157" in text and "12 (2 epochs of 6)" in text
    assert not list(tmp_path.iterdir())


def test_check_tells_what_is_there_and_counts_ignored_files(train, tmp_path, capsys):
    for name in ("one/a.webp", "one/b.webp", "two/notes.txt"):
        (train / name).write_text("x")
    report = tmp_path / "report.json"
    assert call(check, f"--train_data=folder:{train}", f"--output={report}") == 0
    text = capsys.readouterr().out
    assert "90 examples (one 18, seven 18" in text
    assert "Warning: ignored files: 3" in text and "Got 2 of the ending .webp" in text
    written = json.loads(report.read_text())
    assert written["ok"] and written["counts"] == {"ignored files": 3}


# What is wrong with files.


def empty_file(train):
    (train / "one" / "0000.png").write_bytes(b"")
    return "one/0000.png: Got an empty file", "Copy it again, or remove it"


def truncated_png(train):
    file = sorted((train / "two").iterdir())[0]
    file.write_bytes(file.read_bytes()[:-30])
    return f"two/{file.name}", "truncated", "Copy it again, or remove it"


def truncated_jpeg(train):
    Image.effect_noise((64, 64), 50).save(train / "two" / "cut.jpg")
    content = (train / "two" / "cut.jpg").read_bytes()
    (train / "two" / "cut.jpg").write_bytes(content[: len(content) // 2])
    return "two/cut.jpg", "Copy it again, or remove it"


def no_image(train):
    (train / "zero" / "page.jpg").write_text("<html>not found</html>")
    return "zero/page.jpg", "not an image", "b'<html>", "Remove it"


def empty_class(train):
    (train / "four").mkdir()
    return "train/four: Got a class folder without images", "Add images, or remove the folder"


def one_class(train):
    for folder in train.iterdir():
        if folder.name != "one":
            shutil.rmtree(folder)
    return "Got examples of 1 class", "Add a class"


def no_classes(train):
    shutil.rmtree(train)
    train.mkdir()
    return str(train), "without folders", "Move the images of each class"


def same_file(train):
    source = sorted((train.parent / "eval" / "one").iterdir())[0]
    shutil.copy(source, train / "one" / "again.png")
    return source.name, "the same bytes in evaluation and in train", "again.png", "allow_leakage"


def class_only_in_eval(train):
    shutil.rmtree(train / "two")
    return "Got 9 examples of 'two' in evaluation and none in train", "Add 'two' to train"


def several(train):
    return [*empty_file(train), *no_image(train), *empty_class(train)]


SPOIL = [empty_file, truncated_png, truncated_jpeg, no_image, empty_class, one_class, no_classes, same_file]
SPOIL += [class_only_in_eval, several]


@pytest.mark.parametrize("spoil", SPOIL)
def test_bad_data_ends_before_the_first_step_with_file_reason_and_remedy(
    spoil, train, photos, no_step, tmp_path, capsys
):
    shutil.copytree(photos["eval_data"].removeprefix("folder:"), tmp_path / "eval")
    words = spoil(train)
    data = [f"--train_data=folder:{train}", f"--eval_data=folder:{tmp_path / 'eval'}"]
    assert call(finetune, *SETTINGS, *data, f"--workdir={tmp_path / 'run'}") == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    for part in words:
        assert part in captured.err, part
    assert not list((tmp_path / "run").rglob("*"))
    # The pre-flight alone says the same, on the standard output.
    assert call(check, *data) == 2
    text = capsys.readouterr().out
    assert all(part in text for part in words)


# What is wrong with settings.

WRONG = {
    "missing folder": (["--train_data=folder:PHOTOS/train_dta"], "train_dta", "Did you mean", "train_data"),
    "unknown kind of data": (["--train_data=foldr:PHOTOS"], "'foldr'", "Did you mean 'folder'"),
    "data without kind": (["--train_data=PHOTOS/train_data"], "kind:place", "folder:"),
    "unknown backbone": (["--backbone=mobilenet_v3"], "mobilenet_v3", "Did you mean 'mobilenet_v2"),
    "unknown optimizer": (["--optimizer=adamv"], "'adamv'", "Did you mean 'adam"),
    "unknown schedule": (["--schedule=cosin"], "'cosin'", "Did you mean 'cosine'"),
    "unknown recipe": (["--trainable=lpft(1 epoch)"], "'lpft'", "Did you mean 'lp_ft'"),
    "unknown flag": (["--learnin_rate=1"], "'--learnin_rate'", "Did you mean '--learning_rate'"),
    "unknown task": (["--task=image_clasification"], "Did you mean 'image_classification'"),
    "unknown monitor": (["--monitor=val_acc"], "'val_acc'", "Did you mean 'val_accuracy'"),
    "unknown optimizer option": (["--optimizer_options=beta_3=0.5"], "beta_3"),
    "unknown schedule option": (["--schedule_options=gama=0.5"], "gama"),
    "missing weights": (["--backbone_weights=PHOTOS/none.h5"], "none.h5", "no file", "Check the path"),
    "weights that are none": (["--backbone_weights=TMP/text.h5"], "text.h5", "HDF5", "Download it again"),
    "weights of another model": (["--backbone_weights=TMP/other.weights.h5"], "other.weights.h5", "do not fit"),
    "imagenet for an own model": (["--backbone_weights=imagenet"], "'imagenet'", "give a file"),
    "layer to cut at": ([MODEL.replace("features", "feature")], "'feature'", "Did you mean 'features'"),
    "function": ([MODEL.replace("make@", "mak@")], "'mak'", "Did you mean 'make'"),
    "module": ([MODEL.replace("tiny_models", "tiny_model")], "cannot be imported", "PYTHONPATH"),
    "non-empty workdir": (["--workdir=TMP"], "is no run folder", "Name another"),
    "workdir under a file": (["--workdir=TMP/text.h5/run"], "text.h5", "Name another"),
    "duration": (["--length=10 parsecs"], "parsecs", "epochs"),
    "duration without unit": (["--warmup=10"], "warmup", "a number and a unit"),
    "phases longer than the run": (["--trainable=lp_ft(9 epochs)"], "9 epochs", "Train longer"),
    "batch and replicas": (["--strategy=mirrored", "--global_batch_size=15"], "15 with 2 replicas", "Use 14 or 16"),
    "image size of an own model": (["--image_size=16"], "image_size=16", "Leave image_size out"),
    "image below the minimum": (["--backbone=mobilenet_v2_0.35", "--image_size=16"], "16", "32"),
    "two at once": (["--optimizer=adamv", "--length=1 day"], "Did you mean 'adam", "length"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_settings_end_before_the_first_step_with_the_remedy(case, photos, data_flags, no_step, tmp_path, capsys):
    flags, *words = WRONG[case]
    (tmp_path / "text.h5").write_text("text")
    if "other.weights.h5" in words:
        keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)]).save_weights(tmp_path / "other.weights.h5")
    folder = pathlib.Path(photos["train_data"].removeprefix("folder:")).parent
    flags = [flag.replace("PHOTOS", str(folder)).replace("TMP", str(tmp_path)) for flag in flags]
    assert call(finetune, *SETTINGS, *data_flags, f"--workdir={tmp_path / 'run'}", *flags) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    for part in words:
        assert part in captured.err, part
    assert re.search(r"\bGot\b", captured.err) and "Traceback" not in captured.err
    assert not list((tmp_path / "run").rglob("*"))


def test_what_is_needed_is_asked_for_all_at_once(capsys):
    assert call(finetune) == 2
    text = capsys.readouterr().err
    assert "Got no train_data" in text and "Got no workdir" in text


def test_imagenet_without_network_says_what_to_put_where(data_flags, no_step, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    arguments = [*SETTINGS, *data_flags, "--backbone=mobilenet_0.25", "--image_size=128", "--backbone_weights=imagenet"]
    assert call(finetune, *arguments, f"--workdir={tmp_path / 'run'}") == 2
    text = capsys.readouterr().err
    assert "mobilenet_2_5_128_tf_no_top.h5" in text and "as the backbone's weights" in text


@pytest.mark.parametrize("command", [evaluate, predict])
def test_a_folder_without_a_model_ends_with_code_2(command, photos, tmp_path, capsys):
    data = {"evaluate": f"--test_data={photos['eval_data']}", "predict": "--input=a.png"}
    assert call(command, f"--workdir={tmp_path}", data[command.__name__.rpartition(".")[2]]) == 2
    text = capsys.readouterr().err
    assert str(tmp_path) in text and "model.json" in text and "Finish it with" in text


@pytest.mark.parametrize("command", [evaluate, predict])
def test_damaged_weights_end_with_code_2(command, workdir, photos, tmp_path, capsys):
    shutil.copytree(workdir / "model", tmp_path / "model")
    file = tmp_path / "model" / "weights.safetensors"
    file.write_bytes(file.read_bytes()[:-7])
    data = {"evaluate": f"--test_data={photos['eval_data']}", "predict": "--input=a.png"}
    assert call(command, f"--workdir={tmp_path}", data[command.__name__.rpartition(".")[2]]) == 2
    text = capsys.readouterr().err
    assert str(file) in text and "intact copy" in text


def test_predict_refuses_what_is_not_there_and_asks_for_input(workdir, tmp_path, capsys):
    assert call(predict, f"--workdir={workdir}", f"--input={tmp_path / 'none.png'}") == 2
    assert "none.png" in capsys.readouterr().err
    assert call(predict, f"--workdir={workdir}") == 2
    assert "--input=" in capsys.readouterr().err
    assert call(predict, f"--workdir={workdir}", f"--input={ROOT / 'setup.cfg'}", f"--output={tmp_path / 'out'}") == 2
    assert "setup.cfg" in capsys.readouterr().err
    assert not (tmp_path / "out").exists(), "an empty file of predictions was left"
    assert call(predict, f"--workdir={workdir}", "--input=a.png", f"--output={tmp_path / 'none' / 'out'}") == 2
    assert "Make the folder" in capsys.readouterr().err


def test_compare_refuses_what_is_no_run(workdir, tmp_path, capsys):
    assert call(compare, workdir, tmp_path) == 2
    assert "no result.json" in capsys.readouterr().err
    assert call(compare, workdir) == 2
    assert "Got 1 arguments. Expected 2." in capsys.readouterr().err


def test_errors_of_a_process_are_a_text_and_code_2():
    for command in (
        "experiments.finetune --train_data=digits: --workdir=run --bacbone=x",
        "experiments.check --train_data=folder:/none",
    ):
        done = subprocess.run(
            [sys.executable, "-m", *shlex.split(command)],
            cwd=ROOT, capture_output=True, text=True, timeout=300, env=environment(),
        )  # fmt: skip
        assert done.returncode == 2 and done.stdout == "", command
        assert re.match(r"\w+: Got .*\n$", done.stderr), done.stderr


# What takes minutes.


@pytest.mark.slow
def test_the_flowers_recipe_learns_in_two_epochs(test_data, tmp_path):
    weights = next((test_data / "weights" / "mobilenet_v2_035").glob("*.h5"))
    flowers = test_data / "flowers"
    code = call(
        finetune,
        f"--flagfile={ROOT / 'experiments' / 'recipes' / 'flowers_mobilenet_v2.flags'}",
        f"--train_data=folder:{flowers / 'train'}",
        f"--eval_data=folder:{flowers / 'val'}",
        f"--backbone_weights={weights}",
        f"--workdir={tmp_path}",
        "--length=2 epochs",
        "--trainable=lp_ft(1 epoch, 6)",
        "--verbose=2",
    )
    assert code == 0 and result(tmp_path)["metrics"]["accuracy"] > 0.7
