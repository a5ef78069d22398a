import csv
import json
import pathlib

import numpy as np
import pytest
import tensorflow as tf

from kft import data, errors
from kft.data import ImageFormat


def write_csv(file, rows, header=("image", "label"), delimiter=","):
    with open(file, "w", newline="", encoding="utf-8") as stream:
        csv.writer(stream, delimiter=delimiter).writerows([header, *rows])
    return file


def write_parquet(file, columns):
    pyarrow = pytest.importorskip("pyarrow", reason="pyarrow is not installed: pip install kft[text]")
    from pyarrow import parquet

    parquet.write_table(pyarrow.table(columns), file, row_group_size=4)
    return file


@pytest.fixture
def rows(photos):
    return [
        (str(path.relative_to(photos)), path.relative_to(photos).parts[0]) for path in sorted(photos.glob("**/*.*"))
    ]


def load(spec, **columns):
    return data.load(spec, image_format=ImageFormat(**columns))


def bytes_of(source):
    return [source.load(tf.constant(index, tf.int64))["image_bytes"].numpy() for index in range(source.num_examples)]


@pytest.mark.parametrize("kind", ["csv", "tsv", "jsonl", "parquet"])
def test_paths_and_labels_give_what_the_folder_gives(photos, rows, kind):
    file = photos / f"photos.{kind}"
    if kind == "jsonl":
        file.write_text("".join(json.dumps({"image": path, "label": label}) + "\n" for path, label in rows))
    elif kind == "parquet":
        write_parquet(file, {"image": [path for path, _ in rows], "label": [label for _, label in rows]})
    else:
        write_csv(file, rows, delimiter="," if kind == "csv" else "\t")
    source, folder = load(f"{kind}:{file}"), data.load(f"folder:{photos}")
    assert source.keys == folder.keys and source.label_names == folder.label_names
    assert source.labels.tolist() == folder.labels.tolist()
    assert bytes_of(source) == bytes_of(folder)
    assert data.check(source).ok
    assert source.digest() == folder.digest()


@pytest.mark.parametrize("nested", [False, True])
def test_parquet_holds_images_as_bytes(photos, rows, nested):
    contents = [(photos / path).read_bytes() for path, _ in rows]
    column = [{"bytes": content, "path": None} for content in contents] if nested else contents
    file = write_parquet(photos / "photos.parquet", {"picture": column, "kind": [label for _, label in rows]})
    source = load(f"parquet:{file}", image_column="picture", label_column="kind")
    assert bytes_of(source) == contents
    assert [source.content(index) for index in range(source.num_examples)] == contents
    assert data.check(source).ok
    folder = data.load(f"folder:{photos}")
    assert source.digest() == folder.digest()
    encode = data.image_encoder(image_size=(5, 6))
    first, second = (
        next(iter(data.batches(one, encode=encode, preprocess=lambda x: x, global_batch_size=6, shuffle=True)))
        for one in (source, folder)
    )
    np.testing.assert_array_equal(first[0], second[0])
    np.testing.assert_array_equal(first[1], second[1])


def test_the_same_kind_of_file_is_text_without_an_image_format(photos, rows):
    file = write_csv(photos / "photos.csv", rows)
    source = data.load(f"csv:{file}", text_format=data.TextFormat(text_columns=("image",)))
    assert source.records is not None and source.load is None


def test_paths_are_seen_from_the_data_root(photos, rows, tmp_path):
    file = write_csv(tmp_path / "elsewhere.csv", rows)
    assert data.check(load(f"csv:{file}", data_root=str(photos))).ok
    report = data.check(load(f"csv:{file}"))
    assert report.counts == {"unreadable": 6}


@pytest.mark.parametrize("path", ["../secret.jpg", "/etc/hostname"])
def test_a_path_outside_the_data_root_is_told_by_its_line_and_never_read(photos, rows, path, monkeypatch):
    (photos.parent / "secret.jpg").write_bytes((photos / "cat" / "1.jpg").read_bytes())
    read = pathlib.Path.read_bytes
    inside = lambda self: read(self) if self.is_relative_to(photos) else pytest.fail(f"read {self}")  # noqa: E731
    monkeypatch.setattr(pathlib.Path, "read_bytes", inside)
    file = write_csv(photos / "photos.csv", [*rows, (path, "cat")])
    source = load(f"csv:{file}")
    report = data.check(source)
    assert [(problem.kind, problem.where) for problem in report.problems] == [
        ("path outside the data root", f"{file}, line 8")
    ]
    assert "data_root" in report.text() and path in report.text()
    assert data.check(source, on_bad_example="skip").skipped == {"train": (6,)}


def test_every_bad_row_is_told_once(photos, rows):
    wrong = [("", "cat"), ("cat/1.jpg", ""), ("cat/none.jpg", "dog"), ("cat/2.JPEG", "1.5"), ("cat/1.jpg",)]
    file = write_csv(photos / "photos.csv", [*rows, *wrong])
    report = data.check(load(f"csv:{file}"))
    assert sorted((problem.kind, problem.where.removeprefix(f"{file}, ")) for problem in report.problems) == [
        ("columns do not fit", "line 12"),
        ("fractional label", "line 11"),
        ("image missing", "line 8"),
        ("label missing", "line 9"),
        ("unreadable", str(photos / "cat" / "none.jpg")),
    ]


def test_a_parquet_row_without_an_image(photos, rows):
    contents = [None, *((photos / path).read_bytes() for path, _ in rows[1:])]
    file = write_parquet(photos / "photos.parquet", {"image": contents, "label": [label for _, label in rows]})
    report = data.check(load(f"parquet:{file}"))
    assert [(problem.kind, problem.where) for problem in report.problems] == [("image missing", f"{file}, row 0")]


def test_sets_of_labels_and_numbers(photos, rows):
    several = [(path, "wet,big" if label == "dog" else "", 0.5) for path, label in rows]
    file = write_csv(photos / "photos.csv", several, header=("image", "label", "weight"))
    source = load(f"csv:{file}", labels="sets")
    assert source.label_names == ("big", "wet")
    np.testing.assert_array_equal(source.targets, np.repeat([[0, 0], [1, 1]], 3, axis=0))
    assert data.check(source).problems == ()
    source = load(f"csv:{file}", labels="numbers", label_column="weight")
    assert source.label_names == () and source.targets.tolist() == [0.5] * 6
    assert data.subset(source, [1, 2]).targets.tolist() == [0.5, 0.5]


def test_no_labels_for_prediction(photos, rows):
    file = write_csv(photos / "photos.csv", [(path,) for path, _ in rows], header=("image",))
    source = load(f"csv:{file}")
    assert source.label_names == () and source.labels.tolist() == [-1] * 6
    with pytest.raises(errors.InputError, match="column 'kind'.*label_column"):
        load(f"csv:{file}", label_column="kind")


def test_columns_that_are_not_there_or_hold_no_images(photos, rows):
    file = write_csv(photos / "photos.csv", rows, header=("images", "label"))
    with pytest.raises(errors.InputError, match="column 'image'.*Did you mean 'images'.*image_column"):
        load(f"csv:{file}")
    file = write_parquet(photos / "photos.parquet", {"image": [1, 2], "label": [0, 1]})
    with pytest.raises(errors.InputError, match="column 'image' of type int64.*image_column"):
        load(f"parquet:{file}")
    with pytest.raises(errors.InputError, match="not there.*Did you mean"):
        load(f"csv:{photos}/photo.csv")
