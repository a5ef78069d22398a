"""R21: weights that do not fit are refused with the variables listed, unless the difference is asked for."""

import keras
import numpy as np
import pytest
import safetensors.numpy

from kft import errors, optimizers
from kft.training import Checkpoint, FineTuneModel, save_weights, warm_start
from tests.training.models import crossentropy, examples, padded, values


def make_model(*, classes=3, width=8, extra=False, seed=0, names=("body", "head")):
    keras.utils.set_random_seed(seed)
    inputs = keras.Input((8,))
    x = keras.layers.Dense(width, name=names[0])(inputs)
    if extra:
        x = keras.layers.Dense(width, name="extra")(x)
    outputs = keras.layers.Dense(classes, name=names[1])(x)
    return FineTuneModel(inputs, outputs, blocks=("body/.*|extra/.*|other/.*", "head/.*"))


@pytest.fixture
def file(tmp_path):
    save_weights(make_model(seed=1), tmp_path / "weights.safetensors")
    return tmp_path / "weights.safetensors"


def rewrite(file, change):
    arrays = safetensors.numpy.load_file(file)
    change(arrays)
    safetensors.numpy.save_file(arrays, file)


def test_what_fits_is_loaded_and_reported(file):
    model = make_model(seed=2)
    report = warm_start(model, file)
    assert len(report.matched) == 4 and "4 matched, 0 missing, 0 extra" in str(report)
    for path, value in values(make_model(seed=1).weights).items():
        np.testing.assert_array_equal(values(model.weights)[path], value)


@pytest.mark.parametrize(
    ("model", "allow", "words"),
    [
        ({"extra": True}, "missing", r"missing: extra/kernel, extra/bias"),
        ({"classes": 5}, "shape", r"shape: head/kernel \(8, 3\) \(8, 5\), head/bias"),
        ({"names": ("other", "head")}, ("missing", "extra"), r"missing: other/kernel.*extra: body/"),
        ({"classes": 5}, "head", r"head/kernel"),
    ],
)
def test_differences_are_refused_by_name_and_loaded_if_asked_for(model, allow, words, file):
    made = make_model(**model, seed=2)
    before = values(made.weights)
    with pytest.raises(errors.InputError, match=words):
        warm_start(made, file)
    for path, value in values(made.weights).items():
        np.testing.assert_array_equal(value, before[path], "a refused load changed something")
    report = warm_start(made, file, allow=(allow,) if isinstance(allow, str) else allow)
    there = safetensors.numpy.load_file(file)
    for path, value in values(made.weights).items():
        np.testing.assert_array_equal(value, there[path] if path in report.matched else before[path])
    assert 0 < len(report.matched) < 6


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda a: a.update({"body/bias": a["body/bias"] * np.nan}), "not finite: body/bias"),
        (
            lambda a: a.update({"body/bias": a["body/bias"].astype("float64")}),
            "another type: body/bias float64 float32",
        ),
        (lambda a: a.update({"body/kernel": a["head/kernel"], "head/kernel": a["body/kernel"]}), "shape: body/kernel"),
    ],
)
def test_other_types_permutations_and_nan_are_refused(change, words, file):
    rewrite(file, change)
    with pytest.raises(errors.InputError, match=words):
        warm_start(make_model(), file, allow=("missing", "extra"))


def test_a_head_of_other_classes_of_the_same_number_is_refused(tmp_path):
    model = make_model(seed=1)
    model.compile(optimizers.make_optimizer("adam", learning_rate=0.1), crossentropy())
    facts = {"label names": ["cat", "dog", "owl"]}
    checkpoint = Checkpoint(tmp_path / "checkpoints", facts=facts)
    model.fit(padded(*examples(16), 8), epochs=1, verbose=0, callbacks=[checkpoint])
    trained = values(model.weights)
    with pytest.raises(errors.InputError, match="classes cat, dog, owl and not dog, cat, owl"):
        warm_start(make_model(), tmp_path, label_names=("dog", "cat", "owl"))
    again = make_model()
    warm_start(again, tmp_path, label_names=("cat", "dog", "owl"))
    for path, value in values(again.weights).items():
        np.testing.assert_array_equal(value, trained[path])
    report = warm_start(make_model(), tmp_path, label_names=("dog", "cat", "owl"), allow=("head",))
    assert report.head == ("head/bias", "head/kernel") and len(report.matched) == 2


@pytest.mark.parametrize(("place", "words"), [("nothing", "cannot be read"), ("", "neither a kept model")])
def test_what_is_no_run_and_no_file_is_refused(place, words, tmp_path):
    with pytest.raises(errors.InputError, match=words):
        warm_start(make_model(), tmp_path / place)


def test_an_unknown_difference_is_refused(file):
    with pytest.raises(errors.InputError, match="Did you mean 'missing'"):
        warm_start(make_model(), file, allow=("mising",))
