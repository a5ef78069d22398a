"""A training in a process of its own, for signals from outside: it tells where it is, and can be slow there."""

import sys
import time

import keras
import numpy as np
import tensorflow as tf

from kft import data, optimizers
from kft.training import Checkpoint, FineTuneModel, KeepBest, fine_tune, variables_sha256


class Slow(keras.layers.Layer):
    """Takes its time where it is traced: first for training, then for validation."""

    places: tuple[str, ...] = ()
    slow_place = ""

    def call(self, x):
        if not tf.executing_eagerly() and self.places:
            place, self.places = self.places[0], self.places[1:]
            if place == self.slow_place:
                say(place)
                time.sleep(SECONDS)
        return x


SECONDS = 30.0


def say(place):
    print(place, flush=True)


def batches(shuffle, slow=False):
    random = np.random.RandomState(0)
    source = data.from_arrays(random.randint(0, 256, (64, 2, 2, 1)).astype("uint8"), random.randint(0, 3, 64))

    def encode(raw, seed):
        image = tf.cast(raw["image"], tf.float32) / 255.0
        if slow:
            image = tf.ensure_shape(tf.numpy_function(wait, [image], tf.float32), (2, 2, 1))
        return image

    return data.batches(source, encode=encode, preprocess=lambda x: x, global_batch_size=8, seed=1, shuffle=shuffle)


def wait(image):
    time.sleep(0.02)
    return image


def main(folder, place, epochs):
    keras.utils.set_random_seed(0)
    inputs = keras.Input((2, 2, 1))
    x = keras.layers.Dense(8, activation="relu", name="body")(keras.layers.Flatten()(inputs))
    x = keras.layers.Dropout(0.3)(Slow(name="slow")(x))
    x = keras.layers.Dense(6, activation="relu", name="middle")(x)
    model = FineTuneModel(inputs, keras.layers.Dense(3, name="head")(x), blocks=("body/.*", "middle/.*", "head/.*"))
    slow = model.get_layer("slow")
    slow.slow_place, slow.places = place, ("trace", "trace validation")
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    optimizer = optimizers.make_optimizer("adam", learning_rate=0.01)
    model.compile(optimizer, loss, metrics=["accuracy"], steps_per_execution=4)

    every_step = place == "save every step"
    checkpoint = Checkpoint(folder, every="1 steps" if every_step else "3 steps", keep=100 if every_step else 2)

    class Tell(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if place == "train" and epoch == 1:
                say(place)

        def on_test_begin(self, logs=None):
            if place == "validate" and self.params["epochs"]:
                say(place)

    fine_tune(
        model,
        batches(True, slow=place == "train"),
        "gradual(1 epochs)",
        epochs=epochs,
        validation_data=batches(False, slow=place == "validate"),
        callbacks=[Tell(), KeepBest("val_loss", mode="min"), checkpoint],
        verbose=0,
        cache="off",  # so that all is traced in the first phase
    )
    print("digest", variables_sha256([*model.variables, *model.optimizer.variables]), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
