"""R16: one NaN feature stops the run at its step, names tensor and examples, and never reaches a checkpoint."""

import json
import os
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from kft import data, errors, optimizers, schedules
from kft.training import Checkpoint, FineTuneModel, KeepBest, checkpoint_files, fine_tune
from tests.conftest import ROOT
from tests.training.models import crossentropy

BAD = 13  # the example that is bad
BATCH = 4
MODES = {"graph": {}, "xla": {"jit_compile": True}, "eager": {"run_eagerly": True}}


def batches(bad=BAD, count=22):
    random = np.random.RandomState(0)
    images, labels = random.rand(count, 2, 2, 1).astype("float32") * 255, random.randint(0, 3, count)
    if bad is not None:
        images[bad, 1, 0, 0] = np.nan
    return data.batches(
        data.from_arrays(images, labels),
        encode=lambda raw, seed: raw["image"],
        preprocess=lambda images: images / 255.0,
        global_batch_size=BATCH,
        seed=1,
        shuffle=True,
    )


def make_model(activation="relu", optimizer="adam", rate=0.01, **compile_options):
    keras.utils.set_random_seed(0)
    inputs = keras.Input((2, 2, 1))
    x = keras.layers.Dense(8, activation=activation, name="body")(keras.layers.Flatten()(inputs))
    model = FineTuneModel(inputs, keras.layers.Dense(3, name="head")(x), blocks=("body/.*", "head/.*"))
    rule = optimizers.make_optimizer(optimizer, learning_rate=rate) if isinstance(optimizer, str) else optimizer
    model.compile(rule, crossentropy(), **compile_options)
    return model


def step_of_bad(dataset):
    """The step, from 1, whose batch holds the bad example for the first time."""
    order = data.epoch_order(dataset.num_examples, seed=1, epoch=0, shuffle=True)
    return int(np.flatnonzero(order == BAD)[0]) // BATCH + 1


def all_are_finite(folder):
    saved = [checkpoint_files._load(path) for path in checkpoint_files._newest_first(folder)]
    return saved and all(np.isfinite(array).all() for one in saved for array in one.arrays.values())


@pytest.mark.parametrize("activation", ["relu", "tanh", "gelu"])
@pytest.mark.parametrize("mode", MODES)
def test_one_nan_feature_stops_its_step_and_is_named(mode, activation, tmp_path):
    """FACT: with oneDNN the losses of Dense + ReLU stay finite while every weight becomes NaN."""
    dataset, model = batches(), make_model(activation, **MODES[mode])
    step = step_of_bad(dataset)
    with pytest.raises(errors.NonFiniteError) as caught:
        model.fit(dataset, epochs=3, verbose=0, callbacks=[Checkpoint(tmp_path, every="1 steps")])
    assert int(model.optimizer.iterations.numpy()) == step - 1
    assert f"step {step} (epoch 1, batch {step})" in str(caught.value)
    assert f"first in the input, of arrays, row {BAD}." in str(caught.value)
    assert all_are_finite(tmp_path)
    assert checkpoint_files.load_newest(tmp_path).step == step - 1
    found = json.loads((tmp_path / "not_finite.json").read_text())
    assert found["bad_examples"] == [f"arrays, row {BAD}"] and len(found["examples"]) == BATCH
    assert found["gradients"] == [] or "body/kernel" in found["gradients"]
    for variable in model.weights:
        assert np.isfinite(variable.numpy()).all(), variable.path


@pytest.mark.slow
@pytest.mark.parametrize("onednn", ["0", "1"])
def test_the_same_with_and_without_onednn(onednn):
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", __file__, "-k", "one_nan_feature"]
    done = subprocess.run(command, cwd=ROOT, env={**os.environ, "TF_ENABLE_ONEDNN_OPTS": onednn}, check=False)
    assert done.returncode == 0


def test_a_frozen_relu_that_swallows_the_nan_does_not_hide_it():
    model = make_model("relu")
    model.set_trainable(["head/.*"])
    with pytest.raises(errors.NonFiniteError, match=f"row {BAD}"):
        model.fit(batches(), epochs=1, verbose=0)


def test_an_optimizer_of_keras_is_stopped_before_it_updates():
    dataset = batches()
    model = make_model(optimizer=keras.optimizers.SGD(0.1))
    with pytest.raises(errors.NonFiniteError, match=f"row {BAD}"):
        model.fit(dataset, epochs=1, verbose=0)
    assert int(model.optimizer.iterations.numpy()) == step_of_bad(dataset) - 1
    assert all(np.isfinite(variable.numpy()).all() for variable in model.weights)


