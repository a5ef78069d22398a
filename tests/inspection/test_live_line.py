"""What a person sees in the terminal."""

import io

import keras
import numpy as np
import tensorflow as tf

from kft import inspection, training


def run(alive):
    inputs = keras.Input((1,))
    model = training.FineTuneModel(inputs, keras.layers.Dense(1, name="head")(inputs), blocks=("head/.*",))
    model.compile(keras.optimizers.SGD(0.1), "mse", metrics=["mae"])
    x = np.linspace(-1, 1, 20, dtype=np.float32)[:, None]
    data = tf.data.Dataset.from_tensor_slices((x, 2 * x)).batch(4)
    stream = io.StringIO()
    line = inspection.LiveLine(epochs=2, steps_per_epoch=5, num_examples=20, stream=stream, alive=alive)
    model.fit(data, validation_data=data, epochs=2, verbose=0, callbacks=[line])
    return stream.getvalue(), model


def test_without_a_terminal_each_epoch_is_one_line():
    printed, _ = run(alive=None)
    first, second = printed.splitlines()
    assert first.startswith("epoch 1/2  ") and " left" in first
    for part in ("loss 0.", "mae 0.", "val_loss 0.", "rate 0.1", "examples/s"):
        assert part in second
    assert "\r" not in printed and " left" not in second


def test_in_a_terminal_the_line_of_an_epoch_takes_the_place_of_the_live_one(monkeypatch):
    monkeypatch.setattr("kft.inspection.live_line._SECONDS", 0.0)
    printed, model = run(alive=True)
    for part in ("epoch 1/2  step 1/5  loss ", "epoch 2/2  step 5/5  loss ", "evaluating", " left"):
        assert part in printed
    shown = [line.rpartition("\r")[2] for line in printed.strip().split("\n")]
    assert len(shown) == 2 and all(line.startswith("epoch") and "val_loss" in line for line in shown)
    assert model.step_hooks == []
