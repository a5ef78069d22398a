"""Weight files: what fits loads exactly, what does not is refused before it is read (ACCEPTANCE R21)."""

import time

import h5py
import keras
import numpy as np
import pytest

from kft import errors
from kft.models import weights
from tests.training.models import make_normalizing


def make_model(filters=4):
    inputs = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(filters, 3, name="conv")(inputs)
    x = keras.layers.BatchNormalization(name="norm_a")(x)
    x = keras.layers.DepthwiseConv2D(3, name="depthwise")(x)
    x = keras.layers.BatchNormalization(name="norm_b")(x)
    model = keras.Model(inputs, x)
    numbers = np.random.default_rng(filters)
    model.set_weights([numbers.uniform(0.1, 1, weight.shape) for weight in model.weights])
    return model


def save_by_layer_name(model, path):
    """Keras 2's layout, where a depthwise kernel has its old name."""
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = [layer.name.encode() for layer in model.layers]
        for layer in model.layers:
            group = file.create_group(layer.name)
            names = []
            for weight in layer.weights:
                word = weight.path.rpartition("/")[2]
                word = "depthwise_kernel" if layer.name == "depthwise" and word == "kernel" else word
                names.append(f"{layer.name}/{word}:0")
                group[names[-1]] = weight.numpy()
            group.attrs["weight_names"] = [name.encode() for name in names]


def save_current(model, path):
    model.save_weights(path)


LAYOUTS = {"by_layer_name.h5": save_by_layer_name, "current.weights.h5": save_current}
CONV = {"by_layer_name.h5": "conv/conv/kernel:0", "current.weights.h5": "layers/conv2d/vars/0"}
GAMMA = {"by_layer_name.h5": "norm_a/norm_a/gamma:0", "current.weights.h5": "layers/batch_normalization/vars/0"}


@pytest.fixture(params=LAYOUTS)
def layout(request):
    return request.param


@pytest.fixture
def file(layout, tmp_path):
    path = str(tmp_path / layout)
    LAYOUTS[layout](make_model(), path)
    return path


def refused(path, *words, model=None):
    model = model or make_model()
    before = [weight.numpy() + 1 for weight in model.weights]
    model.set_weights(before)
    start = time.perf_counter()
    with pytest.raises(errors.InputError) as info:
        weights.load(model, path, what="backbone 'small'")
    assert time.perf_counter() - start < 5
    for word in words:
        assert word in str(info.value)
    for weight, value in zip(model.weights, before):
        np.testing.assert_array_equal(weight.numpy(), value)


def replace(path, name, value=None, **arguments):
    with h5py.File(path, "a") as file:
        del file[name]
        if value is not None or arguments:
            file.create_dataset(name, data=value, **arguments)


def test_loads_exactly(file):
    expected, model = make_model(), make_model()
    model.set_weights([np.zeros_like(weight) for weight in model.get_weights()])
    weights.load(model, file, what="model")
    for weight, value in zip(model.get_weights(), expected.get_weights()):
        np.testing.assert_array_equal(weight, value)


@pytest.mark.parametrize("ending", ["h5", "weights.h5"])
def test_files_of_a_compiled_model_load_without_its_optimizer(tmp_path, ending):
    trained, model = make_model(), make_model()
    trained.compile("adam", "mse")
    trained.fit(np.ones((2, 8, 8, 3)), np.ones((2, 4, 4, 4)), verbose=0)
    path = str(tmp_path / f"trained.{ending}")
    if ending == "h5":
        trained.save(path)
    else:
        trained.save_weights(path)
    weights.load(model, path, what="model")
    for weight, value in zip(model.get_weights(), trained.get_weights()):
        np.testing.assert_array_equal(weight, value)


def test_layers_are_matched_by_name_whatever_their_order(tmp_path):
    path = str(tmp_path / "reversed.h5")
    model = make_model()
    save_by_layer_name(model, path)
    with h5py.File(path, "a") as file:
        file.attrs["layer_names"] = file.attrs["layer_names"][::-1]
    other = make_model()
    other.set_weights([np.zeros_like(weight) for weight in other.get_weights()])
    weights.load(other, path, what="model")
    for weight, value in zip(other.get_weights(), model.get_weights()):
        np.testing.assert_array_equal(weight, value)


@pytest.mark.parametrize("save", [save_by_layer_name, lambda model, path: model.save_weights(path)])
def test_normalization_computes_with_what_was_loaded(tmp_path, save):
    images = np.random.default_rng(0).uniform(0, 255, (20, 3)).astype("float32")
    model, other = make_normalizing(images), make_normalizing()
    path = str(tmp_path / "some.weights.h5")
    save(model, path)
    other(images)
    weights.load(other, path, what="other")
    np.testing.assert_array_equal(other(images), model(images))
    np.testing.assert_allclose(np.mean(other(images), 0), 0, atol=1e-5)


