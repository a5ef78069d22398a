"""The model that trains, from a backbone and a task."""

import keras
import numpy as np
import pytest

from kft import errors, models, tasks, training


def make(**arguments):
    inputs = keras.Input((4,), name="values")
    x = keras.layers.BatchNormalization(momentum=0.999, name="norm")(keras.layers.Dense(3, name="dense")(inputs))
    backbone = models.custom_backbone(keras.Model(inputs, x))
    task = tasks.make_task("image_classification", label_names=("a", "b"))
    return training.build_model(backbone, task, **arguments)


def test_statistics_follow_the_momentum_that_was_asked_for():
    model = make(batchnorm="train", batchnorm_momentum=0.75)
    model.compile(keras.optimizers.SGD(0.0), loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    x = np.random.default_rng(0).normal(size=(8, 4)).astype("float32")
    dense, norm = model.get_layer("dense"), model.get_layer("norm")
    model.fit(x, np.zeros(8, "int64"), batch_size=8, verbose=0)
    np.testing.assert_allclose(norm.moving_mean, 0.25 * dense(x).numpy().mean(0), rtol=1e-5, atol=1e-7)


def test_without_it_the_backbone_keeps_its_own():
    assert make().get_layer("norm").momentum == 0.999


@pytest.mark.parametrize("momentum", [1.0, -0.1])
def test_a_momentum_out_of_range_is_refused(momentum):
    with pytest.raises(errors.InputError, match="Expected a number in"):
        make(batchnorm_momentum=momentum)
