import pathlib
import struct

import numpy as np
import pytest
import tensorflow as tf

from kft import data, errors
from kft.data import ImageFormat


def feature(values):
    values = values if isinstance(values, (list, tuple)) else [values]
    if all(isinstance(value, int) for value in values):
        return tf.train.Feature(int64_list=tf.train.Int64List(value=values))
    if all(isinstance(value, float) for value in values):
        return tf.train.Feature(float_list=tf.train.FloatList(value=values))
    encoded = [value.encode() if isinstance(value, str) else value for value in values]
    return tf.train.Feature(bytes_list=tf.train.BytesList(value=encoded))


def example(**values):
    features = {name: feature(value) for name, value in values.items()}
    return tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString()


def write(file, records, options=None):
    with tf.io.TFRecordWriter(str(file), options) as writer:
        for record in records:
            writer.write(record)
    return file


@pytest.fixture
def rows(photos):
    paths = sorted(photos.glob("**/*.*"))
    return [(path.read_bytes(), path.relative_to(photos).parts[0]) for path in paths]


@pytest.fixture
def shards(rows, tmp_path):
    records = [example(image=content, label=label) for content, label in rows]
    write(tmp_path / "train-0.tfrecord", records[:4])
    write(tmp_path / "train-1.tfrecord", records[4:])
    return f"{tmp_path}/train-*"


def load(pattern, **features):
    return data.load(f"tfrecord:{pattern}", image_format=ImageFormat(**features))


def test_records_are_found_again_in_any_order(shards, rows, photos):
    source, folder = load(shards), data.load(f"folder:{photos}")
    assert source.label_names == folder.label_names and source.labels.tolist() == folder.labels.tolist()
    for index in (5, 0, 3, 4):
        assert source.content(index) == rows[index][0]
        raw, other = source.load(tf.constant(index, tf.int64)), folder.load(tf.constant(index, tf.int64))
        assert raw["image_bytes"] == other["image_bytes"]
        np.testing.assert_array_equal(raw["image_header"], other["image_header"])
    assert source.keys[4].endswith("train-1.tfrecord, record 0")
    assert data.check(source).ok and source.digest() == folder.digest()


def test_an_epoch_is_that_of_the_same_images_in_a_folder(shards, photos):
    def first_epochs(source):
        encode = data.image_encoder(image_size=(5, 6), augmentation="flip,crop")
        dataset = data.batches(source, encode=encode, preprocess=lambda x: x, global_batch_size=4, seed=3, shuffle=True)
        return [batch for _ in range(2) for batch in dataset]

    for first, second in zip(first_epochs(load(shards)), first_epochs(data.load(f"folder:{photos}")), strict=True):
        for one, other in zip(first, second, strict=True):
            np.testing.assert_array_equal(one, other)


def test_features_have_names(rows, tmp_path):
    records = [example(**{"image/encoded": content, "image/class": index}) for index, (content, _) in enumerate(rows)]
    write(tmp_path / "one", records)
    source = load(tmp_path / "one", image_column="image/encoded", label_column="image/class")
    assert source.labels.tolist() == list(range(6)) and source.label_names == tuple("012345")
    with pytest.raises(errors.InputError, match="feature 'image'.*Did you mean 'image/.*image_column"):
        load(tmp_path / "one")
    with pytest.raises(errors.InputError, match="feature 'image/klass'.*Did you mean 'image/class'.*label_column"):
        load(tmp_path / "one", image_column="image/encoded", label_column="image/klass")
    assert load(tmp_path / "one", image_column="image/encoded").labels.tolist() == [-1] * 6


def test_sets_of_labels_and_numbers(rows, tmp_path):
    records = [example(image=content, label=[0, 2], weight=0.25) for content, _ in rows]
    write(tmp_path / "one", records)
    source = load(tmp_path / "one", labels="sets")
    assert source.label_names == ("0", "2") and source.targets.tolist() == [[1, 1]] * 6
    assert load(tmp_path / "one", labels="numbers", label_column="weight").targets.tolist() == [0.25] * 6


@pytest.mark.parametrize("kind", ["GZIP", "ZLIB"])
def test_compressed_files_are_refused_with_the_remedy(rows, tmp_path, kind):
    write(tmp_path / "one", [example(image=rows[0][0], label="cat")], kind)
    with pytest.raises(errors.InputError, match=f"compressed .{kind}.*Write it again: .*{kind}"):
        load(tmp_path / "one")


def break_length(content, start):
    return content[:start] + struct.pack("<Q", 5) + content[start + 8 :]


def break_length_sum(content, start):
    return content[: start + 9] + bytes([content[start + 9] ^ 1]) + content[start + 10 :]


def break_data(content, start):
    return content[: start + 90] + bytes([content[start + 90] ^ 1]) + content[start + 91 :]


def cut(content, start):
    return content[: start + 50]


@pytest.mark.parametrize("change", [break_length, break_length_sum, break_data, cut])
def test_a_broken_record_is_told_by_file_and_byte(shards, rows, change):
    file = pathlib.Path(shards.replace("*", "0.tfrecord"))
    start = 2 * 16 + sum(len(example(image=image, label=label)) for image, label in rows[:2])
    file.write_bytes(change(file.read_bytes(), start))
    source = load(shards)
    assert [key.rpartition("train-")[2] for key in source.keys] == [
        "0.tfrecord, record 0", "0.tfrecord, record 1", "1.tfrecord, record 0", "1.tfrecord, record 1",
    ]  # fmt: skip
    (problem,) = data.check(source).problems
    assert problem.where == f"{file}, byte {start}" and "number 2" in problem.reason
    assert problem.kind in ("corrupt record", "truncated record")


def test_every_bad_record_is_told_once(rows, tmp_path):
    good = [example(image=content, label=label) for content, label in rows]
    bad = [example(label="cat"), example(image=[1, 2], label="cat"), example(image=rows[0][0]), b"\xff\xff"]
    bad += [example(image=b"no photo", label="cat"), example(image=[rows[0][0]] * 2, label="dog")]
    write(tmp_path / "one", [*good, *bad])
    report = data.check(load(tmp_path / "one"))
    assert sorted((problem.where.partition("record ")[2], problem.kind) for problem in report.problems) == [
        ("10", "not an image"),
        ("11", "image missing"),
        ("6", "image missing"),
        ("7", "image missing"),
        ("8", "label missing"),
        ("9", "image missing"),
    ]


def test_a_file_that_changes_is_told(shards):
    source = load(shards)
    pathlib.Path(shards.replace("*", "1.tfrecord")).write_bytes(b"")
    report = data.check(source)
    assert report.counts["unreadable"] == 2


def test_no_file_fits(tmp_path):
    with pytest.raises(errors.InputError, match="which no file fits"):
        load(f"{tmp_path}/none-*")
