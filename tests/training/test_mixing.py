"""Training on mixed images: the same on one device and two replicas, with XLA and without, padding or none."""

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf

from kft import data, distribute, errors, tasks, training
from kft.training import FineTuneModel

NUM = 11  # of which the last batch of 4 holds 3


def source():
    x = np.random.default_rng(0).integers(0, 256, (NUM, 6, 6, 3), np.uint8)
    return data.from_arrays(x, np.arange(NUM) % 3, label_names="abc")


def make(strategy, *, jit=False):
    task = tasks.make_task(
        "image_classification", label_names="abc", label_smoothing=0.1, class_weights=[1, 2, 0.5], focal_gamma=1.0
    )
    with strategy.scope():
        keras.utils.set_random_seed(1)
        inputs = keras.Input((6, 6, 3))
        features = keras.layers.Dense(8, activation="tanh", name="body")(keras.layers.Flatten()(inputs))
        model = FineTuneModel(inputs, keras.layers.Dense(3, name="head")(features), blocks=("body/.*", "head/.*"))
        model.compile(keras.optimizers.SGD(0.1), task.loss, metrics=task.metrics(), jit_compile=jit)
    return model


def batches(mixing):
    encode = data.image_encoder(image_size=(6, 6), augmentation="flip")
    return data.batches(
        source(), encode=encode, preprocess=lambda x: x / 255, global_batch_size=4, shuffle=True, mixing=mixing
    )


def trained(strategy, *, jit=False):
    model = make(strategy, jit=jit)
    plain = batches(None)
    history = model.fit(batches(data.Mixing(0.4, 1.0)), validation_data=plain, epochs=2, verbose=0).history
    return {variable.path: variable.numpy() for variable in model.weights}, history


@functools.cache
def on_one_device():
    return trained(tf.distribute.get_strategy())


@pytest.mark.parametrize("jit", [False, True])
@pytest.mark.parametrize("replicas", [1, 2])
def test_replicas_and_xla_change_nothing(replicas, jit):
    strategy = tf.distribute.get_strategy()
    if replicas == 2:
        strategy = distribute.make_strategy("mirrored", devices=["CPU:0", "CPU:1"])
    weights, history = trained(strategy, jit=jit)
    expected, expected_history = on_one_device()
    for path, value in expected.items():
        np.testing.assert_allclose(weights[path], value, atol=2e-6, err_msg=path)
    assert history.keys() == expected_history.keys() >= {"accuracy", "val_accuracy"}
    for name, values in expected_history.items():
        np.testing.assert_allclose(history[name], values, rtol=1e-4, err_msg=name)


def test_the_loss_is_that_of_the_mixed_examples_alone():
    """One step of rate 0 tells the loss; by hand, over the examples of weight 1."""
    model = make(tf.distribute.get_strategy())
    model.optimizer.learning_rate = 0.0
    dataset = batches(data.Mixing(0.4, 1.0))
    loss = model.fit(dataset, epochs=1, verbose=0).history["loss"][0]
    total, count = 0.0, 0
    for x, y, weight in dataset.from_epoch(0).take(dataset.steps_per_epoch):
        of_each = model.loss.call(y, model(x)).numpy()
        total, count = total + (of_each * weight.numpy()).sum(), count + weight.numpy().sum()
    assert count == NUM
    assert loss == pytest.approx(total / NUM, rel=1e-5)


def test_a_cache_of_the_frozen_part_is_refused():
    model = make(tf.distribute.get_strategy())
    with pytest.raises(errors.InputError, match="Got a cache of the frozen part with Mixing"):
        training.fine_tune(model, batches(data.Mixing(0.2)), "head", epochs=1, verbose=0, cache="exact", cache_views=2)
    assert training.depends_on_epoch(batches(data.Mixing(0.2))) and not training.depends_on_epoch(
        data.batches(source(), encode=lambda raw, seed: raw["image"], preprocess=lambda x: x, global_batch_size=4)
    )