def test_permuted_layers_are_refused(tmp_path):
    path = str(tmp_path / "permuted.weights.h5")
    make_model().save_weights(path)
    with h5py.File(path, "a") as file:
        file.move("layers/batch_normalization", "layers/other")
        file.move("layers/batch_normalization_1", "layers/batch_normalization")
        file.move("layers/other", "layers/batch_normalization_1")
    refused(path, "another order", "norm_b")


def test_missing_is_refused(file, layout):
    replace(file, CONV[layout])
    refused(file, "missing", "conv")


def test_extra_is_refused(file):
    with h5py.File(file, "a") as opened:
        opened["predictions/predictions/kernel:0"] = np.ones((2, 2), "float32")
    refused(file, "extra", "predictions", "no_top")


def test_other_shape_is_refused(file):
    refused(file, "other shape", "(4,) float32 instead of (5,)", model=make_model(filters=5))


def test_other_type_is_refused(file, layout):
    replace(file, GAMMA[layout], np.ones(4, "float64"))
    refused(file, "float64 instead of", "float32")


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_numbers_that_are_not_finite_are_refused(file, layout, bad):
    replace(file, GAMMA[layout], np.array([1, 1, bad, 1], "float32"))
    refused(file, "NaN or Inf", GAMMA[layout].split("/")[1])


def test_a_huge_claim_is_refused(file, layout):
    replace(file, CONV[layout], shape=(2**16, 2**16, 1), dtype="float32", chunks=(64, 64, 1))
    refused(file, "other shape", "65536")


def test_huge_parts_are_refused(file, layout):
    replace(file, GAMMA[layout], shape=(4,), dtype="float32", maxshape=(None,), chunks=(2**29,), compression="gzip")
    refused(file, "stored in parts larger than itself")


@pytest.mark.parametrize("link", [h5py.SoftLink("/conv"), h5py.ExternalLink("elsewhere.h5", "/")])
def test_links_are_refused(file, link):
    with h5py.File(file, "a") as opened:
        opened["linked"] = link
    refused(file, "'linked' is a link")


def test_a_link_in_place_of_the_model_weights_is_refused(file):
    with h5py.File(file, "a") as opened:
        opened["model_weights"] = h5py.ExternalLink("elsewhere.h5", "/")
    refused(file, "'model_weights' is a link")


def test_a_cycle_is_refused(file):
    with h5py.File(file, "a") as opened:
        opened["again"] = opened["/"]
    refused(file, "second name")


def test_arrays_in_other_files_are_refused(file, layout, tmp_path):
    secret = tmp_path / "secret"
    secret.write_bytes(b"0" * 16)
    replace(file, GAMMA[layout], shape=(4,), dtype="float32", external=[(str(secret), 0, 16)])
    refused(file, "lies in other files")


def test_virtual_arrays_are_refused(file, layout, tmp_path):
    source = h5py.VirtualSource(str(tmp_path / "other.h5"), "x", shape=(4,))
    virtual = h5py.VirtualLayout(shape=(4,), dtype="float32")
    virtual[:] = source
    with h5py.File(file, "a") as opened:
        del opened[GAMMA[layout]]
        opened.create_virtual_dataset(GAMMA[layout], virtual)
    refused(file, "lies in other files")


def test_strange_filters_and_types_are_refused(file, layout):
    replace(file, GAMMA[layout], np.ones(4, "float32"), compression="lzf")
    refused(file, "compressed by a filter")
    with h5py.File(file, "a") as opened:
        opened["type"] = np.dtype([("a", "f4")])
    with h5py.File(file, "a") as opened:
        del opened[GAMMA[layout]]
    refused(file, "'type' is neither")


def test_too_many_objects_are_refused(file):
    with h5py.File(file, "a") as opened:
        for index in range(12_000):
            opened.create_group(f"flood/{index}")
    refused(file, "too many objects")


def test_files_in_no_format_are_refused(tmp_path):
    page = tmp_path / "page.h5"
    page.write_text("<html>404</html>")
    refused(str(page), "not in the HDF5 format")
    refused(str(tmp_path / "absent.h5"), "no file")
    refused(str(tmp_path), "no file")


def test_a_truncated_file_is_refused(file):
    with open(file, "r+b") as opened:
        opened.truncate(3000)
    refused(file, "cannot be read")


def test_the_current_layout_needs_its_ending(tmp_path):
    make_model().save_weights(tmp_path / "a.weights.h5")
    (tmp_path / "a.weights.h5").rename(tmp_path / "a.h5")
    refused(str(tmp_path / "a.h5"), "Rename it")
