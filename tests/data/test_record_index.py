import json
import os
import pathlib

import numpy as np
import pytest
import tensorflow as tf

from kft import data
from kft.data import ImageFormat, record_files
from tests.data.test_tfrecord import example, write


@pytest.fixture
def shards(photos, tmp_path):
    rows = [(path.read_bytes(), path.parent.name) for path in sorted(photos.glob("*/*.*"))]
    records = [example(image=content, label=label) for content, label in rows]
    write(tmp_path / "train-0", records[:3])
    write(tmp_path / "train-1", records[3:])
    return f"{tmp_path}/train-*"


@pytest.fixture
def read(monkeypatch):
    """The files that are read from one end to the other from now on."""
    files, records = [], record_files.records

    def counted(given, problems):
        files.extend(os.path.basename(file) for file in given)
        return records(given, problems)

    monkeypatch.setattr(record_files, "records", counted)
    return files


def load(shards, cache, **columns):
    return data.load(f"tfrecord:{shards}", image_format=ImageFormat(cache=cache, **columns))


def same(first, second):
    assert first.keys == second.keys and first.label_names == second.label_names
    np.testing.assert_array_equal(first.labels, second.labels)
    for index in (4, 0):
        one, other = (source.load(tf.constant(index, tf.int64)) for source in (first, second))
        assert one.keys() == other.keys()
        for name, value in one.items():
            np.testing.assert_array_equal(value, other[name])


def test_the_second_start_reads_no_file_and_gives_the_same(shards, tmp_path, read):
    first = load(shards, tmp_path / "cache")
    assert read == ["train-0", "train-1"]
    same(first, load(shards, tmp_path / "cache"))
    assert len(read) == 2
    same(first, load(shards, None))
    assert len(read) == 4


def test_other_files_or_features_are_read_again(shards, tmp_path, read):
    load(shards, tmp_path / "cache")
    file = pathlib.Path(shards.replace("*", "1"))
    status = os.stat(file)
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    load(shards, tmp_path / "cache")
    assert len(read) == 4
    load(shards, tmp_path / "cache", labels="sets")
    assert len(read) == 6
    file.unlink()
    assert load(shards, tmp_path / "cache").num_examples == 3 and len(read) == 7


def test_what_is_bad_is_told_at_each_start(shards, tmp_path, read):
    file = pathlib.Path(shards.replace("*", "1"))
    file.write_bytes(file.read_bytes()[:-3])
    for starts in (1, 2):
        assert [problem.kind for problem in load(shards, tmp_path / "cache").problems] == ["truncated record"]
        assert len(read) == 2 * starts


@pytest.mark.parametrize("change", [lambda kept: "", lambda kept: "[]", lambda kept: kept[:-9], "places", "headers"])
def test_an_index_that_does_not_read_is_made_anew(shards, tmp_path, read, change):
    first = load(shards, tmp_path / "cache")
    (file,) = (tmp_path / "cache").glob("*.json")
    if callable(change):
        file.write_text(change(file.read_text()))
    else:
        file.write_text(json.dumps(json.loads(file.read_text()) | {change: [[7]]}))
    same(first, load(shards, tmp_path / "cache"))
    assert len(read) == 4


def test_a_folder_that_cannot_be_written_only_takes_longer(shards, tmp_path):
    (tmp_path / "file").write_text("")
    assert load(shards, tmp_path / "file").num_examples == 5
