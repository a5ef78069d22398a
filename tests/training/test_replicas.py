"""Two replicas give what one device gives: embeddings, attention, norms, clipping and batches that are not full."""

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf

from kft import data, distribute, optimizers
from kft.training import FineTuneModel, statistics
from tests.training.models import crossentropy, examples, make_model, padded, values

VOCABULARY = 50
ONE = {
    "clipped": {"global_clipnorm": 0.1, "weight_decay": 0.01},
    "accumulated and averaged": {"global_clipnorm": 0.1, "accumulate_steps": 2, "use_ema": True, "ema_momentum": 0.8},
    "scaled": {"loss_scale_factor": "dynamic"},
}


def encoder(strategy):
    """What a BERT is made of, small: two embeddings, attention over what is no padding, norms, a dense block."""
    with strategy.scope():
        keras.utils.set_random_seed(1)
        tokens = keras.Input((None,), dtype="int32", name="tokens")
        mask = keras.Input((None,), dtype="int32", name="mask")
        x = keras.layers.Embedding(VOCABULARY, 8, name="embedding_token")(tokens)
        x = x + keras.layers.Embedding(2, 8, name="embedding_mask")(mask)
        x = keras.layers.LayerNormalization(name="norm")(x)
        # Without biases: the gradient of the keys' is 0 but for rounding, of which Adam makes a whole step.
        attention = keras.layers.MultiHeadAttention(2, 4, use_bias=False, name="attention")
        attended = attention(x, x, attention_mask=mask[:, None, :])
        x = keras.layers.LayerNormalization(name="norm_2")(x + attended)
        x = x + keras.layers.Dense(8, activation="gelu", name="dense")(x)
        outputs = keras.layers.Dense(3, name="head")(x[:, 0])
        return FineTuneModel({"tokens": tokens, "mask": mask}, outputs, blocks=(".*",))


def texts(count):
    random = np.random.RandomState(0)
    lengths = random.randint(1, 7, count)
    mask = (np.arange(7) < lengths[:, None]).astype("int32")
    tokens = random.choice(VOCABULARY, (count, 7), p=np.r_[0.5, np.full(VOCABULARY - 1, 0.5 / (VOCABULARY - 1))])
    return {"tokens": tokens.astype("int32") * mask, "mask": mask}, random.randint(0, 3, count)


def batches(count, batch_size):
    """The last one filled with examples of weight 0."""
    x, y = texts(count)
    rows = np.resize(np.arange(count), -(-count // batch_size) * batch_size)
    weight = (np.arange(len(rows)) < count).astype("float32")
    options = tf.data.Options()
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
    dataset = tf.data.Dataset.from_tensor_slices(({key: value[rows] for key, value in x.items()}, y[rows], weight))
    return dataset.batch(batch_size, drop_remainder=True).with_options(options)


def trained(strategy, count, settings, *, jit=False, epochs=1):
    model = encoder(strategy)
    with strategy.scope():
        rule = optimizers.make_rule("adamw", learning_rate=1e-2, options=settings)
        model.compile(rule, crossentropy(), metrics=["accuracy"], jit_compile=jit)
    loss = model.fit(batches(count, 16), epochs=epochs, shuffle=False, verbose=0).history["loss"]
    assert np.isfinite(loss).all()
    return {path: np.asarray(value) for path, value in values(model.weights).items()} | {"loss": np.array(loss)}


@functools.cache
def on_one_device(count, name, epochs=1):
    return trained(distribute.make_strategy("one_device"), count, ONE[name], epochs=epochs)


@pytest.mark.parametrize("name", ONE)
def test_two_replicas_train_an_encoder_as_one_does(mirrored_pair, name):
    """20 steps; 35 examples are two full batches and one of 3 examples, all of them on the first replica."""
    two = trained(mirrored_pair, 35, ONE[name], epochs=7)
    for path, value in on_one_device(35, name, epochs=7).items():
        np.testing.assert_allclose(two[path], value, atol=2e-6, err_msg=path)


@pytest.mark.parametrize("count", [1, 3, 17])
def test_any_number_of_examples_gives_what_one_device_gives(mirrored_pair, count):
    two = trained(mirrored_pair, count, ONE["clipped"])
    for path, value in on_one_device(count, "clipped").items():
        np.testing.assert_allclose(two[path], value, atol=1e-6, err_msg=path)


def test_replicas_statistics_are_averaged_before_they_are_looked_at(mirrored_pair):
    """The mean over the replicas of what each would have alone; by hand from its half of the batch."""
    model = make_model(mirrored_pair, batchnorm="train")
    x, y = examples(16)
    with mirrored_pair.scope():
        model.compile(keras.optimizers.SGD(0.0), crossentropy())
    before = {name: model.get_layer("norm").get_weights()[index] for index, name in ((2, "mean"), (3, "variance"))}
    model.fit(padded(x, y, 16), verbose=0, shuffle=False)
    inside = keras.Model(model.input, model.get_layer("body").output)(x).numpy()
    halves = np.split(inside, 2)
    momentum = model.get_layer("norm").momentum
    for name, variable in (
        ("mean", model.get_layer("norm").moving_mean),
        ("variance", model.get_layer("norm").moving_variance),
    ):
        batch = [half.mean(0) if name == "mean" else half.var(0) for half in halves]
        expected = momentum * before[name] + (1 - momentum) * np.mean(batch, 0)
        for replica in mirrored_pair.experimental_local_results(variable.value):
            np.testing.assert_allclose(replica.numpy(), expected, atol=1e-6)


def test_each_share_is_read_by_one():
    """The parts of all workers are the whole batch, in order; also of batches that are padded."""
    y = examples(22)[1]
    source = data.from_arrays(np.arange(22, dtype=np.uint8).reshape(22, 1, 1), y)
    whole = data.batches(
        source, encode=lambda raw, _: raw["image"], preprocess=lambda x: x, global_batch_size=8, seed=2, shuffle=True
    )
    parts = [list(whole.from_epoch(1, 1, (first, first + 2, 4)).take(6)) for first in (0, 2)]
    for step, (images, labels, weights) in enumerate(whole.from_epoch(1, 1).take(3)):
        for index, values_of_step in enumerate((images, labels, weights)):
            pieces = [part[2 * step + local][index].numpy() for part in parts for local in (0, 1)]
            np.testing.assert_array_equal(np.concatenate(pieces), values_of_step.numpy())


def test_nothing_is_averaged_where_nothing_differs():
    model = make_model(batchnorm="train")
    statistics.average_statistics(model)
    assert getattr(model, "_average_statistics", None) is None
