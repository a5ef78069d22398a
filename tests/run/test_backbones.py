"""Backbones are compared on the user's data, by heads on features that are computed once."""

import csv
import json

import numpy as np
import pytest
import tensorflow as tf

from experiments import compare_backbones as command
from kft import errors, inspection, models
from kft.run import PROBE, backbones, compare_backbones, evaluate, from_flat, setup, train_and_evaluate

TINY = "python:tests.run.tiny_models:make@features"
BLIND = "python:tests.run.tiny_models:make_blind"
SETTINGS = {**PROBE, "length": "8 epochs", "learning_rate": 1e-2, "head_dropout": 0.0, "seeds": 2}


@pytest.fixture(scope="module")
def config(photos):
    data = {name: photos[name] for name in ("train_data", "eval_data")}
    return from_flat({**SETTINGS, **data, "backbone_weights": "none", "global_batch_size": 16})


@pytest.fixture(scope="module")
def rows(config):
    seen = []
    rows = compare_backbones(config, {TINY: None, BLIND: None, "mobilenet": "nowhere.h5"}, report=seen.append)
    assert rows == seen
    return {row["backbone"]: row for row in rows}


def test_what_sees_is_better_than_what_does_not(rows):
    assert rows[TINY]["metric"] == "accuracy" and rows[TINY]["mode"] == "max"
    assert rows[TINY]["mean"] > 0.6 > 0.3 > rows[BLIND]["mean"]
    assert len(rows[TINY]["values"]) == 2
    assert rows[TINY]["low"] <= rows[TINY]["mean"] <= rows[TINY]["high"]


def test_what_it_takes_is_measured(rows):
    weights = models.make_backbone(TINY).model.weights
    assert rows[TINY]["parameters"] == sum(np.prod(weight.shape) for weight in weights)
    assert rows[TINY]["megabytes"] == pytest.approx(4 * rows[TINY]["parameters"] / 2**20)
    assert rows[TINY]["image_size"] == (8, 8)
    assert rows[TINY]["images_per_second"] > 0 and rows[TINY]["seconds_per_epoch"] > 0


def test_one_that_cannot_be_had_does_not_end_the_others(rows):
    row = rows["mobilenet"]
    assert "nowhere.h5" in row["error"] and "mean" not in row
    text = inspection.backbone_table(list(rows.values()))
    assert "Not measured: mobilenet. Got" in text


def test_features_are_those_of_the_backbone_in_the_order_of_the_source(config):
    sources = setup.load_sources(config)
    backbone = models.make_backbone(TINY)
    task = setup.task_settings.make_task(config, sources.train.label_names)
    batches = setup.make_batches(config, backbone, task)(sources.train)
    source, _ = backbones._features(tf.function(lambda x: tf.reduce_mean(x, (1, 2))), batches, sources.train)
    assert source.num_examples == 90 and batches.steps_per_epoch == 6, "the last batch is filled up"
    for index in (0, 17, 89):
        raw = sources.train.load(tf.constant(index))
        pixels = tf.io.decode_png(raw["image_bytes"]).numpy().astype("float32")
        np.testing.assert_allclose(source.load(tf.constant(index))["features"], pixels.mean((0, 1)), rtol=1e-5)


def test_unknown_names_and_text_are_refused_before_anything_is_measured(config):
    with pytest.raises(errors.InputError, match="Did you mean 'resnet50'"):
        compare_backbones(config, [TINY, "resnet5O"])
    with pytest.raises(errors.InputError, match="Got no backbones"):
        compare_backbones(config, [])


def test_the_command_writes_table_numbers_and_picture(photos, tmp_path, capsys):
    arguments = [f"--backbones={TINY},{BLIND}=none", f"--train_data={photos['train_data']}"]
    arguments += ["--backbone_weights=none", "--seeds=2", "--length=2 epochs", f"--workdir={tmp_path / 'out'}"]
    assert command.main(["compare_backbones", *arguments]) == 0
    assert "images/s" in capsys.readouterr().out
    rows = json.loads((tmp_path / "out" / "backbones.json").read_text())
    assert [row["backbone"] for row in rows] == [TINY, BLIND]
    with open(tmp_path / "out" / "backbones.csv", newline="") as file:
        assert [float(row["mean"]) for row in csv.DictReader(file)] == [row["mean"] for row in rows]
    text = (tmp_path / "out" / "backbones.txt").read_text()
    assert TINY in text and "random weights" in text
    assert (tmp_path / "out" / "backbones.png").read_bytes().startswith(b"\x89PNG")


def test_the_command_ends_with_2_if_one_could_not_be_measured(photos, tmp_path):
    arguments = ["--backbones=mobilenet=nowhere.h5", f"--train_data={photos['train_data']}"]
    assert command.main(["compare_backbones", *arguments, f"--workdir={tmp_path / 'out'}"]) == 2
    assert "nowhere.h5" in (tmp_path / "out" / "backbones.txt").read_text()


@pytest.mark.parametrize("words", [["a="], ["a", "a=none"], ["=none"]])
def test_words_that_name_no_backbone_are_refused(words):
    with pytest.raises(errors.InputError, match="NAME or NAME=WEIGHTS"):
        command.parse(words)


def test_a_backbone_with_its_own_preprocessing_is_kept_and_found_again(photos, tmp_path):
    """EfficientNet: normalization inside, a whole number among its weights, layers that Keras numbers."""
    data = {name: photos[name] for name in ("train_data", "eval_data")}
    settings = {"backbone": "efficientnet_b0", "backbone_weights": "none", "image_size": 32, "length": "2 epochs"}
    settings |= {"trainable": "head", "cache": "exact", "augmentation": (), "global_batch_size": 45}
    result = train_and_evaluate(from_flat({**data, **settings}), tmp_path / "run", verbose=0)
    assert evaluate(tmp_path / "run", data["eval_data"]) == result["metrics"]
    decided = json.loads((tmp_path / "run" / "run.json").read_text())
    assert [part["stored"] for part in decided["frozen_part"]] == [True, True]
