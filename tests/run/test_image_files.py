"""Runs on images from files of columns and records: several labels, numbers, and data sets of tensorflow-datasets."""

import pathlib

import pytest

from experiments import check
from kft.run import evaluate, from_flat, predict, train_and_evaluate
from tests.run import digit_photos
from tests.run.conftest import TINY


@pytest.fixture
def table(tmp_path):
    """A csv file of some photos with a set of labels and a number for each."""
    digit_photos.write(tmp_path / "photos", first=0, count=6)
    rows = ["picture,tags,value"]
    for path in sorted((tmp_path / "photos").glob("*/*.png")):
        tags = [name for name in ("one", "two", "three") if path.parent.name in (name, "zero")]
        rows.append(f'{path.relative_to(tmp_path)},"{",".join(tags)}",{digit_photos.DIGITS[path.parent.name] / 4}')
    (tmp_path / "photos.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return tmp_path / "photos.csv"


def run(workdir, **settings):
    config = from_flat({**TINY, "length": "1 epoch", "trainable": "all", "allow_leakage": True, **settings})
    return train_and_evaluate(config, workdir, verbose=0)


def test_several_labels_of_a_table(table, tmp_path):
    given = {"train_data": f"csv:{table}", "eval_data": f"csv:{table}", "image_column": "picture"}
    result = run(tmp_path / "run", multi_label=True, label_column="tags", **given)
    assert {"micro_f1", "f1_one", "f1_three", "f1_two"} <= result["metrics"].keys()
    assert evaluate(tmp_path / "run", f"csv:{table}") == pytest.approx(result["metrics"])
    rows = list(predict(tmp_path / "run", [f"csv:{table}"]))
    assert len(rows) == 30 and pathlib.Path(rows[0]["file"]).is_file()


def test_numbers_of_a_table(table, tmp_path):
    given = {"train_data": f"csv:{table}", "eval_data": f"csv:{table}", "image_column": "picture"}
    result = run(tmp_path / "run", task="regression", label_column="value", **given)
    assert "pearson" in result["metrics"]
    flags = [f"--{name}={value}" for name, value in given.items()]
    assert check.main(["check", *flags, "--task=regression", "--label_column=value", "--allow_leakage"]) == 0


def test_a_data_set_of_tensorflow_datasets(tmp_path):
    test_tfds = pytest.importorskip("tests.data.test_tfds", reason="tensorflow-datasets is not installed")
    test_tfds.KftTinyPhotos(data_dir=tmp_path / "prepared", config="small").download_and_prepare()
    name = "tfds:kft_tiny_photos/small"
    given = {"train_data": f"{name}:train", "eval_data": f"{name}:test", "data_root": str(tmp_path / "prepared")}
    result = run(tmp_path / "run", **given)
    assert evaluate(tmp_path / "run", f"{name}:test") == pytest.approx(result["metrics"])
    assert {row["label"] for row in predict(tmp_path / "run", [f"{name}:test"])} <= {"ship", "frog"}
