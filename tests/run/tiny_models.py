"""User models that trace in a moment, for `python:tests.run.tiny_models:...`."""

import keras


def make() -> keras.Model:
    """For 8 x 8 grey images: two layers, one BatchNorm, and a top that a user would cut off at "features"."""
    keras.utils.set_random_seed(7)
    inputs = keras.Input((8, 8, 1), name="image")
    x = keras.layers.Rescaling(1 / 255, name="scale")(inputs)
    x = keras.layers.Conv2D(8, 3, activation="relu", name="conv")(x)
    x = keras.layers.BatchNormalization(name="norm")(x)
    x = keras.layers.Flatten(name="flatten")(x)
    x = keras.layers.Dense(24, activation="relu", name="features")(x)
    return keras.Model(inputs, keras.layers.Dense(4, name="old_top")(x), name="tiny")


def make_without_names() -> keras.Model:
    """Layers as Keras names them, by counting through the process."""
    return keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            keras.layers.Flatten(),
            keras.layers.Dense(8, activation="relu"),
            keras.layers.Dense(8, activation="relu"),
        ]
    )


def make_blind() -> keras.Model:
    """Sees nothing: whatever trains, all predictions are of one class."""
    inputs = keras.Input((8, 8, 1), name="image")
    x = keras.layers.Rescaling(0.0, name="nothing")(inputs)
    return keras.Model(inputs, keras.layers.Conv2D(4, 3, use_bias=False, name="conv")(x), name="blind")
