import json
import os

import numpy as np
import pytest
from PIL import Image

from kft import data, errors


def kinds(findings):
    return sorted(finding.kind for finding in findings)


def add_copies(photos):
    """Ten images more in each class, each of them twice."""
    for label, seed in (("cat", 100), ("dog", 200)):
        for index in range(10):
            pixels = np.random.default_rng(seed + index).integers(0, 256, (4, 4, 3), np.uint8)
            for copy in "ab":
                Image.fromarray(pixels).save(photos / label / f"{index}{copy}.png")


def load(folder):
    return data.load(f"folder:{folder}")


def test_good_data(photos):
    report = data.check(load(photos))
    assert report.ok and report.warnings == () and report.counts == {}
    assert report.facts["train"]["num_examples_per_class"] == {"cat": 3, "dog": 3}
    report.raise_if_bad()


def test_flowers_are_good(test_data):
    folder = test_data / "flowers"
    train = load(folder / "train")
    report = data.check(train, data.load(f"folder:{folder}/val", label_names=train.label_names))
    assert report.ok, report.text()
    assert report.facts["train"]["num_examples"] == 2934
    assert report.facts["evaluation"]["num_examples"] == 736


@pytest.mark.parametrize("form", ["JPEG", "PNG", "BMP", "GIF"])
@pytest.mark.parametrize("missing", [30, 500])
def test_a_file_that_lost_its_end(photos, noise, encoded, form, missing):
    whole = encoded(noise(24, 24), form)
    path = photos / "cat" / f"cut.{form.lower()}"
    path.write_bytes(whole[:-missing])
    report = data.check(load(photos))
    assert [problem.where for problem in report.problems] == [str(path)]


@pytest.mark.parametrize(
    "content, kind",
    [
        (b"", "zero bytes"),
        (b"a letter, not a photo", "not an image"),
        (b"\xff\xd8\xff\xe0\x00\x10JFIF", "truncated"),
        (b"\x89PNG\r\n\x1a\n", "truncated"),
        (b"GIF89a", "truncated"),
    ],
)
def test_a_file_that_is_no_image(photos, content, kind):
    (photos / "dog" / "bad.jpg").write_bytes(content)
    report = data.check(load(photos))
    assert kinds(report.problems) == [kind]
    assert str(photos / "dog" / "bad.jpg") in report.text()
    with pytest.raises(errors.InputError, match="bad.jpg: Got .* Expected .*"):
        report.raise_if_bad()


def test_formats_that_tensorflow_does_not_decode_are_named(photos, noise, encoded):
    (photos / "cat" / "webp.jpg").write_bytes(encoded(noise(8, 8), "WEBP"))
    (photos / "cat" / "palette.bmp").write_bytes(encoded(noise(8, 8).convert("P"), "BMP"))
    report = data.check(load(photos))
    assert kinds(report.problems) == ["not decodable"] * 2
    assert "a WEBP of mode RGB" in report.text() and "a BMP of mode P" in report.text()


@pytest.mark.parametrize("mode, form", [("CMYK", "JPEG"), ("L", "JPEG"), ("RGBA", "PNG"), ("LA", "PNG"), ("P", "PNG"),
                                        ("1", "PNG"), ("I;16", "PNG"), ("L", "BMP"), ("L", "GIF")])  # fmt: skip
def test_every_mode_that_decodes_is_good(photos, noise, encoded, mode, form):
    (photos / "cat" / f"other.{form.lower()}").write_bytes(encoded(noise(8, 8).convert(mode), form))
    report = data.check(load(photos))
    assert report.ok, report.text()


def test_all_problems_at_once_and_20_of_a_kind_at_most(photos):
    (photos / "ant").mkdir()
    (photos / "cat" / "note.txt").write_text("")
    for index in range(30):
        (photos / "cat" / f"bad{index:02}.jpg").write_text(f"text {index}")
    (photos / "cat" / "zero.jpg").write_bytes(b"")
    report = data.check(load(photos))
    assert kinds(report.problems) == ["empty class folder"] + ["not an image"] * 20 + ["zero bytes"]
    warned = {"ignored files": 1, "unequal classes": 1}  # 34 cats and 3 dogs
    assert report.counts == {"empty class folder": 1, "not an image": 30, "zero bytes": 1} | warned
    assert "and 10 more" in report.text()
    content = json.loads(report.to_json())
    assert not content["ok"] and content["counts"]["not an image"] == 30
    assert content["problems"][0].keys() >= {"kind", "where", "reason", "remedy"}


