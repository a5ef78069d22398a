import pathlib

import numpy as np
import pytest
from PIL import Image

from kft import data, errors
from kft.data.source import fingerprint


def arrays(num_examples, num_classes=2, first=0):
    x = (np.arange(first, first + num_examples, dtype=np.uint16)).view(np.uint8).reshape(num_examples, 1, 2)
    return data.from_arrays(x, np.arange(num_examples) % num_classes)


def contents(source):
    return {source.content(index) for index in range(source.num_examples)}


def test_parts_share_no_example_and_lose_none():
    whole = arrays(1000)
    train, evaluation = data.split(whole)
    assert contents(train) | contents(evaluation) == contents(whole)
    assert train.num_examples + evaluation.num_examples == 1000
    assert train.label_names == evaluation.label_names == whole.label_names


@pytest.mark.parametrize("fraction", [0.1, 0.2, 0.5])
def test_the_fraction_is_met_on_average(fraction):
    _, evaluation = data.split(arrays(5000), fraction=fraction)
    assert abs(evaluation.num_examples / 5000 - fraction) < 4 * np.sqrt(fraction * (1 - fraction) / 5000)


def test_examples_stay_on_their_side_when_others_come():
    before, after = data.split(arrays(500)), data.split(arrays(1000))
    assert contents(before[0]) <= contents(after[0])
    assert contents(before[1]) <= contents(after[1])


def test_equal_examples_are_on_the_same_side():
    x = np.repeat(np.random.default_rng(0).integers(0, 256, (50, 4, 4), np.uint8), 2, axis=0)
    train, evaluation = data.split(data.from_arrays(x, np.arange(100) // 2 % 2))
    assert not contents(train) & contents(evaluation)


def test_a_class_that_would_vanish_is_an_error():
    x = np.random.default_rng(0).integers(0, 256, (101, 4, 4), np.uint8)
    source = data.from_arrays(x, [0] * 100 + [1], label_names=("many", "one"))
    with pytest.raises(errors.InputError, match="no example of 'one'.*evaluation data of your own"):
        data.split(source)


def test_renamed_files_stay_on_their_side(photos):
    labels = {}
    for name in ("before", "after"):
        source = data.image_files([str(photos)])
        sides = data.split(source, fraction=0.5)
        labels[name] = [contents(side) for side in sides]
        (photos / "cat").rename(photos / "zebra") if name == "before" else None
    assert labels["before"] == labels["after"]


def test_a_fraction_out_of_range():
    with pytest.raises(errors.InputError, match="fraction=1.0"):
        data.split(arrays(10), fraction=1.0)


def test_groups_are_on_one_side_and_move_nothing_else():
    source = arrays(400)
    before = [contents(side) for side in data.split(source)]
    groups = [range(first, first + 4) for first in range(0, 80, 4)]
    sides = [contents(side) for side in data.split(source, alike=groups)]
    for group in groups:
        assert sum(bool(side & {source.content(index) for index in group}) for side in sides) == 1
    others = {source.content(index) for index in range(80, 400)}
    assert [side & others for side in before] == [side & others for side in sides]
    lowest = {min(group, key=lambda index: fingerprint(source.content(index))[:8]) for group in groups}
    for side, was in zip(sides, before, strict=True):
        assert {source.content(index) for index in lowest} & side == {source.content(index) for index in lowest} & was


def scene(seed):
    """A smooth picture of its own, (64, 64, 3) uint8."""
    small = np.random.default_rng(seed).integers(0, 256, (9, 9, 3), np.uint8)
    return np.array(Image.fromarray(small).resize((64, 64), Image.BICUBIC))


def test_pictures_that_look_alike_are_held_out_together(tmp_path):
    """The same pixels in two formats, one picture brighter and saved again; and pictures of their own."""
    numbers = {}
    for number in range(60):
        for copy, content in enumerate((scene(number), scene(number), np.clip(scene(number) * 0.9 + 9, 0, 255))):
            path = tmp_path / "ab"[number % 2] / f"{number:02}_{copy}.{'bmp' if copy == 1 else 'png'}"
            path.parent.mkdir(exist_ok=True)
            Image.fromarray(content.astype(np.uint8)).save(path)
            numbers[str(path)] = number
    source = data.load(f"folder:{tmp_path}")
    report = data.check(source, find_alike=True)
    assert report.ok and report.warnings == ()
    assert sorted(map(len, report.alike)) == [3] * 60
    assert all(len({numbers[source.keys[index]] for index in group}) == 1 for group in report.alike)
    train, evaluation = data.split(source, alike=report.alike)
    sides = [{numbers[key] for key in side.keys} for side in (train, evaluation)]
    assert not sides[0] & sides[1] and min(map(len, sides)) > 3
    apart = [{numbers[key] for key in side.keys} for side in data.split(source)]
    assert apart[0] & apart[1]
    assert data.check(source).alike == ()


def test_data_that_all_looks_alike_is_not_one_group(tmp_path):
    """Only what is the same then belongs together."""
    x = np.repeat(scene(0)[None], 100, 0)
    x[:, 0, 0, 0] = np.arange(100) // 2
    for index, image in enumerate(x):
        path = tmp_path / "ab"[index % 2] / f"{index:03}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(image).save(path, compress_level=index % 2)
    source = data.load(f"folder:{tmp_path}")
    groups = data.check(source, find_alike=True).alike
    numbers = [int(pathlib.Path(key).stem) // 2 for key in source.keys]
    assert len(groups) == 50 and all(len(group) == 2 for group in groups)
    assert all(len({numbers[index] for index in group}) == 1 for group in groups)
