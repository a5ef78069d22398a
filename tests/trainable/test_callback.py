"""Phases in a plain `fit`: what trains, what lives on."""

import keras
import numpy as np
import pytest

from kft import errors, optimizers, training
from kft.duration import Duration
from kft.trainable import Phase, TrainableCallback

PHASES = (Phase(Duration(0, "steps"), ("head/.*",)), Phase(Duration(2, "epochs"), ("body/.*", "head/.*")))


def make_model(kind, optimizer):
    keras.utils.set_random_seed(0)
    inputs = keras.Input((4,))
    x = keras.layers.Dense(5, activation="relu", name="body")(inputs)
    x = keras.layers.BatchNormalization(name="norm")(x)
    outputs = keras.layers.Dense(3, name="head")(x)
    model = kind(inputs, outputs)
    model.compile(optimizer, keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    return model


def fit(model, *, epochs=4, callbacks=(), **kwargs):
    random = np.random.RandomState(0)
    x, y = random.randn(16, 4).astype("float32"), random.randint(0, 3, 16)
    return model.fit(x, y, batch_size=4, epochs=epochs, verbose=0, callbacks=list(callbacks), **kwargs)


class Records(keras.callbacks.Callback):
    """The weights at the begin and after each epoch."""

    def on_train_begin(self, logs=None):
        self.weights = [{v.path: v.numpy() for v in self.model.weights}]

    def on_epoch_end(self, epoch, logs=None):
        self.weights.append({v.path: v.numpy() for v in self.model.weights})

    def moved(self, epoch):
        before, after = self.weights[epoch : epoch + 2]
        return {path for path in before if (before[path] != after[path]).any()}


@pytest.mark.parametrize("kind", [keras.Model, training.FineTuneModel])
def test_each_phase_moves_what_it_names_and_nothing_else(kind):
    records = Records()
    model = make_model(kind, keras.optimizers.Adam(0.01))
    fit(model, callbacks=[TrainableCallback(PHASES), records])
    head = {"head/kernel", "head/bias"}
    assert [records.moved(epoch) for epoch in range(4)] == [head] * 2 + [head | {"body/kernel", "body/bias"}] * 2
    assert int(model.optimizer.iterations.numpy()) == 16


def test_each_variable_keeps_its_own_step():
    model = make_model(training.FineTuneModel, optimizers.make_optimizer("adamw", learning_rate=0.01))
    fit(model, callbacks=[TrainableCallback(PHASES)])
    state = {name: variable.numpy() for name, variable in model.optimizer.state().items()}
    order = [variable.path for variable in model.optimizer._trainable_variables]
    assert dict(zip(order, state["steps"].tolist(), strict=True)) == {
        "body/kernel": 8,
        "body/bias": 8,
        "head/kernel": 16,
        "head/bias": 16,
    }


class Toggles(keras.callbacks.Callback):
    def on_epoch_end(self, epoch, logs=None):
        for value in (False, True):
            self.model.get_layer("body").trainable = value


@pytest.mark.parametrize("kind", [keras.Model, training.FineTuneModel])
def test_a_toggle_behind_its_back_is_said_at_once(kind):
    model = make_model(kind, "adam")
    with pytest.raises(errors.InputError, match="body/kernel"):
        fit(model, callbacks=[TrainableCallback(PHASES), Toggles()])


def test_a_toggle_in_a_plain_fit_is_said_at_once():
    model = make_model(training.FineTuneModel, "adam")
    toggles = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: setattr(model.get_layer("body"), "trainable", False)
    )
    with pytest.raises(errors.InputError, match=r"'body/kernel', 'body/bias' \(2 in all\)"):
        fit(model, callbacks=[toggles])


def test_a_toggle_between_two_fits_is_what_is_wanted():
    model = make_model(training.FineTuneModel, "adam")
    fit(model, epochs=1)
    model.get_layer("body").trainable = False
    records = Records()
    fit(model, epochs=1, callbacks=[records])
    assert records.moved(0) == {"head/kernel", "head/bias", "norm/gamma", "norm/beta"}


def test_starts_in_examples_need_the_batch_size():
    phases = (PHASES[0], Phase(Duration(20, "examples"), ("body/.*", "head/.*")))
    model = make_model(keras.Model, "adam")
    with pytest.raises(errors.InputError, match="Give global_batch_size"):
        fit(model, callbacks=[TrainableCallback(phases)])
    records = Records()
    fit(model, callbacks=[TrainableCallback(phases, global_batch_size=4), records])
    assert ["body/kernel" in records.moved(epoch) for epoch in range(4)] == [False, False, True, True]
