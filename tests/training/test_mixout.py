"""Mixout: forward sees the declared mixture, the mean is the weight, evaluation is as ever."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from kft import errors, optimizers, tasks, training
from kft.models import custom_backbone, make_backbone


def model_of(p, name=None, dropout=0.0):
    keras.utils.set_random_seed(0)
    if name is None:
        inputs = keras.Input((4,))
        backbone = custom_backbone(keras.Model(inputs, keras.layers.Dense(6, name="body")(inputs)))
    else:
        backbone = make_backbone(name)
    task = tasks.make_task("image_classification", label_names=["a", "b"], head_dropout=dropout)
    model = training.build_model(backbone, task)
    training.use_mixout(model, p)
    model.compile(optimizers.make_optimizer("gradient_descent", learning_rate=0.1), loss=task.loss)
    return model


def data():
    return np.random.default_rng(0).normal(size=(8, 4)).astype("float32"), np.arange(8) % 2


def test_the_mixture_is_the_declared_one_and_its_mean_is_the_weight():
    model = model_of(0.75)
    kernel = model.get_layer("body").kernel
    start = kernel.numpy()
    kernel.assign(start + 1.0)
    draws = []
    for index in range(2000):
        ((variable, mixed),) = model.mixout.mapping(tf.constant([index, 0]))
        draws.append(mixed.numpy())
    assert variable is kernel
    as_start, as_now = (start - 0.75 * start) / 0.25, (start + 1.0 - 0.75 * start) / 0.25
    draws = np.stack(draws)
    is_start, is_now = np.isclose(draws, as_start, atol=1e-5), np.isclose(draws, as_now, atol=1e-5)
    assert np.all(is_start | is_now)
    assert abs(is_start.mean() - 0.75) < 0.02
    np.testing.assert_allclose(draws.mean(0), kernel, atol=0.35)  # a deviation of 1.73 over 2,000 draws


def test_the_first_step_from_the_start_is_that_without_and_evaluation_sees_the_weights():
    x, y = data()
    plain, mixed = model_of(0.0), model_of(0.5)
    for model in (plain, mixed):
        model.fit(x, y, batch_size=8, epochs=1, verbose=0)
    np.testing.assert_allclose(mixed.get_layer("head").bias, plain.get_layer("head").bias, atol=1e-6)
    before = mixed.predict(x, verbose=0)
    np.testing.assert_array_equal(before, mixed.predict(x, verbose=0))
    # the gradient of the kept elements is 1 / (1 - p) times as long, of the others 0
    moved = [model.get_layer("body").kernel.numpy() for model in (plain, mixed)]
    start = model_of(0.0).get_layer("body").kernel.numpy()
    ratio = (moved[1] - start) / (moved[0] - start)
    assert np.all(np.isclose(ratio, 2.0, rtol=1e-2) | np.isclose(ratio, 0.0, atol=1e-2))


def test_it_draws_anew_in_each_step_and_dropout_too_and_its_seed_is_state():
    model = model_of(0.5, "bert_tiny_random", dropout=0.5)
    seeds = [v for v in model.variables if "seed" in v.path or "mixout" in v.path]
    assert any(v is model.mixout_seed.state for v in model.variables)
    before = [seed.numpy() for seed in seeds]
    x = {"token_ids": np.ones((4, 6), "int32"), "segment_ids": np.zeros((4, 6), "int32")}
    x["padding_mask"] = np.ones((4, 6), "int32")
    model.fit(x, np.array([0, 1, 0, 1]), batch_size=2, epochs=1, verbose=0)
    assert all(np.any(seed.numpy() != old) for seed, old in zip(seeds, before))


@pytest.mark.parametrize("jit_compile", [False, True])
def test_frozen_kernels_are_left_out_and_it_compiles(jit_compile):
    model = model_of(0.5)
    model.set_trainable(["head/.*"])
    assert model.mixout.mapping(tf.constant([0, 0])) == []
    model.set_trainable([".*"])
    model.jit_compile = jit_compile
    x, y = data()
    assert np.isfinite(model.fit(x, y, epochs=1, verbose=0).history["loss"][0])


def test_what_is_out_of_range_is_refused():
    with pytest.raises(errors.InputError, match="mixout=1"):
        model_of(1)