@keras.saving.register_keras_serializable()
class Explodes(keras.layers.Layer):
    """Finite values whose gradient is not."""

    def call(self, x):
        return tf.sqrt(x * 0.0) + x


def test_a_gradient_alone_is_named_by_the_topmost_variable():
    inputs = keras.Input((2, 2, 1))
    x = keras.layers.Dense(8, name="body")(keras.layers.Flatten()(inputs))
    x = Explodes(name="explodes")(keras.layers.Dense(8, name="middle")(x))
    model = FineTuneModel(inputs, keras.layers.Dense(3, name="head")(x), blocks=(".*",))
    model.compile(optimizers.make_optimizer("adam", learning_rate=0.1), crossentropy())
    with pytest.raises(errors.NonFiniteError) as caught:
        model.fit(batches(bad=None), epochs=1, verbose=0)
    assert "the gradient of 'middle/bias'" in str(caught.value) or "'middle/kernel'" in str(caught.value)
    assert "step 1 (epoch 1, batch 1)" in str(caught.value)
    assert "in a batch with arrays, row" in str(caught.value)


def test_both_replicas_tell_their_examples(mirrored_pair):
    with mirrored_pair.scope():
        model = make_model()
    with pytest.raises(errors.NonFiniteError, match=f"the input, of arrays, row {BAD}\\."):
        model.fit(batches(), epochs=1, verbose=0)


def test_a_rollback_lowers_the_rate_three_times_and_then_stops(tmp_path, capsys):
    dataset = batches()
    step = step_of_bad(dataset)
    model = make_model(rate=schedules.make_schedule("constant", learning_rate=0.01, total_steps=10))
    keep = KeepBest("val_loss", mode="min")
    with pytest.raises(errors.NonFiniteError, match=f"row {BAD}"):
        fine_tune(
            model, dataset, "all", epochs=2, validation_data=batches(None), verbose=0,
            callbacks=[keep, Checkpoint(tmp_path, every="1 steps", on_nan="rollback")],
        )  # fmt: skip
    assert capsys.readouterr().out.count("Rolled back") == 3
    saved = checkpoint_files.load_newest(tmp_path)
    assert saved.step == step - 1 and all_are_finite(tmp_path)
    assert [entry["learning_rate_scale"] for entry in saved.facts["rollbacks"]] == [0.5, 0.25, 0.125]
    assert float(model.optimizer.learning_rate.numpy()) == pytest.approx(0.01 / 8)


class BadOnce(keras.callbacks.Callback):
    """Makes a weight so large that the next step overflows, the first time only."""

    def __init__(self, step):
        super().__init__()
        self.step, self.left = step, 1

    def on_epoch_begin(self, epoch, logs=None):
        if self._break not in self.model.step_hooks:
            self.model.step_hooks.append(self._break)

    def _break(self):
        if int(self.model.optimizer.iterations.numpy()) == self.step and self.left:
            self.left -= 1
            self.model.get_layer("head").bias.assign([np.inf, 0.0, 0.0])


@pytest.mark.parametrize("plain_fit", [True, False])
def test_after_a_rollback_the_run_goes_on_to_its_end(plain_fit, tmp_path):
    model = make_model(rate=schedules.make_schedule("constant", learning_rate=0.01, total_steps=10))
    checkpoint = Checkpoint(tmp_path, every="2 steps", on_nan="rollback")
    callbacks = [BadOnce(7), checkpoint]
    if plain_fit:
        model.fit(batches(None), epochs=2, verbose=0, callbacks=callbacks)
    else:
        fine_tune(model, batches(None), "all", epochs=2, verbose=0, callbacks=callbacks)
    assert int(model.optimizer.iterations.numpy()) == 12
    assert checkpoint.rollbacks == [{"from_step": 8, "to_step": 6, "learning_rate_scale": 0.5}]
    assert float(model.optimizer.learning_rate.numpy()) == pytest.approx(0.005)


def test_a_weight_that_is_not_finite_is_not_committed(tmp_path):
    """An update can overflow where its gradient did not."""
    model = make_model()

    class Overflow(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            self.model.get_layer("head").bias.assign([np.inf, 0.0, 0.0])

    with pytest.raises(errors.NonFiniteError, match="head/bias"):
        model.fit(batches(None), epochs=1, verbose=0, callbacks=[Overflow(), Checkpoint(tmp_path)])
    assert checkpoint_files.load_newest(tmp_path).step == 0
