import keras
import numpy as np
import pytest

from kft import errors, training
from tests.training.prefix_models import BLOCKS, residual_model, values


def test_only_what_is_named_is_new_and_comes_from_the_seed():
    results = []
    for _ in range(2):
        model = residual_model()
        before = values(model.weights)
        keras.utils.set_random_seed(7)
        paths = training.reinitialize(model, BLOCKS[2:4])
        results.append(values(model.weights))
        moved = {path for path in before if (results[-1][path] != before[path]).any()}
        assert set(paths) == {path for path in before if path.startswith(("second/", "norm/", "third/"))}
        assert {"second/kernel", "third/kernel", "norm/moving_mean"} <= moved <= set(paths)
    for path, value in results[0].items():
        np.testing.assert_array_equal(value, results[1][path])


def test_new_kernels_have_the_spread_of_their_initializer():
    """Glorot uniform: the variance is 2 / (fan_in + fan_out)."""
    inputs = keras.Input((300,))
    model = keras.Model(inputs, keras.layers.Dense(500, name="dense", kernel_initializer="glorot_uniform")(inputs))
    model.get_layer("dense").kernel.assign(np.zeros((300, 500)))
    training.reinitialize(model, ["dense/kernel"])
    np.testing.assert_allclose(model.get_layer("dense").kernel.numpy().var(), 2 / 800, rtol=0.02)


class NoConfig(keras.layers.Layer):
    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.dense = keras.layers.Dense(units)

    def call(self, x):
        return self.dense(x)


def test_a_layer_that_cannot_be_made_again_is_named():
    inputs = keras.Input((3,))
    model = keras.Model(inputs, NoConfig(4, name="odd")(inputs))
    with pytest.raises(errors.InputError, match="Got layer 'odd' to begin anew"):
        training.reinitialize(model, ["odd/.*"])
