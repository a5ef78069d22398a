"""Small models and data for the tests of this room."""

import keras
import numpy as np
import tensorflow as tf

from kft.training import FineTuneModel

BLOCKS = ("body/.*", "norm/.*", "head/.*")


def make_model(strategy=None, *, dropout=0.0, batchnorm="frozen", penalty=None, seed=1):
    """Dense, BatchNorm, dropout, head; statistics of BatchNorm that are not the initial ones."""
    with (strategy or tf.distribute.get_strategy()).scope():
        keras.utils.set_random_seed(seed)
        inputs = keras.Input((8,), name="inputs")
        x = keras.layers.Dense(16, activation="tanh", name="body", kernel_regularizer=penalty)(inputs)
        x = keras.layers.BatchNormalization(name="norm")(x)
        x = keras.layers.Dropout(dropout, name="drop")(x)
        outputs = keras.layers.Dense(3, name="head")(x)
        model = FineTuneModel(inputs, outputs, blocks=BLOCKS, batchnorm=batchnorm)
        model.get_layer("norm").moving_mean.assign(np.linspace(-0.5, 0.5, 16))
    return model


def make_normalizing(rows=None):
    """Keras' Normalization alone, as it is adapted to rows of three numbers."""
    inputs = keras.Input((3,))
    model = keras.Model(inputs, keras.layers.Normalization(name="normal")(inputs))
    if rows is not None:
        model.get_layer("normal").adapt(rows)
    return model


def examples(count, seed=0):
    random = np.random.RandomState(seed)
    return random.randn(count, 8).astype("float32"), random.randint(0, 3, count)


def padded(x, y, batch_size):
    """Batches of one size, the last filled by repeating the first examples with weight 0."""
    count = len(x)
    rows = np.resize(np.arange(count), -(-count // batch_size) * batch_size)
    weight = (np.arange(len(rows)) < count).astype("float32")
    options = tf.data.Options()
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
    batches = tf.data.Dataset.from_tensor_slices((x[rows], y[rows], weight)).batch(batch_size, drop_remainder=True)
    return batches.with_options(options)


def crossentropy():
    return keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def values(variables):
    return {variable.path: variable.numpy() for variable in variables}
