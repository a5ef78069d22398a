import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kft import data, errors
from kft.data.batch_plan import BatchPlan, EqualPlan
from kft.data.order import balanced_order

sizes = st.lists(st.integers(0, 30), min_size=1, max_size=5).filter(any)


@given(sizes, st.integers(0, 2**40), st.integers(0, 1000))
def test_classes_come_equally_often_and_examples_of_one_too(sizes, seed, epoch):
    labels = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(sizes)), sizes))
    order = balanced_order(labels, seed=seed, epoch=epoch)
    assert order.shape == labels.shape and order.dtype == np.int64
    np.testing.assert_array_equal(order, balanced_order(labels, seed=seed, epoch=epoch))
    of_class = np.bincount(labels[order], minlength=len(sizes))[np.array(sizes) > 0]
    assert of_class.max() - of_class.min() <= 1
    of_example = np.bincount(order, minlength=len(labels))
    for label in np.unique(labels):
        assert np.ptp(of_example[labels == label]) <= 1


def test_every_example_comes_in_some_epoch_and_classes_take_turns():
    labels = np.repeat([0, 1], [18, 3])
    epochs = [balanced_order(labels, seed=0, epoch=epoch) for epoch in range(20)]
    assert set(np.concatenate(epochs)) == set(range(21))
    assert {int(np.bincount(labels[order])[0]) for order in epochs} == {10, 11}
    assert len({tuple(order) for order in epochs}) == 20


def test_batches_of_images_are_balanced():
    labels = np.repeat([0, 1], [30, 6])
    source = data.from_arrays(np.arange(36, dtype=np.uint8)[:, None, None], labels)
    give = {"encode": lambda raw, seed: raw["image"], "preprocess": lambda x: x, "global_batch_size": 8}
    dataset = data.batches(source, **give, seed=5, shuffle=True, sampling="balanced")
    for epoch in range(2):
        rows = [(x.numpy()[:, 0, 0, 0], y.numpy(), weight.numpy()) for x, y, weight in dataset]
        x, y, weight = map(np.concatenate, zip(*rows))
        assert len(rows) == 5
        np.testing.assert_array_equal(np.bincount(y[weight > 0]), [18, 18])
        np.testing.assert_array_equal(x[weight > 0], balanced_order(labels, seed=5, epoch=epoch))
    again = data.batches(source, **give, seed=5, shuffle=True, sampling="balanced").from_epoch(1, 2)
    x, _, _ = next(iter(again))
    np.testing.assert_array_equal(x[:, 0, 0, 0], balanced_order(labels, seed=5, epoch=1)[16:24])


def test_plans_of_rows_are_balanced():
    labels = np.repeat([0, 1], [90, 10])
    lengths = np.random.default_rng(0).integers(1, 60, 100)
    plan = BatchPlan(lengths, 8, 3, True, balanced=labels)
    for epoch in range(2):
        batches = plan.epoch(epoch)
        assert len(batches.counts) == plan.num_batches
        assert np.bincount(labels[batches.indices[batches.weights > 0]]).tolist() == [50, 50]
    with pytest.raises(errors.InputError, match="tokens_per_batch=200 with balanced"):
        BatchPlan(lengths, 8, 3, True, tokens_per_batch=200, balanced=labels)


def test_without_it_nothing_changes():
    plan, balanced = EqualPlan(12, 4, 0, True), EqualPlan(12, 4, 0, True, np.repeat([0, 1], 6))
    assert sorted(plan.epoch(0).indices.reshape(-1)) == list(range(12))
    assert sorted(balanced.epoch(0).indices.reshape(-1)) == list(range(12))  # sizes are equal already


@pytest.mark.parametrize(
    "labels, arguments, words",
    [
        ([0, 1], {"sampling": "balance", "shuffle": True}, "Did you mean 'balanced'"),
        ([0, 1], {"sampling": "balanced"}, "without shuffle"),
    ],
)
def test_what_cannot_be_balanced(labels, arguments, words):
    source = data.from_arrays(np.zeros((2, 1, 1), np.uint8), labels)
    with pytest.raises(errors.InputError, match=words):
        data.batches(source, encode=None, preprocess=None, global_batch_size=2, **arguments)


def test_numbers_cannot_be_balanced():
    source = data.from_texts(["one", "two"], [1.0, 2.0], label_kind="numbers")
    with pytest.raises(errors.InputError, match="one class each"):
        data.batches(source, encode=None, preprocess=None, global_batch_size=2, shuffle=True, sampling="balanced")


def test_an_example_that_comes_several_times_is_augmented_anew_each_time():
    x = np.random.default_rng(0).integers(0, 256, (8, 12, 12, 3), np.uint8)
    source = data.from_arrays(x, [0] * 7 + [1])
    encode = data.image_encoder(image_size=(8, 8), augmentation="crop")
    dataset = data.batches(
        source, encode=encode, preprocess=lambda x: x, global_batch_size=4, shuffle=True, sampling="balanced"
    )
    whole = [tuple(part.numpy() for part in batch) for batch in dataset.from_epoch(2).take(2)]
    images, labels, _ = (np.concatenate(parts) for parts in zip(*whole, strict=True))
    of_one = images[labels == 1]
    assert len(of_one) == 4 and len({image.tobytes() for image in of_one}) == 4
    halves = [[x.numpy() for x, *_ in dataset.from_epoch(2, 0, (half, half + 1, 2)).take(2)] for half in (0, 1)]
    for (both, *_), first, second in zip(whole, *halves, strict=True):
        np.testing.assert_array_equal(both, np.concatenate([first, second]))
