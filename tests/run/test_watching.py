"""What a run shows in TensorBoard is what docs/tensorboard.md says."""

import collections
import pathlib
import re

import numpy as np
import tensorflow as tf

from tests.inspection.event_reading import events

DOCS = pathlib.Path(__file__).parents[2] / "docs" / "tensorboard.md"
NOT_IN_THIS_RUN = ("GPU", "train_data of text", "`histograms=True`", "`histograms=True`, kft model")


def documented() -> dict[str, tuple[list[str], str]]:
    """Pattern of a tag -> its writers, and what it needs."""
    rows = {}
    for line in DOCS.read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) == 5 and cells[0].startswith("`"):
            for tag in re.findall(r"`([^`]+)`", cells[0]):
                pattern = re.sub(r"<\w+>", "[A-Za-z0-9_./-]+", tag.replace(".", r"\."))
                rows[pattern] = (cells[1].split(", "), cells[4])
    return rows


def test_every_documented_tag_is_there_and_no_other(finished):
    found, rows = events(finished.workdir / "tensorboard"), documented()
    assert len(rows) > 25
    for pattern, (writers, needs) in rows.items():
        for writer in writers:
            there = [tag for at, tag in found if at == writer and re.fullmatch(pattern, tag)]
            assert bool(there) == (needs not in NOT_IN_THIS_RUN), (writer, pattern)
    for writer, tag in found:
        assert any(re.fullmatch(pattern, tag) and writer in writers for pattern, (writers, _) in rows.items()), tag


def test_each_tag_has_each_step_once(finished):
    for key, points in events(finished.workdir / "tensorboard").items():
        steps = [step for step, _ in points]
        assert steps == sorted(set(steps)), key


def test_the_last_evaluation_is_that_of_the_logs(finished):
    """Confusion and curves are of the very predictions whose accuracy is in the logs."""
    found = events(finished.workdir / "tensorboard")
    for index, (step, accuracy) in enumerate(found["eval", "metrics/accuracy"]):
        assert step == found["eval", "evaluation/expected_calibration_error"][index][0]
        right = 0
        for (_, tag), points in found.items():
            if tag.startswith("precision_recall/"):
                assert points[index][0] == step and points[index][1].shape == (6, 101)
                tp, fp, tn, fn = points[index][1][:4]
                np.testing.assert_array_equal(tp + fp + tn + fn, 45)
                right += tp[50]  # above one half: no example is counted twice
        assert right <= round(accuracy * 45)


def test_pictures_are_pictures(finished):
    found = events(finished.workdir / "tensorboard")
    for writer, tag in (("train", "examples/augmented"), ("eval", "examples/worst"), ("eval", "evaluation/confusion")):
        for _, (width, height, png) in found[writer, tag]:
            assert tf.io.decode_png(png).shape == (int(height), int(width), 3)


def test_the_projector_finds_its_files(finished):
    folder = finished.workdir / "tensorboard" / "train"
    config = (folder / "projector_config.pbtxt").read_text()
    files = collections.Counter(re.findall(r'_path: "([^"]+)"', config))
    assert len(files) == 5 and all((folder / name).is_file() for name in files)
    for name in ("before", "after"):
        values = np.loadtxt(folder / "projector" / f"{name}.tsv", delimiter="\t")
        labels = (folder / "projector" / f"{name}_labels.tsv").read_text().splitlines()
        assert len(values) == 45 and len(labels) == 46 and labels[0] == "label\texample"
