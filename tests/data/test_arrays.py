import numpy as np
import pytest

from kft import data, errors

X = np.arange(3 * 4 * 5, dtype=np.uint8).reshape(3, 4, 5)


def test_an_npz_file(tmp_path):
    np.savez(tmp_path / "some.npz", x=X, y=[1, 0, 1], label_names=["cat", "dog"])
    source = data.load(f"arrays:{tmp_path}/some.npz")
    assert source.label_names == ("cat", "dog")
    assert source.labels.tolist() == [1, 0, 1]
    np.testing.assert_array_equal(source.load(2)["image"][..., 0], X[2])


def test_label_names_of_the_training_data_come_first(tmp_path):
    np.savez(tmp_path / "some.npz", x=X, y=[0, 0, 0])
    assert data.load(f"arrays:{tmp_path}/some.npz").label_names == ("0",)
    assert data.load(f"arrays:{tmp_path}/some.npz", label_names=("a", "b")).label_names == ("a", "b")


def test_floats_stay_exact():
    source = data.from_arrays(X + 0.25, [0, 1, 0])
    np.testing.assert_array_equal(source.load(1)["image"][..., 0], X[1] + 0.25)


def test_every_bad_label_is_found_with_its_row():
    x = np.zeros((6, 2, 2), np.uint8)
    source = data.from_arrays(x, np.array([0, 1.5, np.nan, -1, 2, 1]), label_names=("a", "b"))
    assert source.labels.tolist() == [0, -1, -1, -1, -1, 1]
    found = [(problem.kind, problem.index) for problem in source.problems]
    assert found == [
        ("fractional label", 1),
        ("label missing", 2),
        ("label out of range", 3),
        ("label out of range", 4),
    ]
    assert "row 4" in str(source.problems[3]) and "from 0, not from 1" in str(source.problems[3])


@pytest.mark.parametrize(
    "x, y",
    [
        (np.zeros((3, 4)), np.zeros(3)),
        (np.zeros((3, 4, 4, 0)), np.zeros(3)),
        (np.zeros((3, 4, 4), object), np.zeros(3)),
        (np.zeros((3, 4, 4)), np.zeros(2)),
        (np.zeros((3, 4, 4)), np.zeros((3, 2))),
        (np.zeros((3, 4, 4)), np.array(["a", "b", "c"])),
    ],
)
def test_arrays_that_do_not_fit(x, y):
    with pytest.raises(errors.InputError, match="Got .* of shape .* Expected"):
        data.from_arrays(x, y)


def test_pickles_are_not_opened(tmp_path):
    class Trap:
        def __reduce__(self):
            return (open, (str(tmp_path / "sprung"), "w"))

    np.savez(tmp_path / "trap.npz", x=np.array([Trap()], object), y=[0])
    with pytest.raises(errors.InputError, match="trap.npz.*Expected an npz file"):
        data.load(f"arrays:{tmp_path}/trap.npz")
    assert not (tmp_path / "sprung").exists()


def test_files_that_are_no_npz(tmp_path):
    (tmp_path / "text.npz").write_text("hello")
    np.savez(tmp_path / "less.npz", x=X)
    np.save(tmp_path / "one.npy", X)
    (tmp_path / "cut.npz").write_bytes((tmp_path / "less.npz").read_bytes()[:100])
    for name in ("text.npz", "less.npz", "one.npy", "cut.npz"):
        with pytest.raises(errors.InputError, match=f"Got .*{name}"):
            data.load(f"arrays:{tmp_path}/{name}")
    with pytest.raises(errors.InputError, match="not there.*Did you mean .*text.npz"):
        data.load(f"arrays:{tmp_path}/texts.npz")


def test_several_labels_and_numbers():
    x = np.zeros((3, 2, 2), np.uint8)
    sets = data.from_arrays(x, [[0, 1], [1, 1], [0, 2]], labels="sets", label_names=("a", "b"))
    np.testing.assert_array_equal(sets.targets, [[0, 1], [1, 1], [0, 2]])
    assert sets.label_names == ("a", "b") and [problem.index for problem in sets.problems] == [2]
    assert data.from_arrays(x, np.zeros((3, 1)), labels="sets").label_names == ("0",)
    numbers = data.from_arrays(x, [0.5, np.nan, -3], labels="numbers")
    assert numbers.label_names == () and [problem.index for problem in numbers.problems] == [1]
    assert numbers.targets.dtype == np.float32 and (numbers.labels == -1).all()
    for y, labels, message in (
        ([1, 2, 3], "sets", "rows of 0 and 1"),
        (np.zeros((3, 2)), "numbers", "3 numbers"),
        (np.zeros((3, 2)), "classes", "3 whole numbers"),
        ([1, 2, 3], "number", "Did you mean 'numbers'"),
    ):
        with pytest.raises(errors.InputError, match=message):
            data.from_arrays(x, y, labels=labels)
    with pytest.raises(errors.InputError, match="2 columns of y"):
        data.from_arrays(x, np.zeros((3, 2)), labels="sets", label_names=("a", "b", "c"))
