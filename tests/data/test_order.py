import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kft.data.order import epoch_key, epoch_order, pad

seeds = st.integers(0, 2**40)
epochs = st.integers(0, 10**6)


@given(st.integers(0, 200), seeds, epochs, st.booleans())
def test_every_example_once(num_examples, seed, epoch, shuffle):
    order = epoch_order(num_examples, seed=seed, epoch=epoch, shuffle=shuffle)
    assert order.dtype == np.int64
    assert sorted(order) == list(range(num_examples))


@given(seeds, epochs)
def test_a_function_of_seed_and_epoch(seed, epoch):
    order = epoch_order(50, seed=seed, epoch=epoch, shuffle=True)
    np.testing.assert_array_equal(order, epoch_order(50, seed=seed, epoch=epoch, shuffle=True))


@given(seeds, epochs, seeds, epochs)
def test_another_seed_or_epoch_is_another_order(seed, epoch, other_seed, other_epoch):
    if (seed, epoch) != (other_seed, other_epoch):
        first = epoch_order(50, seed=seed, epoch=epoch, shuffle=True)
        assert (first != epoch_order(50, seed=other_seed, epoch=other_epoch, shuffle=True)).any()
        assert epoch_key(seed=seed, epoch=epoch) != epoch_key(seed=other_seed, epoch=other_epoch)


def test_seeds_that_end_in_a_word_of_zeros_or_hold_the_epoch_differ():
    keys = {epoch_key(seed=seed, epoch=epoch) for seed, epoch in ((0, 1), (1, 0), (2**32, 0), (2**32, 1), (0, 2**32))}
    assert len(keys) == 5


def test_every_example_comes_first_equally_often():
    first = [epoch_order(5, seed=0, epoch=epoch, shuffle=True)[0] for epoch in range(2000)]
    np.testing.assert_allclose(np.bincount(first) / 2000, 0.2, atol=4 * np.sqrt(0.2 * 0.8 / 2000))


def test_without_shuffle_the_order_of_the_source():
    np.testing.assert_array_equal(epoch_order(4, seed=9, epoch=3, shuffle=False), [0, 1, 2, 3])


@given(st.integers(1, 100), st.integers(1, 120))
def test_padding_repeats_examples_of_the_epoch_with_weight_0(num_examples, batch_size):
    order = epoch_order(num_examples, seed=0, epoch=0, shuffle=True)
    indices, weights = pad(order, batch_size)
    assert len(indices) % batch_size == 0 and len(indices) < num_examples + batch_size
    np.testing.assert_array_equal(indices[weights == 1], order)
    assert set(indices) <= set(order) and set(weights[num_examples:]) <= {0.0}


@pytest.mark.parametrize("epoch", [0, 1])
def test_the_bits_of_the_order_never_change(epoch):
    """A run that goes on in another year needs the order it began with: words of Philox after NumPy's documentation."""
    words = np.random.Philox(np.random.SeedSequence(7, spawn_key=(epoch, 0))).random_raw(6)
    np.testing.assert_array_equal(
        epoch_order(6, seed=7, epoch=epoch, shuffle=True), sorted(range(6), key=lambda place: words[place])
    )
