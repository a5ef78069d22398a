import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from kft import data
from kft.data import leaks
from kft.data.examination import _WORDS


def as_looks(rows):
    return np.array(rows, np.uint64).reshape(-1, 2).view(_WORDS)[:, 0]


@given(st.integers(0, 2**32), st.integers(0, 40), st.integers(0, 40))
def test_all_near_pairs_are_found_and_the_nearest_told(seed, num_looks, num_others):
    random = np.random.default_rng(seed)
    bits = random.integers(0, 2, (num_looks + num_others, 128), np.uint8)
    for row in range(num_looks):  # some near one of the others, at any distance up to 12
        if num_others and random.random() < 0.7:
            bits[row] = bits[num_looks + random.integers(num_others)]
            bits[row, random.choice(128, random.integers(0, 13), replace=False)] ^= 1
    packed = np.packbits(bits, axis=1).view(np.uint64)
    looks, others = as_looks(packed[:num_looks]), as_looks(packed[num_looks:])
    distances = (bits[:num_looks, None] != bits[None, num_looks:]).sum(axis=2)
    expected = [
        (row, int(distances[row].argmin())) for row in range(num_looks) if num_others and distances[row].min() <= 7
    ]
    found = leaks.nearest(looks, others)
    assert [row for row, _ in found] == [row for row, _ in expected]
    assert all(distances[row, place] == distances[row].min() for row, place in found)


def test_few_pairs_at_a_time_change_nothing(monkeypatch):
    looks = as_looks(np.random.default_rng(0).integers(1, 3, (50, 2)))
    all_at_once = leaks.nearest(looks, looks[::-1])
    monkeypatch.setattr(leaks, "_PAIRS_AT_ONCE", 10)
    assert leaks.nearest(looks, looks[::-1]) == all_at_once and len(all_at_once) == 50


def test_nothing_is_like_what_shows_nothing():
    assert list(leaks.nearest(as_looks([0, 0]), as_looks([0, 0]))) == []


@pytest.fixture
def parts(photos, tmp_path):
    """Training data, and a folder for other data, with the first photo of each class in another form."""
    other = tmp_path / "other"
    for label, name in (("cat", "3.png"), ("dog", "2.bmp")):
        (other / label).mkdir(parents=True)
        Image.open(photos / label / name).save(other / label / "copy.png", compress_level=1)
    return photos, other


def check(photos, other, **arguments):
    train = data.load(f"folder:{photos}")
    return data.check(train, data.load(f"folder:{other}", label_names=train.label_names), **arguments)


def test_the_same_pixels_in_train_and_evaluation(parts):
    photos, other = parts
    report = check(photos, other)
    assert [problem.kind for problem in report.problems] == ["leak", "leak"] and report.counts == {"leak": 2}
    assert "the same pixels in evaluation and in train" in str(report.problems[0])
    assert str(photos / "cat" / "3.png") in str(report.problems[0])
    assert report.leaked == {"evaluation": (0, 1)}
    allowed = check(photos, other, allow_leakage=True)
    assert allowed.ok and allowed.leaked == report.leaked


def test_the_same_bytes_are_told_as_such(photos, tmp_path):
    for label in ("cat", "dog"):
        (tmp_path / "other" / label).mkdir(parents=True)
    (tmp_path / "other" / "dog" / "copy.png").write_bytes((photos / "cat" / "3.png").read_bytes())
    report = check(photos, tmp_path / "other")
    assert "the same bytes" in report.text() and report.counts["leak"] == 1


def test_near_duplicates_are_a_warning_that_names_both(parts):
    photos, other = parts
    blocks = np.random.default_rng(5).integers(0, 256, (6, 6, 3), np.uint8)
    image = Image.fromarray(blocks).resize((60, 50), Image.Resampling.BICUBIC)
    image.save(photos / "cat" / "view.png")
    for label in ("cat", "dog"):
        (other / label / "copy.png").unlink()
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=60 if label == "cat" else 80)
        (other / label / "again.jpg").write_bytes(buffer.getvalue())
    report = check(photos, other)
    assert report.ok and report.counts == {"near-duplicates": 2}
    assert report.warnings[0].where == str(other / "cat" / "again.jpg")
    assert str(photos / "cat" / "view.png") in str(report.warnings[0])
