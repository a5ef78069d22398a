import os
import pathlib

import numpy as np
import pytest
import tensorflow as tf

from kft import data, errors


def test_classes_sorted_by_name_and_images_by_path(photos):
    source = data.load(f"folder:{photos}")
    assert source.label_names == ("cat", "dog")
    assert [os.path.relpath(key, photos) for key in source.keys] == [
        "cat/1.jpg",
        "cat/2.JPEG",
        "cat/3.png",
        "dog/1.PNG",
        "dog/2.bmp",
        "dog/deep/3.gif",
    ]
    assert source.labels.tolist() == [0, 0, 0, 1, 1, 1]
    assert source.problems == () and source.warnings == ()


def test_flowers_as_keras_lists_them(test_data):
    directory = test_data / "flowers" / "val"
    source = data.load(f"folder:{directory}")
    keras_paths = sorted(str(path) for path in directory.glob("*/*.jpg"))
    assert list(source.keys) == keras_paths
    assert source.num_examples == 736
    assert source.label_names == ("daisy", "dandelion", "roses", "sunflowers", "tulips")
    raw = source.load(tf.constant(5, tf.int64))
    assert raw["image_bytes"] == pathlib.Path(keras_paths[5]).read_bytes()
    image = tf.io.decode_jpeg(raw["image_bytes"])
    assert raw["image_header"].numpy().tolist() == [image.shape[0], image.shape[1], 1]


def test_loading_collects_and_does_not_raise(photos):
    (photos / "ant").mkdir()
    (photos / ".cache").mkdir()
    (photos / ".cache" / "1.jpg").write_bytes(b"")
    (photos / "loose.jpg").write_bytes(b"")
    (photos / "cat" / "a.webp").write_bytes(b"")
    (photos / "cat" / "b.webp").write_bytes(b"")
    (photos / "dog" / "zero.jpg").write_bytes(b"")
    source = data.load(f"folder:{photos}")
    assert source.num_examples == 7
    assert source.label_names == ("ant", "cat", "dog")
    assert [(problem.kind, problem.where) for problem in source.problems] == [
        ("empty class folder", str(photos / "ant"))
    ]
    assert [(warning.kind, warning.count) for warning in source.warnings] == [
        ("ignored files", 1),
        ("ignored files", 2),
    ]
    assert ".webp" in str(source.warnings[1])


def test_a_folder_without_class_folders(tmp_path):
    (tmp_path / "1.jpg").write_bytes(b"")
    source = data.load(f"folder:{tmp_path}")
    assert source.num_examples == 0
    assert [problem.kind for problem in source.problems] == ["no class folders"]


def test_labels_mean_what_they_mean_in_the_training_data(photos):
    source = data.load(f"folder:{photos}", label_names=("bee", "dog"))
    assert source.label_names == ("bee", "dog", "cat")
    assert source.num_examples_per_class() == {"bee": 0, "dog": 3, "cat": 3}


def test_a_folder_that_is_not_there(photos):
    with pytest.raises(errors.InputError, match="photo'.*not there.*Did you mean .*photos'"):
        data.load(f"folder:{str(photos)[:-1]}")
    with pytest.raises(errors.InputError, match="1.jpg'.*not a folder"):
        data.load(f"folder:{photos}/cat/1.jpg")


def test_files_and_folders_without_labels(photos):
    source = data.image_files([str(photos / "dog" / "2.bmp"), str(photos / "cat")])
    assert [os.path.basename(key) for key in source.keys] == ["2.bmp", "1.jpg", "2.JPEG", "3.png"]
    assert source.label_names == () and source.labels.tolist() == [-1] * 4
    batch = next(
        iter(
            data.batches(
                source,
                encode=data.image_encoder(image_size=(8, 8)),
                preprocess=lambda x: x,
                global_batch_size=4,
            )
        )
    )
    np.testing.assert_array_equal(batch[1], [-1] * 4)
    with pytest.raises(errors.InputError, match="not there"):
        data.image_files([str(photos / "none.jpg")])


def test_orientation_is_read_from_the_header(photos, noise, encoded):
    image = noise(10, 20)
    exif = image.getexif()
    exif[0x0112] = 6
    (photos / "cat" / "1.jpg").write_bytes(encoded(image, "JPEG", exif=exif))
    source = data.load(f"folder:{photos}")
    assert [int(source.load(index)["orientation"]) for index in range(6)] == [6, 1, 1, 1, 1, 1]
    assert data.check(source).counts == {"EXIF rotation applied": 1}
