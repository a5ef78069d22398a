"""Weights in files: whole or not at all, exactly those of the model, or refused before anything is loaded."""

import hashlib

import keras
import numpy as np
import pytest
import safetensors.numpy

from kft import errors
from kft.training import load_weights, save_weights, variables_sha256
from tests.training.models import make_model, make_normalizing


def values(model):
    return {weight.path: weight.numpy() for weight in model.weights}


@pytest.fixture(scope="module")
def model():
    return make_model(seed=1)


@pytest.fixture
def file(model, tmp_path):
    file = tmp_path / "weights.safetensors"
    save_weights(model, file)
    return file


def test_what_is_saved_comes_back_to_the_bit(model, file):
    other = make_model(seed=2)
    load_weights(other, file)
    for path, value in values(other).items():
        np.testing.assert_array_equal(value, values(model)[path], err_msg=path)


def test_the_digest_of_the_file_is_returned_and_no_other_file_is_left(model, tmp_path):
    digest = save_weights(model, tmp_path / "weights.safetensors")
    assert [path.name for path in tmp_path.iterdir()] == ["weights.safetensors"]
    assert digest == hashlib.sha256((tmp_path / "weights.safetensors").read_bytes()).hexdigest()


def test_normalization_computes_with_what_was_loaded(tmp_path):
    rows = np.random.default_rng(0).uniform(0, 255, (20, 3)).astype("float32")
    saved, loaded = make_normalizing(rows), make_normalizing()
    save_weights(saved, tmp_path / "some.safetensors")
    load_weights(loaded, tmp_path / "some.safetensors")
    np.testing.assert_array_equal(loaded(rows), saved(rows))
    np.testing.assert_allclose(np.mean(loaded(rows), 0), 0, atol=1e-5)


def test_arrays_are_named_by_variable_path(model, file):
    arrays = safetensors.numpy.load_file(file)
    assert set(arrays) == {weight.path for weight in model.weights} >= {"body/kernel", "norm/moving_mean", "head/bias"}


def test_a_save_that_fails_leaves_the_file_of_before(model, file, monkeypatch):
    before = file.read_bytes()

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        save_weights(make_model(seed=3), file)
    assert file.read_bytes() == before


def rename(arrays):
    arrays["head/kernal"] = arrays.pop("head/kernel")


def add(arrays):
    arrays["tail/kernel"] = np.zeros(3, "float32")


def turn(arrays):
    arrays["body/kernel"] = arrays["body/kernel"].T.copy()


def halve(arrays):
    arrays["body/bias"] = arrays["body/bias"].astype("float16")


def poison(arrays):
    arrays["head/bias"][1] = np.nan


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (rename, ["missing 'head/kernel'", "not in the model: 'head/kernal'"]),
        (add, ["not in the model: 'tail/kernel'"]),
        (turn, ["'body/kernel' has shape (16, 8), the model wants (8, 16)"]),
        (halve, ["'body/bias' is float16, the model wants float32"]),
        (poison, ["'head/bias' is not finite"]),
    ],
)
def test_weights_that_do_not_fit_are_listed_and_none_is_loaded(file, change, words):
    arrays = safetensors.numpy.load_file(file)
    change(arrays)
    safetensors.numpy.save_file(arrays, file)
    other = make_model(seed=2)
    before = values(other)
    with pytest.raises(errors.InputError) as caught:
        load_weights(other, file)
    assert all(part in str(caught.value) for part in words)
    for path, value in values(other).items():
        np.testing.assert_array_equal(value, before[path], err_msg=path)


@pytest.mark.parametrize("content", [b"", b"text", b"\xff" * 100, None], ids=["empty", "text", "huge header", "cut"])
def test_a_file_that_is_none_is_refused(model, file, content):
    file.write_bytes(file.read_bytes()[:-1] if content is None else content)
    with pytest.raises(errors.InputError, match="safetensors"):
        load_weights(model, file)


def test_one_flipped_bit_is_found_by_the_digest(model, file):
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    load_weights(model, file)  # a legal file
    with pytest.raises(errors.InputError, match="not the file that was written"):
        load_weights(model, file, sha256=digest)


def variable(value, name="v", dtype="float32"):
    return keras.Variable(np.asarray(value), dtype=dtype, name=name)


def test_the_digest_of_a_state_sees_every_bit_path_shape_and_type():
    zero = variable([0.0, 0.0])
    others = [
        variable([0.0, -0.0]),
        variable([0.0, 1e-45]),
        variable([0.0, 0.0], name="w"),
        variable([[0.0, 0.0]]),
        variable([0, 0], dtype="int32"),
        variable([0.0]),
    ]
    digests = [variables_sha256([each]) for each in (zero, *others)]
    assert len(set(digests)) == len(digests)
    assert variables_sha256([variable([0.0, 0.0])]) == digests[0]


def test_the_digest_of_a_state_does_not_depend_on_the_order():
    pair = [variable([1.0], name="a"), variable([2.0], name="b")]
    assert variables_sha256(pair) == variables_sha256(pair[::-1])
    swapped = [variable([2.0], name="a"), variable([1.0], name="b")]
    assert variables_sha256(pair) != variables_sha256(swapped)
