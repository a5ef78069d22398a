import pathlib

import numpy as np
import pytest
import tensorflow as tf

from kft import data, errors
from kft.data import ImageFormat, TextFormat

tfds = pytest.importorskip("tensorflow_datasets", reason="tensorflow-datasets is not installed: pip install kft[tfds]")


class KftTinyPhotos(tfds.core.GeneratorBasedBuilder):
    """Twelve photos of two classes in two configs, with a set of labels, a number and a text each."""

    VERSION = tfds.core.Version("1.0.0")
    BUILDER_CONFIGS = (tfds.core.BuilderConfig(name="small"), tfds.core.BuilderConfig(name="large"))

    def _info(self):
        features = {
            "image": tfds.features.Image(shape=(None, None, 3)),
            "label": tfds.features.ClassLabel(names=["ship", "frog"]),
            "tags": tfds.features.Sequence(tfds.features.ClassLabel(names=["wet", "green"])),
            "weight": np.float32,
            "caption": tfds.features.Text(),
        }
        return tfds.core.DatasetInfo(
            builder=self, features=tfds.features.FeaturesDict(features), supervised_keys=("image", "label")
        )

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples(0, 9), "test": self._generate_examples(9, 12)}

    def _generate_examples(self, first, end):
        for number in range(first, end):
            yield (
                number,
                {
                    "image": picture(number),
                    "label": number % 2,
                    "tags": [[], [0], [0, 1]][number % 3],
                    "weight": number / 2,
                    "caption": f"picture {number}",
                },
            )


def picture(number):
    return np.random.default_rng(number).integers(0, 256, (10 + number, 12, 3), np.uint8)


@pytest.fixture(scope="module", params=["array_record", "tfrecord"])
def prepared(request, tmp_path_factory):
    """The folder of the prepared data sets, in each format with random access."""
    folder = tmp_path_factory.mktemp(request.param)
    KftTinyPhotos(data_dir=folder, config="small", file_format=request.param).download_and_prepare()
    return folder


def load(place, folder, **columns):
    return data.load(f"tfds:{place}", image_format=ImageFormat(data_root=str(folder), **columns))


def given(folder, split):
    """What tensorflow-datasets itself gives, in its order."""
    builder = tfds.builder("kft_tiny_photos/small", data_dir=folder)
    if builder.info.file_format.value == "array_record":
        return list(builder.as_data_source(split))
    return list(tfds.as_numpy(builder.as_dataset(split=split, shuffle_files=False)))


def numbers(source):
    """Which pictures they are, by their heights."""
    return [
        int(source.load(tf.constant(index, tf.int64))["image_header"][0]) - 10 for index in range(source.num_examples)
    ]


def test_it_is_what_tensorflow_datasets_gives(prepared):
    source = load("kft_tiny_photos/small", prepared)
    expected = given(prepared, "train")
    assert source.num_examples == len(expected) == 9
    assert source.label_names == ("ship", "frog")
    assert source.labels.tolist() == [row["label"] for row in expected]
    encode = data.image_encoder(image_size=(10, 12))
    for index in (8, 0, 3):
        raw = source.load(tf.constant(index, tf.int64))
        np.testing.assert_array_equal(tf.io.decode_image(raw["image_bytes"]), expected[index]["image"])
        assert source.content(index) == raw["image_bytes"].numpy()
        assert encode(raw, tf.constant([0, 0], tf.int64)).shape == (10, 12, 3)
    assert data.check(source).ok and len(set(source.keys)) == 9


@pytest.mark.parametrize(
    "place, expected",
    [
        ("kft_tiny_photos/small:train[:4]", range(4)),
        ("kft_tiny_photos/small:train[4:]", range(4, 9)),
        ("kft_tiny_photos/small:train[:33%]", range(3)),
        ("kft_tiny_photos/small:1.0.0:test", range(3)),
        ("kft_tiny_photos/small:1.*.*:train[8:]+test[:1]", None),
    ],
)
def test_splits_are_those_of_tensorflow_datasets(prepared, place, expected):
    source = load(place, prepared)
    split = "test" if place.endswith(":test") else place[place.index(":train") + 1 :]
    told = [row["weight"] * 2 for row in given(prepared, split)]
    assert numbers(source) == told and len(told) > 0
    if expected is not None:
        assert len(told) == len(expected)


def test_a_folder_is_enough(prepared):
    folder = next(pathlib.Path(prepared).glob("kft_tiny_photos/small/1.0.0"))
    source = data.load(f"tfds:{folder}:test")
    assert sorted(numbers(source)) == [9, 10, 11] and data.check(source).ok


def test_sets_of_labels_and_numbers(prepared):
    source = load("kft_tiny_photos/small", prepared, labels="sets", label_column="tags")
    assert source.label_names == ("wet", "green")
    expected = {0: [0, 0], 1: [1, 0], 2: [1, 1]}
    assert source.targets.tolist() == [expected[number % 3] for number in numbers(source)]
    source = load("kft_tiny_photos/small", prepared, labels="numbers", label_column="weight")
    assert source.targets.tolist() == [number / 2 for number in numbers(source)]


def test_texts(prepared):
    how = TextFormat(text_columns=("caption",), data_root=str(prepared))
    source = data.load("tfds:kft_tiny_photos/small:test", text_format=how)
    assert source.label_names == ("ship", "frog")
    for record, label in zip(source.records, source.labels, strict=True):
        assert int(record["texts"][0].removeprefix("picture ")) % 2 == label
    assert data.check(source).problems == ()


def test_an_epoch_is_a_function_of_seed_and_epoch(prepared):
    source = load("kft_tiny_photos/small", prepared)
    encode = data.image_encoder(image_size=(6, 6), augmentation="flip,crop")
    batches = data.batches(source, encode=encode, preprocess=lambda x: x, global_batch_size=3, seed=2, shuffle=True)
    x = [row[0] for row in batches]
    again = batches.from_epoch(0, 1)
    np.testing.assert_array_equal(next(iter(again))[0], x[1])


def test_what_it_does_not_know(prepared, tmp_path):
    with pytest.raises(errors.InputError, match="Got 'tfds:kft_tiny_foto'.*Correct it"):
        load("kft_tiny_foto", prepared)
    with pytest.raises(errors.InputError, match="split 'trian'.*'train'"):
        load("kft_tiny_photos/small:trian", prepared)
    with pytest.raises(errors.InputError, match="feature 'picture'.*image_column"):
        load("kft_tiny_photos/small", prepared, image_column="picture")
    with pytest.raises(errors.InputError, match="feature 'tag'.*Did you mean 'tags'.*label_column"):
        load("kft_tiny_photos/small", prepared, label_column="tag")
    with pytest.raises(errors.InputError, match="Expected tfds:NAME"):
        load("kft_tiny_photos:", prepared)


def test_a_data_set_that_cannot_be_downloaded(tmp_path, monkeypatch):
    def no_network(self, dl_manager):
        raise OSError("no network")

    monkeypatch.setattr(KftTinyPhotos, "_split_generators", no_network)
    with pytest.raises(errors.InputError, match="could not be downloaded and prepared: .*no network.*data_root"):
        load("kft_tiny_photos/large", tmp_path)


def test_it_is_prepared_where_it_is_not_there_yet(tmp_path):
    source = load("kft_tiny_photos/large:test", tmp_path)
    assert source.num_examples == 3 and (tmp_path / "kft_tiny_photos" / "large" / "1.0.0").is_dir()
