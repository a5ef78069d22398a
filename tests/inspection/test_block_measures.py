"""Norms of gradients, weights and updates against numbers made by hand; and the time that steps wait."""

import time

import keras
import numpy as np
import pytest
import tensorflow as tf

from kft import inspection, optimizers, training
from tests.inspection.event_reading import events

X = np.array([[1.0, 2.0], [3.0, -1.0], [0.5, 1.0], [2.0, 2.0]], np.float32)
Y = np.array([[1.0], [0.0], [2.0], [-1.0]], np.float32)
W = np.array([[0.3], [-0.2]], np.float32)


def make_model(clip=None, **options):
    inputs = keras.Input((2,))
    hidden = keras.layers.Dense(1, use_bias=False, name="body")(inputs)
    outputs = keras.layers.Dense(1, use_bias=False, name="head")(hidden)
    model = training.FineTuneModel(inputs, outputs, blocks=("body/.*", "head/.*"))
    model.set_weights([W, np.ones((1, 1), np.float32)])
    optimizer = optimizers.make_optimizer("gradient_descent", learning_rate=0.1, clip_global_norm=clip, options=options)
    model.compile(optimizer, "mse")
    return model


@pytest.mark.parametrize("replicas", [1, 2])
def test_norms_are_those_of_the_mean_gradient_of_all_replicas(tmp_path, replicas, request):
    """With w and a head of 1: d loss / d w = mean 2 (x w - y) x, and for the head with (x w) in place of x."""
    strategy = tf.distribute.get_strategy() if replicas == 1 else request.getfixturevalue("mirrored_pair")
    with strategy.scope():
        model = make_model(clip=0.01)
    data = tf.data.Dataset.from_tensor_slices((X, Y)).batch(2)
    model.fit(data, epochs=1, verbose=0, callbacks=[inspection.TensorBoard(tmp_path, every_steps=1)])
    found = events(tmp_path)

    out = X[:2] @ W
    error = 2 * (out - Y[:2]) / 2
    body, head = np.linalg.norm(X[:2].T @ error), np.linalg.norm(out.T @ error)
    both = np.hypot(body, head)
    first = {tag: values[0] for (_, tag), values in found.items()}
    expected = {
        "gradient_norm/body": body,
        "gradient_norm/head": head,
        "gradient_norm/all": both,
        "weight_norm/body": np.linalg.norm(W),
        "weight_norm/all": np.hypot(np.linalg.norm(W), 1.0),
        "update_ratio/body": 0.1 * 0.01 * body / both / np.linalg.norm(W),  # clipped to a norm of 0.01
    }
    for tag, value in expected.items():
        step, written = first[tag]
        assert step == 1
        np.testing.assert_allclose(written, value, rtol=1e-4, err_msg=tag)
    assert [step for step, _ in found["train", "gradient_norm/all"]] == [1, 2]


def test_what_is_frozen_has_no_ratio_and_a_rate_of_zero(tmp_path):
    model = make_model()
    callback = inspection.TensorBoard(tmp_path, every_steps=1)
    data = tf.data.Dataset.from_tensor_slices((X, Y)).batch(2)
    model.set_trainable(("head/.*",))
    model.fit(data, epochs=1, verbose=0, callbacks=[callback])
    model.set_trainable(("head/.*", "body/.*"))
    model.compile(optimizers.make_optimizer("gradient_descent", learning_rate=0.1), "mse")
    model.fit(data, initial_epoch=1, epochs=2, verbose=0, callbacks=[callback])
    found = events(tmp_path)
    assert [step for step, _ in found["train", "update_ratio/body"]] == [3, 4]
    assert [step for step, _ in found["train", "update_ratio/head"]] == [1, 2, 3, 4]
    assert found["train", "trains/body"] == [(0, 0.0), (1, 0.0), (2, 1.0), (3, 1.0)]
    np.testing.assert_allclose(found["train", "learning_rate/body"], [(0, 0), (1, 0), (2, 0.1), (3, 0.1)], rtol=1e-6)


def test_accumulated_batches_are_one_update(tmp_path):
    model = make_model(accumulate_steps=2)
    data = tf.data.Dataset.from_tensor_slices((X, Y)).batch(1)
    model.fit(data, epochs=2, verbose=0, callbacks=[inspection.TensorBoard(tmp_path, every_steps=1)])
    assert [step for step, _ in events(tmp_path)["train", "update_ratio/all"]] == [1, 2, 3, 4]


def test_the_time_that_steps_wait_for_data_is_seen(tmp_path):
    def slow():
        for x, y in zip(X, Y, strict=True):
            time.sleep(0.3)
            yield x[None], y[None]

    spec = (tf.TensorSpec((1, 2)), tf.TensorSpec((1, 1)))
    model = make_model()
    callback = inspection.TensorBoard(tmp_path)
    model.fit(tf.data.Dataset.from_generator(slow, output_signature=spec), epochs=2, verbose=0, callbacks=[callback])
    (_, _), (_, waited) = events(tmp_path)["train", "training/waiting_for_data"]
    assert 0.0 < waited <= 1.0


def test_without_the_callback_nothing_of_it_is_in_the_graph():
    model = make_model()
    model.fit(tf.data.Dataset.from_tensor_slices((X, Y)).batch(2), epochs=1, verbose=0)
    assert model.measures.waited is None and model.optimizer.gradient_listener is None
    assert not model.measures.tells_outputs
