"""Several labels and numbers learned from images, mixing, and losses: from flags to predictions, with a tiny model."""

import json
import re

import numpy as np
import pytest
from PIL import Image
from sklearn import datasets

from kft import data, errors
from kft.run import evaluate, from_flat, load_model, predict, setup, train_and_evaluate
from tests.conftest import ROOT
from tests.run.conftest import TINY

DIGITS = datasets.load_digits()
IMAGES = np.rint(DIGITS.images * (255 / 16)).astype(np.uint8)
LABELS = ("even", "above four", "round")


def sets_of(digits):
    return np.stack([digits % 2 == 0, digits > 4, np.isin(digits, (0, 6, 8, 9))], 1).astype(np.float32)


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    """A function from what y is to the settings of training and evaluation data."""
    folder = tmp_path_factory.mktemp("arrays")

    def write(name, y, **more):
        for role, part in (("train", slice(0, 200)), ("eval", slice(200, 320))):
            np.savez(folder / f"{name}_{role}.npz", x=IMAGES[part], y=y[part], **more)
        return {f"{role}_data": f"arrays:{folder}/{name}_{role}.npz" for role in ("train", "eval")}

    return write


def run(workdir, **settings):
    config = from_flat({**TINY, "augmentation": (), "trainable": "all", "learning_rate": 1e-2, **settings})
    return train_and_evaluate(config, workdir, verbose=0)


def rows_of(file):
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def write_photo(folder):
    Image.fromarray(IMAGES[0]).save(folder / "zero.png")
    return [folder / "zero.png"]


def test_several_labels(tmp_path, parts):
    given = parts("sets", sets_of(DIGITS.target), label_names=np.array(LABELS))
    result = run(tmp_path / "run", multi_label=True, length="6 epochs", focal_gamma=1.0, label_smoothing=0.05, **given)
    metrics = result["metrics"]
    assert metrics.keys() == {
        "loss", "label_accuracy", "micro_f1", "macro_f1", "exact_match", *(f"f1_{label}" for label in LABELS)
    }  # fmt: skip
    assert metrics["micro_f1"] > 0.8 and result["best_epoch"]
    assert set(result["calibration"]["thresholds"]) == set(LABELS)
    assert evaluate(tmp_path / "run", given["eval_data"]) == pytest.approx(metrics)
    [row] = predict(tmp_path / "run", write_photo(tmp_path))
    assert row["labels"] == [
        label for label, least in result["calibration"]["thresholds"].items() if row["probabilities"][label] >= least
    ]
    stored = rows_of(tmp_path / "run" / "eval_predictions.jsonl")
    hits = np.mean([set(row["labels"]) == set(row["truth"]) for row in stored])
    assert metrics["exact_match"] == pytest.approx(hits)


def test_numbers(tmp_path, parts):
    given = parts("numbers", DIGITS.target / 9)
    result = run(tmp_path / "run", task="regression", length="6 epochs", mixup=0.2, **given)
    assert result["metrics"].keys() == {"loss", "mean_absolute_error", "pearson", "spearman", "mean_squared_error"}
    assert result["metrics"]["pearson"] > 0.5
    assert result["metrics"]["mean_squared_error"] == pytest.approx(result["metrics"]["loss"], rel=1e-4)
    assert evaluate(tmp_path / "run", given["eval_data"]) == pytest.approx(result["metrics"])
    [row] = predict(tmp_path / "run", write_photo(tmp_path))
    assert row.keys() == {"file", "value"}


def test_ten_classes_mixed_with_all_factors_of_the_loss(tmp_path, parts):
    given = parts("classes", DIGITS.target, label_names=np.arange(10).astype(str))
    result = run(
        tmp_path / "run",
        **given,
        length="4 epochs",
        mixup=0.2,
        cutmix=1.0,
        label_smoothing=0.1,
        class_weights="balanced",
        focal_gamma=0.5,
        augmentation=("crop", "erasing"),
        augmentation_options="crop_area=0.8,erased_area=0.1",
        monitor="val_macro_f1",
    )
    metrics = result["metrics"]
    assert {"accuracy", "top_5_accuracy", "macro_f1", "matthews", *(f"f1_{n}" for n in range(10))} < metrics.keys()
    assert metrics["top_5_accuracy"] > 0.8 and metrics["accuracy"] > 0.5
    stored = rows_of(tmp_path / "run" / "eval_predictions.jsonl")
    assert metrics["accuracy"] == pytest.approx(np.mean([row["label"] == row["truth"] for row in stored]))
    assert metrics["macro_f1"] == pytest.approx(np.mean([metrics[f"f1_{n}"] for n in range(10)]))
    assert result["test_metrics"] is None and evaluate(tmp_path / "run", given["eval_data"]) == pytest.approx(metrics)


