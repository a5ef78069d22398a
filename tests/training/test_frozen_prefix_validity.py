"""What is stored is what would be computed; where it would not be, that is noticed."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

from kft import data, errors, training
from kft.duration import Duration
from kft.trainable import Phase
from tests.training import prefix_models
from tests.training.prefix_models import (
    always_pays,  # noqa: F401
    assert_same,
    assert_same_history,
    compile_model,
    phases,
    residual_model,
    train,
)


class MovesTheStem(keras.callbacks.Callback):
    def on_epoch_end(self, epoch, logs=None):
        stem = self.model.get_layer("stem").kernel
        stem.assign(stem + 0.1)


def test_frozen_weights_that_change_are_noticed():
    with pytest.raises(errors.InputError, match="frozen weights that changed"):
        train(compile_model(residual_model()), phases((0, 1)), cache="exact", callbacks=[MovesTheStem()])


class MinusTheMeanOfTheBatch(keras.layers.Layer):
    def call(self, x):
        return x - keras.ops.mean(x, axis=0, keepdims=True)


def test_what_depends_on_the_rest_of_the_batch_is_noticed():
    """No draw, no state: the sample is computed once more in other company, and differs."""
    inputs = keras.Input((6, 6, 2))
    x = MinusTheMeanOfTheBatch(name="centre")(keras.layers.Conv2D(4, 3, name="stem")(inputs))
    outputs = keras.layers.Dense(3, name="head")(keras.layers.Flatten(name="flat")(x))
    model = compile_model(training.FineTuneModel(inputs, outputs, blocks=("stem/.*", "head/.*")))
    history, _ = train(model, (Phase(Duration(0, "steps"), ("head/.*",)),), cache="exact")
    assert "a sample computed again differs" in history.cache[0]["text"]


def test_data_that_changed_between_phases_is_noticed():
    images = tf.Variable(np.random.RandomState(0).randn(20, 6, 6, 2).astype("float32"))
    source = prefix_models.source_of(images.numpy())
    source = dataclasses.replace(source, load=lambda index: {"x": tf.gather(images, index)})
    batches = data.batches(
        source, encode=lambda raw, _: raw["x"], preprocess=lambda x: x, global_batch_size=8, shuffle=True
    )
    changes = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: images.assign(images + 1.0))
    history, _ = train(
        compile_model(residual_model()),
        phases((0, 1), (1, 2)),
        epochs=3,
        data=batches,
        cache="exact",
        callbacks=[changes],
    )
    first, second = (decision for decision in history.cache if decision["data"] == "train")
    assert first["stored"] and not second["stored"] and "a sample computed again differs" in second["text"]


class AlwaysNoise(keras.layers.Layer):
    """Draws in inference mode too."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.seed_generator = keras.random.SeedGenerator(5)

    def call(self, x):
        return x + keras.random.normal(keras.ops.shape(x), seed=self.seed_generator)


def test_the_cut_is_below_what_draws():
    def make():
        keras.utils.set_random_seed(0)
        inputs = keras.Input((6, 6, 2))
        x = keras.layers.Conv2D(4, 3, name="stem")(inputs)
        x = AlwaysNoise(name="noise")(x)
        x = keras.layers.GlobalAveragePooling2D(name="pool")(x)
        outputs = keras.layers.Dense(3, name="head")(x)
        return compile_model(training.FineTuneModel(inputs, outputs, blocks=("stem/.*", "head/.*")))

    schedule = (Phase(Duration(0, "steps"), ("head/.*",)),)
    results = [train(make(), schedule, cache=cache) for cache in ("off", "exact")]
    assert results[1][0].cache[0]["text"].startswith("1 operations")
    assert_same(results[1][1], results[0][1])


class CallsPython(keras.layers.Layer):
    def call(self, x):
        return tf.ensure_shape(tf.numpy_function(lambda x: x + np.float32(1), [x], tf.float32), x.shape)


def test_a_function_of_python_is_not_taken_for_the_same_each_time():
    inputs = keras.Input((6, 6, 2))
    x = CallsPython(name="odd")(keras.layers.Conv2D(4, 3, name="stem")(inputs))
    outputs = keras.layers.Dense(3, name="head")(keras.layers.GlobalAveragePooling2D(name="pool")(x))
    model = compile_model(training.FineTuneModel(inputs, outputs, blocks=("stem/.*", "head/.*")))
    history, _ = train(model, (Phase(Duration(0, "steps"), ("head/.*",)),), cache="exact")
    assert not history.cache[0]["stored"] and "PyFunc" in history.cache[0]["text"]


def test_a_penalty_on_outputs_ends_the_frozen_part():
    """It is part of the loss of each step, and its layer is frozen."""

    def make():
        keras.utils.set_random_seed(0)
        inputs = keras.Input((6, 6, 2))
        x = keras.layers.Conv2D(4, 3, name="stem")(inputs)
        x = keras.layers.Conv2D(4, 3, activity_regularizer="l2", kernel_regularizer="l2", name="costly")(x)
        outputs = keras.layers.Dense(3, name="head", kernel_regularizer="l2")(keras.layers.Flatten(name="flat")(x))
        return compile_model(training.FineTuneModel(inputs, outputs, blocks=("stem/.*", "costly/.*", "head/.*")))

    schedule = (Phase(Duration(0, "steps"), ("head/.*",)),)
    results = [train(make(), schedule, cache=cache) for cache in ("off", "exact")]
    assert results[1][0].cache[0]["text"].startswith("1 operations")
    assert_same(results[1][1], results[0][1])
    assert_same_history(results[1][0], results[0][0])
