"""The kept model: evaluate and predict give what the run's result says, and damaged folders are refused."""

import json
import shutil

import numpy as np
import pytest

from kft import errors
from kft.run import evaluate, load_model, predict
from tests.run import digit_photos


def predictions(finished):
    return [json.loads(line) for line in (finished.workdir / "eval_predictions.jsonl").read_text().splitlines()]


@pytest.fixture
def copy(finished, tmp_path):
    """A copy of the run folder, to be damaged."""
    shutil.copytree(finished.workdir / "model", tmp_path / "run" / "model")
    return tmp_path / "run"


def test_evaluate_gives_the_metrics_of_the_run_to_the_last_digit(finished):
    assert evaluate(finished.workdir, finished.config.data.eval_data) == finished.result["metrics"]
    assert evaluate(finished.workdir, finished.config.data.test_data) == finished.result["test_metrics"]


def test_predictions_score_as_evaluate_says(finished):
    rows = predictions(finished)
    accuracy = np.mean([row["label"] == row["truth"] for row in rows])
    loss = -np.mean([np.log(row["probabilities"][row["truth"]]) for row in rows])
    assert len(rows) == 45
    assert accuracy == pytest.approx(finished.result["metrics"]["accuracy"], abs=1e-7)
    assert loss == pytest.approx(finished.result["metrics"]["loss"], rel=1e-5)


def test_predict_gives_what_the_run_predicted_to_the_last_digit(finished):
    folder = finished.config.data.eval_data.removeprefix("folder:")
    rows = list(predict(finished.workdir, [folder]))
    assert rows == [{key: row[key] for key in row if key != "truth"} for row in predictions(finished)]
    for row in rows:
        assert sum(row["probabilities"].values()) == pytest.approx(1)
        assert row["label"] == max(row["probabilities"], key=row["probabilities"].get)
        assert tuple(row["probabilities"]) == digit_photos.CLASSES


def test_predict_keeps_the_order_of_its_files(finished):
    rows = predictions(finished)
    files = [rows[index]["file"] for index in (30, 3, 17)]
    assert [row["file"] for row in predict(finished.workdir, files)] == files


def test_the_kept_model_says_its_classes(finished):
    assert load_model(finished.workdir).task.label_names == digit_photos.CLASSES


def test_data_to_score_may_lack_classes(finished, tmp_path):
    shutil.copytree(finished.config.data.eval_data.removeprefix("folder:") + "/two", tmp_path / "two")
    right = [row["label"] == "two" for row in predictions(finished) if row["truth"] == "two"]
    assert evaluate(finished.workdir, f"folder:{tmp_path}")["accuracy"] == pytest.approx(np.mean(right))


def test_a_class_that_the_model_does_not_know_is_refused(finished, tmp_path):
    digit_photos.write(tmp_path, first=40, count=2)
    (tmp_path / "two").rename(tmp_path / "twain")
    with pytest.raises(errors.InputError, match=r"'twain'.*'two'"):
        evaluate(finished.workdir, f"folder:{tmp_path}")


def test_bad_files_are_all_named_before_the_first_prediction(finished, tmp_path):
    (tmp_path / "empty.png").write_bytes(b"")
    (tmp_path / "text.jpg").write_text("not an image")
    with pytest.raises(errors.InputError) as caught:
        next(predict(finished.workdir, [tmp_path]))
    assert "empty.png" in str(caught.value) and "text.jpg" in str(caught.value)


def test_a_folder_without_images_is_refused(finished, tmp_path):
    with pytest.raises(errors.InputError, match="no examples"):
        next(predict(finished.workdir, [tmp_path]))


def test_a_folder_without_a_model_is_refused(tmp_path):
    with pytest.raises(errors.InputError, match=r"no model/model\.json"):
        load_model(tmp_path)


def flip_a_bit(folder):
    file = folder / "model" / "weights.safetensors"
    content = bytearray(file.read_bytes())
    content[-3] ^= 1
    file.write_bytes(content)


def cut(folder):
    file = folder / "model" / "weights.safetensors"
    file.write_bytes(file.read_bytes()[:-100])


def remove(folder):
    (folder / "model" / "weights.safetensors").unlink()


def cut_description(folder):
    file = folder / "model" / "model.json"
    file.write_text(file.read_text()[:-20])


def empty_description(folder):
    (folder / "model" / "model.json").write_text("{}")


def another_architecture(folder):
    file = folder / "model" / "model.json"
    file.write_text(file.read_text().replace("@features", "@flatten"))


@pytest.mark.parametrize("damage", [flip_a_bit, cut, remove, cut_description, empty_description, another_architecture])
def test_a_damaged_model_is_refused_with_its_file(copy, damage):
    damage(copy)
    with pytest.raises(errors.InputError) as caught:
        load_model(copy)
    assert str(copy / "model") in str(caught.value)
