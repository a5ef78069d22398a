"""Graphs with a frozen part, data for them, and trainings, for the tests of the cache."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from kft import data, optimizers, training
from kft.data.source import Source
from kft.duration import Duration
from kft.trainable import Phase
from kft.training import frozen_prefix

COUNT, SIZE = 22, 8
BLOCKS = ("stem/.*", "first/.*", "second/.*|norm/.*", "third/.*", "head/.*")


def residual_model(strategy=None, *, head_dropout=0.0, body_dropout=0.0, batchnorm="frozen", seed=1):
    """Convolutions with a residual connection around two of them, so that a cut within has two tensors."""
    with (strategy or tf.distribute.get_strategy()).scope():
        keras.utils.set_random_seed(seed)
        inputs = keras.Input((6, 6, 2), name="image")
        stem = keras.layers.Conv2D(4, 3, padding="same", activation="relu", name="stem")(inputs)
        x = keras.layers.Conv2D(4, 3, padding="same", activation="relu", name="first")(stem)
        x = keras.layers.Dropout(body_dropout, name="drop")(x)
        x = keras.layers.Conv2D(4, 1, name="second")(x)
        x = keras.layers.BatchNormalization(name="norm")(x)
        x = keras.layers.Add(name="add")([stem, x])
        x = keras.layers.Conv2D(8, 3, activation="relu", name="third")(x)
        x = keras.layers.GlobalAveragePooling2D(name="pool")(x)
        x = keras.layers.Dropout(head_dropout, name="head_dropout")(x)
        model = training.FineTuneModel(
            inputs, keras.layers.Dense(3, name="head")(x), blocks=BLOCKS, batchnorm=batchnorm
        )
        model.get_layer("norm").moving_mean.assign([0.1, -0.1, 0.2, 0.0])
    return model


def source_of(x, *, num_classes=3):
    labels = np.random.RandomState(3).randint(0, num_classes, len(x)).astype(np.int64)
    return Source(
        name="arrays",
        num_examples=len(x),
        label_names=tuple("abcdefgh"[:num_classes]),
        labels=labels,
        load=lambda index: {"x": tf.gather(tf.constant(x), index)},
        keys=[f"row {row}" for row in range(len(x))],
        content=lambda index: x[index].tobytes(),
    )


def image_batches(count=COUNT, *, shuffle=True, random=False, seed=0):
    """Batches of small random images; with random, each is turned by a factor that is drawn for it in each epoch."""
    images = np.random.RandomState(seed).randn(count, 6, 6, 2).astype("float32")

    def encode(raw, example_seed):
        if not random:
            return raw["x"]
        return raw["x"] * tf.random.stateless_uniform((), example_seed, 0.5, 1.5)

    return data.batches(
        source_of(images), encode=encode, preprocess=lambda x: 2.0 * x, global_batch_size=SIZE, shuffle=shuffle
    )


def compile_model(model, *, jit=False, metrics=("accuracy",)):
    with model.distribute_strategy.scope():
        model.compile(
            optimizers.make_optimizer("adamw", learning_rate=1e-2, clip_global_norm=1.0),
            keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            metrics=list(metrics),
            jit_compile=jit,
        )
    return model


def values(variables):
    """By path; seeds, whose paths count through the process, by their number among these."""
    seeds = [variable for variable in variables if "seed_generator" in variable.path]
    names = {id(seed): f"seed {number}" for number, seed in enumerate(seeds)}
    return {names.get(id(variable), variable.path): variable.numpy() for variable in variables}


def phases(*parts):
    """(first epoch, top blocks that train) -> phases."""
    return tuple(Phase(Duration(first, "epochs"), BLOCKS[-count:]) for first, count in parts)


def train(model, schedule, *, epochs=3, data=None, validation=None, **kwargs):
    history = training.fine_tune(
        model,
        image_batches() if data is None else data,
        schedule,
        epochs=epochs,
        validation_data=image_batches(10, shuffle=False, seed=7) if validation is None else validation,
        verbose=0,
        **kwargs,
    )
    state = {name: variable.numpy() for name, variable in model.optimizer.state().items()}
    return history, values(model.variables) | state


def assert_same(left, right, *, tolerance=1e-6):
    for path, expected in right.items():
        scale = max(np.abs(expected).max(initial=0.0), 1e-30)
        assert np.abs(left[path].astype(np.float64) - expected).max(initial=0.0) <= tolerance * scale, path


def assert_same_history(left, right):
    for name, expected in right.history.items():
        np.testing.assert_allclose(left.history[name], expected, rtol=1e-5, atol=1e-7, err_msg=name)


@pytest.fixture(autouse=True)
def always_pays(monkeypatch):
    """The models here are so small that their time says nothing."""
    monkeypatch.setattr(frozen_prefix.FrozenPrefix, "_pays", lambda *_: lambda *_: True)
    monkeypatch.setattr(frozen_prefix.FrozenPrefix, "_is_read_often", lambda *_: True)
