"""What every member of SOURCES and IMAGE_SOURCES must do."""

import json
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from kft import data, errors
from tests.data import test_tfrecord

SPECS = {
    "arrays": "arrays:{0}/some.npz",
    "csv": "csv:{0}/photos/photos.csv",
    "digits": "digits:",
    "folder": "folder:{0}/photos",
    "jsonl": "jsonl:{0}/photos/photos.jsonl",
    "parquet": "parquet:{0}/photos.parquet",
    "tfrecord": "tfrecord:{0}/photos.tfrecord",
    "tsv": "tsv:{0}/photos/photos.tsv",
}
IMAGES = data.ImageFormat()


def write(kind, folder):
    """The photos of a folder as a file of this kind, with a column more for their bytes."""
    paths = sorted((folder / "photos").glob("**/*.*"))
    rows = [(str(path.relative_to(folder / "photos")), path.relative_to(folder / "photos").parts[0]) for path in paths]
    lines = {
        "csv": ["image,label", *(",".join(row) for row in rows)],
        "jsonl": [json.dumps({"image": path, "label": label}) for path, label in rows],
        "tsv": ["image\tlabel", *("\t".join(row) for row in rows)],
    }
    if kind in lines:
        (folder / "photos" / f"photos.{kind}").write_text("\n".join(lines[kind]) + "\n")
    elif kind == "tfrecord":
        records = [test_tfrecord.example(image=path.read_bytes(), label=label) for path, (_, label) in zip(paths, rows)]
        test_tfrecord.write(folder / "photos.tfrecord", records)
    elif kind == "parquet":
        pyarrow = pytest.importorskip("pyarrow", reason="pyarrow is not installed: pip install kft[text]")
        from pyarrow import parquet

        columns = {"image": [path.read_bytes() for path in paths], "label": [label for _, label in rows]}
        parquet.write_table(pyarrow.table(columns), folder / "photos.parquet")


# tfds has files of its own, and test_tfds.py.
@pytest.fixture(params=sorted({**data.SOURCES, **data.IMAGE_SOURCES}.keys() - {"tfds"}))
def source(request, tmp_path, photos):
    if request.param == "digits":
        pytest.importorskip("sklearn", reason="scikit-learn is not installed: pip install kft[digits]")
    x = np.random.default_rng(0).integers(0, 256, (5, 6, 7, 3), np.uint8)
    np.savez(tmp_path / "some.npz", x=x, y=[0, 1, 1, 0, 1])
    write(request.param, tmp_path)
    return data.load(SPECS[request.param].format(tmp_path), image_format=IMAGES)


def test_its_parts_agree(source):
    assert source.num_examples == len(source.labels) == len(source.keys) == len(set(source.keys)) > 1
    assert source.labels.dtype == np.int64
    assert set(source.labels) <= set(range(len(source.label_names)))
    assert sum(source.num_examples_per_class().values()) == source.num_examples
    assert all(isinstance(source.content(index), bytes) for index in range(2))
    assert data.check(source).ok


def test_it_loads_in_a_graph_what_it_loads_outside(source):
    in_graph = tf.function(source.load, input_signature=[tf.TensorSpec((), tf.int64)])
    for index in range(2):
        raw, other = source.load(tf.constant(index, tf.int64)), in_graph(tf.constant(index, tf.int64))
        assert raw.keys() == other.keys()
        for name, value in raw.items():
            np.testing.assert_array_equal(value, other[name])


def test_it_keeps_the_label_names_it_is_given(source):
    again = data.load(source.name, label_names=source.label_names, image_format=IMAGES)
    assert again.label_names == source.label_names
    np.testing.assert_array_equal(again.labels, source.labels)


@pytest.mark.parametrize("augmentation", ["none", "flip,crop,color,randaugment,erasing"])
def test_it_gives_batches(source, augmentation):
    encode = data.image_encoder(image_size=(4, 5), augmentation=augmentation)
    dataset = data.batches(source, encode=encode, preprocess=lambda x: x, global_batch_size=3, shuffle=True)
    x, y, weight = next(iter(dataset))
    assert x.shape == (3, 4, 5, 3) and np.isfinite(x).all() and x.numpy().min() >= 0 and x.numpy().max() <= 255
    order = data.epoch_order(source.num_examples, seed=0, epoch=0, shuffle=True)
    np.testing.assert_array_equal(y, source.labels[order[:3]])
    np.testing.assert_array_equal(weight, 1)


def test_names_that_are_no_source(tmp_path):
    with pytest.raises(errors.InputError, match="kind of data 'foldr'.*Did you mean 'folder'"):
        data.load("foldr:x")
    with pytest.raises(errors.InputError, match=f"Use 'folder:{tmp_path}'"):
        data.load(str(tmp_path))


def test_names_are_listed_without_tensorflow():
    program = "import sys, kft.data; print(sorted(kft.data.SOURCES), 'tensorflow' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "['arrays', 'digits', 'folder'] False"
