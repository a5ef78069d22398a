"""A recipe of a minute that has everything a resume can lose: what `prove_resume` runs where nothing else is given."""

from typing import Any

FLAGS = (
    "--train_data=digits:",
    "--backbone=python:experiments.small_digits:make_backbone",
    "--backbone_weights=none",
    "--batchnorm=train",
    "--batchnorm_momentum=0.9",
    "--augmentation=crop",
    "--head_dropout=0.3",
    "--trainable=lp_ft(2 epochs)",
    "--length=40 epochs",
    "--global_batch_size=64",
    "--learning_rate=0.003",
    "--early_stopping=8",
    "--plateau=factor=0.5,patience=2",
    "--ema=0.9",
    "--checkpoint_every=7 steps",
)


def make_backbone() -> Any:
    """The model of the small recipe: for 8 x 8 grey digits, with BatchNorm and dropout in it."""
    import keras
    from keras import layers

    keras.utils.set_random_seed(7)
    inputs = x = keras.Input((8, 8, 1), name="image")
    x = layers.Rescaling(1 / 255, name="scale")(x)
    x = layers.Conv2D(16, 3, padding="same", use_bias=False, name="conv_1")(x)
    x = layers.ReLU(name="relu_1")(layers.BatchNormalization(name="norm_1")(x))
    x = layers.Conv2D(32, 3, strides=2, use_bias=False, name="conv_2")(x)
    x = layers.ReLU(name="relu_2")(layers.BatchNormalization(name="norm_2")(x))
    x = layers.Dropout(0.2, name="dropout")(layers.Flatten(name="flatten")(x))
    return keras.Model(inputs, layers.Dense(32, activation="relu", name="features")(x), name="small")