def test_skipped_examples_are_counted_listed_and_left_out(photos):
    (photos / "cat" / "0.jpg").write_text("text")
    (photos / "dog" / "zero.jpg").write_bytes(b"")
    source = load(photos)
    report = data.check(source, on_bad_example="skip")
    assert report.ok
    assert report.skipped == {"train": (0, 7)}
    assert report.counts == {"not an image": 1, "zero bytes": 1}
    assert kinds(report.warnings) == ["not an image", "zero bytes"]
    assert report.facts["train"]["num_examples"] == 6
    assert data.check(data.without(source, report.skipped["train"])).counts == {}


def test_a_class_of_which_nothing_is_left(photos):
    for path in list((photos / "cat").iterdir()):
        path.write_bytes(b"")
    report = data.check(load(photos), on_bad_example="skip")
    assert kinds(report.problems) == ["class without examples", "too few classes"]


def test_bad_labels_are_skipped_too():
    source = data.from_arrays(np.arange(12, dtype=np.uint8).reshape(3, 2, 2), [0, 1, 5], label_names=("a", "b"))
    assert kinds(data.check(source).problems) == ["label out of range"]
    assert data.check(source, on_bad_example="skip").skipped == {"train": (2,)}


@pytest.mark.parametrize(
    "x, y, expected",
    [
        ([0], [0], ["too few classes", "too few examples"]),
        ([0, 1], [0, 0], ["too few classes"]),
        ([0, 1], [1, 2], ["class without examples"]),
        ([], [], ["empty data set"]),
        ([0, np.nan], [0, 1], ["not finite"]),
        ([0, 256], [0, 1], ["pixels out of range"]),
        ([0, -1.0], [0, 1], ["pixels out of range"]),
    ],
)
def test_arrays(x, y, expected):
    source = data.from_arrays(np.reshape(x, (-1, 1, 1)).astype(float), np.array(y, float))
    assert kinds(data.check(source).problems) == expected


def test_the_same_file_in_train_and_evaluation(photos, tmp_path):
    content = (photos / "cat" / "1.jpg").read_bytes()
    other = tmp_path / "other"
    for label in ("cat", "dog"):
        (other / label).mkdir(parents=True)
        (other / label / "copy.jpg").write_bytes(content)
    report = data.check(load(photos), load(other))
    assert kinds(report.problems) == ["leak", "leak"]
    assert report.problems[0].where == str(other / "cat" / "copy.jpg")
    assert str(photos / "cat" / "1.jpg") in report.text()
    allowed = data.check(load(photos), load(other), allow_leakage=True)
    assert allowed.ok and kinds(allowed.warnings) == ["leak", "leak"]
    assert data.check(load(photos), None, load(other)).counts == {"leak": 2}


def test_our_own_split_does_not_leak(photos):
    add_copies(photos)
    train, evaluation = data.split(load(photos), fraction=0.5)
    assert data.check(train, evaluation).counts == {}


def test_what_the_whole_source_has_is_told_once_after_a_split(photos):
    add_copies(photos)
    (photos / "ant").mkdir()
    train, evaluation = data.split(load(photos), fraction=0.5)
    assert data.check(train, evaluation).counts == {"empty class folder": 1}


def test_a_split_that_cannot_be_tells_what_else_is_wrong(photos):
    for path in (photos / "cat").iterdir():
        path.write_bytes(b"")
    with pytest.raises(errors.InputError, match=r"(?s)no example of 'cat'.*2.JPEG: Got an empty file"):
        data.split(load(photos))


def test_classes_that_train_does_not_have(photos, tmp_path, noise, encoded):
    (tmp_path / "val" / "emu").mkdir(parents=True)
    (tmp_path / "val" / "emu" / "1.png").write_bytes(encoded(noise(8, 8, 99), "PNG"))
    train = load(photos)
    evaluation = data.load(f"folder:{tmp_path}/val", label_names=train.label_names)
    assert kinds(data.check(train, evaluation).problems) == ["class missing in train"]
    assert kinds(data.check(train, load(tmp_path / "val")).problems) == ["label names differ"]


def test_a_file_that_goes_away(photos):
    source = load(photos)
    os.remove(source.keys[1])
    report = data.check(source)
    assert kinds(report.problems) == ["unreadable"]
    assert report.problems[0].where == source.keys[1]


def test_files_for_prediction_need_no_classes(photos):
    assert data.check(data.image_files([str(photos / "cat" / "1.jpg")])).ok


def test_an_unknown_response(photos):
    with pytest.raises(errors.InputError, match="Did you mean 'skip'"):
        data.check(load(photos), on_bad_example="skpi")
