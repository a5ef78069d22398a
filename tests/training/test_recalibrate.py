import keras
import numpy as np

from kft import data, training
from tests.training.prefix_models import image_batches, residual_model, source_of, values


def test_statistics_are_those_of_all_examples():
    """One BatchNorm right above a fixed layer: its statistics are mean and variance over all whole batches."""
    x = np.random.RandomState(0).randn(24, 5, 2).astype("float32") * 3 + 1
    inputs = keras.Input((5, 2))
    outputs = keras.layers.BatchNormalization(name="norm")(inputs * 2.0)
    outputs = keras.layers.Dense(3, name="head")(keras.layers.Flatten()(outputs))
    model = training.FineTuneModel(inputs, outputs, blocks=("norm/.*", "head/.*"))
    batches = data.batches(
        source_of(x), encode=lambda raw, _: raw["x"], preprocess=lambda x: x, global_batch_size=8, shuffle=True
    )
    before = values(model.weights)
    assert training.recalibrate_batchnorm(model, batches) == 1
    norm = model.get_layer("norm")
    values_in = 2.0 * x.astype(np.float64).reshape(-1, 2)
    np.testing.assert_allclose(norm.moving_mean.numpy(), values_in.mean(0), rtol=1e-5)
    np.testing.assert_allclose(norm.moving_variance.numpy(), values_in.var(0), rtol=1e-5)
    for path, value in values(model.weights).items():
        if "moving" not in path:
            np.testing.assert_array_equal(value, before[path])


def test_a_padded_batch_has_no_part_in_it():
    """22 examples in batches of 8: the statistics of the first 16."""
    model = residual_model()
    assert training.recalibrate_batchnorm(model, image_batches(22)) == 1
    images = np.random.RandomState(0).randn(22, 6, 6, 2).astype("float32")[:16]
    norm = model.get_layer("norm")
    below = keras.Model(model.input, model.get_layer("second").output)(2.0 * images).numpy().reshape(-1, 4)
    np.testing.assert_allclose(norm.moving_mean.numpy(), below.mean(0), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(norm.moving_variance.numpy(), below.var(0), rtol=1e-4)


def test_replicas_have_the_statistics_of_one_device(mirrored_pair):
    statistics = []
    for strategy in (None, mirrored_pair):
        model = residual_model(strategy)
        training.recalibrate_batchnorm(model, image_batches(24))
        value = model.get_layer("norm").moving_variance.value
        statistics += [local.numpy() for local in model.distribute_strategy.experimental_local_results(value)]
    assert len(statistics) == 3
    np.testing.assert_allclose(statistics[1:], [statistics[0]] * 2, rtol=1e-6)
