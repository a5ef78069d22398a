import itertools

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from kft import data, errors


def numbered(num_examples, num_classes=3):
    """Images of 1 x 1 pixel whose value is their row, labelled by row modulo the number of classes."""
    x = np.arange(num_examples, dtype=np.float32).reshape(-1, 1, 1)
    return data.from_arrays(x, np.arange(num_examples) % num_classes)


def row(raw, seed):
    del seed
    return tf.reshape(raw["image"], ())


def batches(source, global_batch_size, *, encode=row, **options):
    return data.batches(source, encode=encode, preprocess=lambda x: x, global_batch_size=global_batch_size, **options)


def listed(dataset):
    return [tuple(part.numpy() for part in batch) for batch in dataset]


def same(first, second):
    assert len(first) == len(second)
    for one, other in zip(first, second, strict=True):
        for part, other_part in zip(one, other, strict=True):
            np.testing.assert_array_equal(part, other_part)


@settings(max_examples=15, deadline=None)
@given(st.integers(1, 40), st.integers(1, 50), st.booleans())
def test_every_example_once_an_epoch_whatever_the_sizes(num_examples, batch_size, shuffle):
    dataset = batches(numbered(num_examples), batch_size, shuffle=shuffle)
    assert dataset.steps_per_epoch == -(-num_examples // batch_size) == int(dataset.cardinality())
    assert dataset.num_examples == num_examples and dataset.global_batch_size == batch_size
    for epoch in (listed(dataset), listed(dataset)):
        assert len(epoch) == dataset.steps_per_epoch
        x, y, weight = (np.concatenate(parts) for parts in zip(*epoch, strict=True))
        assert len(x) == batch_size * dataset.steps_per_epoch
        assert sorted(x[weight == 1]) == list(range(num_examples))
        assert set(weight) <= {0.0, 1.0} and (weight[:num_examples] == 1).all()
        assert set(x[weight == 0]) <= set(range(num_examples))
        np.testing.assert_array_equal(y, x % 3)


def test_shapes_are_static():
    dataset = batches(numbered(10), 4, encode=data.image_encoder(image_size=(5, 7)))
    x, y, weight = dataset.element_spec
    assert (x.shape, y.shape, weight.shape) == ((4, 5, 7, 3), (4,), (4,))
    assert (x.dtype, y.dtype, weight.dtype) == (tf.float32, tf.int64, tf.float32)
    assert dataset.from_epoch(3).element_spec == dataset.element_spec


def test_an_epoch_is_in_its_own_order_of_the_seed():
    dataset = batches(numbered(30), 30, seed=5, shuffle=True)
    for epoch in range(3):
        order = data.epoch_order(30, seed=5, epoch=epoch, shuffle=True)
        np.testing.assert_array_equal(listed(dataset)[0][0], order)


def test_from_epoch_is_the_epochs_of_plain_iteration_end_to_end():
    encode = data.image_encoder(image_size=(3, 3), augmentation="flip,crop")
    rng = np.random.default_rng(0)
    source = data.from_arrays(rng.integers(0, 256, (11, 6, 8, 3), np.uint8), np.arange(11) % 2)
    dataset = batches(source, 4, encode=encode, seed=1, shuffle=True)
    plain = [listed(dataset) for _ in range(6)]
    chained = listed(dataset.from_epoch(3).take(9))
    same(plain[3] + plain[4] + plain[5], chained)
    same(plain[0], listed(dataset.from_epoch(0).take(3)))


def test_two_data_sets_count_their_epochs_apart():
    source = numbered(20)
    first, second = (batches(source, 20, seed=2, shuffle=True) for _ in range(2))
    listed(first)
    np.testing.assert_array_equal(listed(second)[0][0], data.epoch_order(20, seed=2, epoch=0, shuffle=True))
    np.testing.assert_array_equal(listed(first)[0][0], data.epoch_order(20, seed=2, epoch=1, shuffle=True))


@pytest.mark.parametrize("augmentation", ["flip,crop", "color,randaugment,erasing"])
def test_augmentation_depends_on_seed_epoch_and_example_alone(augmentation):
    """Not on the batch size, the order, or how many threads work."""
    rng = np.random.default_rng(0)
    source = data.from_arrays(rng.integers(0, 256, (64, 9, 9, 3), np.uint8), np.arange(64) % 2)
    encode = data.image_encoder(image_size=(6, 6), augmentation=augmentation)

    def pictures(batch_size, *, seed, shuffle, epoch, threads=None, part=source):
        dataset = batches(part, batch_size, encode=encode, seed=seed, shuffle=shuffle).from_epoch(epoch)
        dataset = dataset.map(lambda x, y, weight: (x, y, weight)).take(-(-part.num_examples // batch_size))
        options = tf.data.Options()
        if threads:
            options.threading.private_threadpool_size = threads
            options.autotune.enabled = False
        x, _, weight = (np.concatenate(parts) for parts in zip(*listed(dataset.with_options(options)), strict=True))
        order = data.epoch_order(part.num_examples, seed=seed, epoch=epoch, shuffle=shuffle)
        return x[weight == 1][np.argsort(order)]

    one = pictures(7, seed=3, shuffle=True, epoch=2)
    np.testing.assert_array_equal(one, pictures(7, seed=3, shuffle=True, epoch=2, threads=1))
    np.testing.assert_array_equal(one, pictures(64, seed=3, shuffle=False, epoch=2, threads=4))
    assert (one != pictures(7, seed=3, shuffle=True, epoch=1)).any()
    assert (one != pictures(7, seed=4, shuffle=True, epoch=2)).any()
    first_of_each = np.repeat(source.load(0)["image"][None], 64, 0)
    alike = pictures(64, seed=3, shuffle=False, epoch=0, part=data.from_arrays(first_of_each, source.labels))
    assert len(np.unique(alike.reshape(64, -1), axis=0)) > 30


def test_preprocess_gets_batches_and_may_give_any_structure():
    dataset = data.batches(
        numbered(6), encode=row, preprocess=lambda x: {"twice": 2 * x, "size": tf.size(x)}, global_batch_size=6
    )
    x = listed_x = next(iter(dataset))[0]
    np.testing.assert_array_equal(listed_x["twice"], 2 * np.arange(6))
    assert int(x["size"]) == 6


def test_two_replicas_see_each_example_once(mirrored_pair):
    dataset = batches(numbered(11), 4, shuffle=True)
    distributed = mirrored_pair.experimental_distribute_dataset(dataset)
    for epoch in range(2):
        seen = []
        for step, (x, y, weight) in enumerate(distributed):
            parts = [mirrored_pair.experimental_local_results(part) for part in (x, y, weight)]
            assert [len(part) for part in parts[0]] == [2, 2]
            x, y, weight = (np.concatenate(part) for part in parts)
            order = data.epoch_order(11, seed=0, epoch=epoch, shuffle=True)
            np.testing.assert_array_equal(x[weight == 1], order[step * 4 : step * 4 + 4])
            np.testing.assert_array_equal(y, x % 3)
            seen += x[weight == 1].tolist()
        assert sorted(seen) == list(range(11))


def test_replicas_see_the_augmentation_of_one_device(mirrored_pair, photos):
    encode = data.image_encoder(image_size=(8, 8), augmentation="flip,crop")
    dataset = batches(data.load(f"folder:{photos}"), 2, encode=encode, shuffle=True)
    alone = [x for x, _, _ in listed(dataset.from_epoch(1).take(5))]
    pair = iter(mirrored_pair.experimental_distribute_dataset(dataset.from_epoch(1)))
    for x in alone:
        both = np.concatenate(mirrored_pair.experimental_local_results(next(pair)[0]))
        np.testing.assert_array_equal(both, x)


def test_fit_of_a_stranger_takes_the_epochs_in_turn():
    import keras

    seen = []

    class Look(keras.Model):
        def train_step(self, batch):
            tf.py_function(lambda x: seen.append(x.numpy()), [batch[0]], [])
            return {"loss": 0.0}

    model = Look()
    model.compile(run_eagerly=True)
    dataset = batches(numbered(20), 20, seed=2, shuffle=True)
    model.fit(dataset, epochs=3, verbose=0)
    orders = [data.epoch_order(20, seed=2, epoch=epoch, shuffle=True) for epoch in range(len(seen))]
    assert len(seen) >= 3
    np.testing.assert_array_equal(seen, orders)


def test_it_reads_ahead_over_the_end_of_an_epoch():
    read = []

    def watched(raw, seed):
        tf.numpy_function(lambda index: read.append(index) or np.int64(0), [seed[1]], tf.int64)
        return row(raw, seed)

    iterator = iter(batches(numbered(8), 4, encode=watched).from_epoch(0))
    for _ in range(2):
        next(iterator)
    for _ in range(200):
        if len(read) > 8:
            break
        tf.py_function(lambda: __import__("time").sleep(0.01), [], [])
    assert len(read) > 8


def test_flowers(test_data):
    source = data.load(f"folder:{test_data}/flowers/val")
    dataset = batches(source, 128, encode=data.image_encoder(image_size=(64, 64)), shuffle=True)
    labels = []
    for x, y, weight in itertools.islice(dataset, 6):
        assert x.shape == (128, 64, 64, 3) and x.numpy().min() >= 0 and x.numpy().max() <= 255
        labels += y.numpy()[weight.numpy() == 1].tolist()
    np.testing.assert_array_equal(np.bincount(labels), list(source.num_examples_per_class().values()))


def test_arguments_out_of_range():
    with pytest.raises(errors.InputError, match="global_batch_size=0"):
        batches(numbered(3), 0)
    with pytest.raises(errors.InputError, match="seed=-1"):
        batches(numbered(3), 1, seed=-1)
    with pytest.raises(errors.InputError, match="Got no examples"):
        batches(data.subset(numbered(3), []), 1)
    bad = data.from_arrays(np.zeros((2, 1, 1), np.uint8), [0, 7], label_names=("a", "b"))
    with pytest.raises(errors.InputError, match="row 1.*check lists them all"):
        batches(bad, 1)
