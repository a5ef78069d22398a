import numpy as np
import pytest

from kft import data, errors


@pytest.fixture
def source():
    x = np.arange(6, dtype=np.uint8)[:, None, None] * np.ones((1, 2, 2), np.uint8)
    return data.from_arrays(x, np.array([0, 1, 0, 7, 1, 0]), label_names=("a", "b"))


def test_a_subset_keeps_rows_together(source):
    part = data.subset(source, [4, 0])
    assert part.num_examples == 2
    assert part.label_names == ("a", "b")
    assert [int(part.load(index)["image"][0, 0, 0]) for index in range(2)] == [4, 0]
    assert part.labels.tolist() == [1, 0]
    assert part.keys == (source.keys[4], source.keys[0])
    assert part.content(1) == source.content(0)


def test_a_subset_of_a_subset(source):
    part = data.subset(data.subset(source, [5, 4, 3]), [2, 0])
    assert [int(part.load(index)["image"][0, 0, 0]) for index in range(2)] == [3, 5]


def test_a_subset_keeps_what_was_found_about_its_examples(source):
    assert [problem.index for problem in source.problems] == [3]
    assert [problem.index for problem in data.subset(source, [1, 3]).problems] == [1]
    assert data.subset(source, [1, 2]).problems == ()


def test_without(source):
    assert data.without(source, [3]).labels.tolist() == [0, 1, 0, 1, 0]
    assert data.without(source, []).num_examples == 6


def test_counts_of_classes_leave_out_what_cannot_be_used(source):
    assert source.num_examples_per_class() == {"a": 3, "b": 2}


def test_an_index_out_of_range(source):
    with pytest.raises(errors.InputError, match="Got index 6 .* Expected 0 <= index < 6"):
        data.subset(source, [0, 6])
