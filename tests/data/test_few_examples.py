import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kft import data, errors
from kft.data import few_examples


def make(counts, seed=0):
    """A source with so many examples of each class, mixed; every pixel of an example is its number."""
    labels = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(counts)), counts))
    pixels = np.arange(len(labels), dtype=np.float32)[:, None, None]
    return data.from_arrays(pixels, labels, label_names=[f"class {label}" for label in range(len(counts))])


def numbers(source):
    return [np.frombuffer(source.content(index), np.float32)[0] for index in range(source.num_examples)]


def test_so_many_of_each_class_in_the_order_of_the_source():
    part = data.few_shot(make([50, 20, 30]), "10 per class")
    assert part.num_examples_per_class() == {"class 0": 10, "class 1": 10, "class 2": 10}
    assert numbers(part) == sorted(numbers(part)) and part.warnings == ()


def test_the_seed_alone_decides_and_fewer_are_a_part_of_more():
    source = make([50, 20, 30])
    ten = numbers(data.few_shot(source, "10 per class", seed=3))
    assert ten == numbers(data.few_shot(source, "10 per class", seed=3))
    assert ten != numbers(data.few_shot(source, "10 per class", seed=4))
    assert set(ten) < set(numbers(data.few_shot(source, "15 per class", seed=3)))


def test_every_example_is_as_likely():
    source = make([6, 4])
    drawn = np.concatenate([numbers(data.few_shot(source, "2 per class", seed=seed)) for seed in range(600)])
    shares = np.bincount(drawn.astype(int), minlength=10) / 600
    expected = np.where(source.labels == 0, 2 / 6, 2 / 4)
    np.testing.assert_allclose(shares, expected, atol=4 * np.sqrt(0.25 / 600))


def test_a_class_with_fewer_gives_all_and_a_warning():
    part = data.few_shot(make([12, 3]), "5 per class")
    assert part.num_examples_per_class() == {"class 0": 5, "class 1": 3}
    (warning,) = part.warnings
    assert warning.kind == "few examples" and "class 1 3" in str(warning)
    assert data.few_shot(make([2, 2]), "9").num_examples == 4
    assert len(data.few_shot(make([2, 2]), "9").warnings) == 1


@given(st.lists(st.integers(0, 40), min_size=1, max_size=6), st.integers(1, 200))
def test_a_number_is_shared_out_in_proportion(sizes, count):
    sizes = np.array(sizes)
    shares = few_examples._shares(sizes, count)
    assert shares.sum() == min(count, sizes.sum()) and (shares <= sizes).all() and (shares >= 0).all()
    if count >= np.count_nonzero(sizes):
        assert (shares[sizes > 0] > 0).all()
        exact = sizes * min(count, sizes.sum()) / max(sizes.sum(), 1)
        assert (np.abs(shares - exact) < 1 + np.count_nonzero(sizes)).all()


def test_200_of_1000():
    assert data.few_shot(make([700, 250, 50]), "200").num_examples_per_class() == {
        "class 0": 140,
        "class 1": 50,
        "class 2": 10,
    }


def test_sets_of_labels_have_enough_of_each():
    labels = [["a"], ["a", "b"], ["a"], ["b", "c"], ["a", "b"], ["c"], [], ["a", "c"], ["b"]]
    source = data.from_texts([f"text {row}" for row in range(9)], labels, label_kind="sets")
    part = data.few_shot(source, "2 per class")
    assert (part.targets.sum(axis=0) >= 2).all() and part.num_examples < 9
    assert data.few_shot(source, "4").num_examples == 4


def test_numbers_have_no_classes():
    source = data.from_texts(["one", "two", "three"], [1.0, 2.0, 3.0], label_kind="numbers")
    part = data.few_shot(source, "2")
    assert part.targets.shape == (2,) and [record["texts"] for record in part.records] != []
    with pytest.raises(errors.InputError, match="no class.*Use '2'"):
        data.few_shot(source, "2 per class")


@pytest.mark.parametrize("amount", ["", "0", "-1", "1.5", "10 each", "per class", "10per klass"])
def test_amounts_that_are_none(amount):
    with pytest.raises(errors.InputError, match="max_examples=.*Use '200' or '10 per class'"):
        data.few_shot(make([2, 2]), amount)