def test_five_channels_from_flags_to_predictions(tmp_path):
    numbers = np.random.default_rng(0)
    x, y = numbers.integers(0, 256, (40, 32, 32, 5), np.uint8), np.arange(40) % 2
    for role, part in (("train", slice(0, 24)), ("eval", slice(24, 40))):
        np.savez(tmp_path / f"{role}.npz", x=x[part], y=y[part])
    given = {f"{role}_data": f"arrays:{tmp_path}/{role}.npz" for role in ("train", "eval")}
    settings = {"backbone": "mobilenet_0.25", "image_size": 32, "image_channels": 5, "augmentation": ("flip",)}
    how = {"trainable": "head", "length": "1 epoch", "batchnorm": "recalibrate", "embeddings": 4}
    result = run(tmp_path / "run", **given, **settings, **how)
    assert evaluate(tmp_path / "run", given["eval_data"]) == pytest.approx(result["metrics"])
    stored = [row["probabilities"]["0"] for row in rows_of(tmp_path / "run" / "eval_predictions.jsonl")]

    def predicted(spec):
        return [row["probabilities"]["0"] for row in predict(tmp_path / "run", [spec])]

    np.testing.assert_allclose(predicted(given["eval_data"]), stored, atol=1e-5)
    x[..., 4] = 255 - x[..., 4]
    np.savez(tmp_path / "other.npz", x=x[24:], y=y[24:])
    assert np.abs(np.subtract(predicted(f"arrays:{tmp_path}/other.npz"), stored)).max() > 1e-4
    with pytest.raises(errors.InputError, match="image files for a model of 5"):
        list(predict(tmp_path / "run", write_photo(tmp_path)))
    with pytest.raises(errors.InputError, match="arrays of 5 channels for a model of 3"):
        run(tmp_path / "other", **given, **{**settings, "image_channels": 0}, **how)


def test_mixing_is_for_training_data_alone(parts):
    given = parts("classes", DIGITS.target)
    config = from_flat({**TINY, **given, "mixup": 0.2})
    sources = setup.load_sources(config)
    run = setup.make_setup(config, sources.train)
    assert run.batches.mixing == data.Mixing(0.2)
    assert not setup.make_batches(config, run.backbone, run.task)(sources.evaluation).mixing


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"task": "regression", "cutmix": 1.0}, "cutmix=1.0 for the numbers"),
        ({"mixup": 0.2, "cache": "exact", "length": "2 epochs"}, "cache of the frozen part with Mixing"),
        ({"augmentation": ("flip",), "augmentation_options": "magnitude=3"}, "Expected it with 'randaugment'"),
    ],
)
def test_what_has_no_meaning_is_refused(tmp_path, parts, settings, message):
    name = "numbers" if settings.get("task") == "regression" else "classes"
    with pytest.raises(errors.InputError, match=message):
        run(tmp_path / "run", **parts(name, DIGITS.target), **settings)


def test_the_kept_model_of_numbers_takes_images(tmp_path, parts):
    run(tmp_path / "run", task="regression", length="1 epoch", **parts("numbers", DIGITS.target / 9))
    assert load_model(tmp_path / "run").task.tokenize is None


def test_decoding_once_changes_nothing(tmp_path, photos):
    results = {}
    for memory in (0, -1):
        settings = {**photos, "augmentation": ("crop", "flip"), "length": "2 epochs", "image_memory": memory}
        results[memory] = run(tmp_path / str(memory), **settings)
        told = json.loads((tmp_path / str(memory) / "run.json").read_text())["images_in_memory"]
        assert all(("decoded once" in reason) == (memory == 0) for reason in told.values()), told
    assert results[0]["variables_sha256"] == results[-1]["variables_sha256"]
    assert len(results[0]["waiting_for_data"]) == 2 and all(0 <= share <= 1 for share in results[0]["waiting_for_data"])


@pytest.mark.slow
def test_the_code_of_the_page_runs():
    page = (ROOT / "docs" / "images.md").read_text(encoding="utf-8")
    names = {}
    for code in re.findall(r"```python\n(.*?)```", page, re.DOTALL):
        exec(code, names)
    assert {"micro_f1", "f1_bright", "f1_odd"} < names["scores"].keys()
