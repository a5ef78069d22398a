"""R-Drop: the loss is the declared one, and without dropout nothing is added."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from kft import errors, tasks, training
from kft.models import custom_backbone

LABELS = ["a", "b", "c"]


def model_of(r_drop, dropout=0.5, task="image_classification", **options):
    keras.utils.set_random_seed(0)
    inputs = keras.Input((4,))
    backbone = custom_backbone(keras.Model(inputs, keras.layers.Dense(6, activation="relu", name="body")(inputs)))
    made = tasks.make_task(task, label_names=LABELS, head_dropout=dropout, **options)
    model = training.build_model(backbone, made, r_drop=r_drop)
    model.compile(keras.optimizers.SGD(0.1), loss=made.loss, metrics=made.metrics())
    return model


def data():
    random = np.random.default_rng(0)
    return random.normal(size=(6, 4)).astype("float32"), np.array([0, 1, 2, 0, 1, 2])


def logs_of(model, weight=None):
    x, y = data()
    return model.fit(x, y, sample_weight=weight, batch_size=6, epochs=1, shuffle=False, verbose=0).history


def test_without_dropout_it_changes_nothing():
    plain, with_it = model_of(0.0, dropout=0.0), model_of(3.0, dropout=0.0)
    assert logs_of(plain)["loss"][0] == pytest.approx(logs_of(with_it)["loss"][0], rel=1e-5)
    for one, other in zip(plain.weights, with_it.weights):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-7)


def test_the_loss_is_the_declared_one():
    """Against float64, with the logits of the two draws that the model made."""
    strength = 2.0
    model = model_of(strength)
    draws = []
    forward = model._forward

    def record(x, training):
        draws.append(forward(x, training))
        return draws[-1]

    model._forward = record
    model.run_eagerly = True
    weight = np.array([1.0, 0.5, 2.0, 1.0, 0.0, 1.0], "float32")
    loss = logs_of(model, weight)["loss"][0]
    p, q = np.split(draws[0].numpy().astype("float64"), 2)
    assert np.abs(p - q).max() > 1e-3

    def log_softmax(logits):
        return logits - np.log(np.exp(logits).sum(-1, keepdims=True))

    log_p, log_q = log_softmax(p), log_softmax(q)
    y = data()[1]
    nll = -(log_p[range(6), y] + log_q[range(6), y]) / 2
    kl = (np.exp(log_p) * (log_p - log_q)).sum(-1) + (np.exp(log_q) * (log_q - log_p)).sum(-1)
    expected = (weight * (nll + strength / 4 * kl)).sum() / weight.sum()
    np.testing.assert_allclose(loss, expected, rtol=1e-5)


def test_it_draws_the_outputs_of_two_draws_together():
    x, y = data()

    def distance(strength):
        model = model_of(strength)
        model.fit(x, y, batch_size=6, epochs=60, verbose=0)
        draws = [tf.nn.log_softmax(model(x, training=True)) for _ in range(40)]
        return float(tf.reduce_mean(tf.math.reduce_std(tf.stack(draws), 0)))

    assert distance(20.0) < 0.8 * distance(0.0)


@pytest.mark.parametrize("jit_compile", [False, True])
def test_it_compiles(jit_compile):
    model = model_of(1.0)
    model.jit_compile = jit_compile
    assert np.isfinite(logs_of(model)["loss"][0])


def test_what_has_no_classes_is_refused():
    with pytest.raises(errors.InputError, match="r_drop=-1"):
        model_of(-1)
    inputs = keras.Input((4,))
    backbone = custom_backbone(keras.Model(inputs, keras.layers.Dense(6, name="body")(inputs)))
    with pytest.raises(errors.InputError, match="'regression'"):
        training.build_model(backbone, tasks.make_task("regression"), r_drop=1.0)
