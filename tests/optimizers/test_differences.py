"""Where our form of a rule differs from that of Keras or PyTorch, and by how much."""

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf

from kft import optimizers
from tests.references import optimizers as reference

START = np.linspace(-1.0, 1.0, 8).astype("float32")


def after(optimizer, gradients, rates=None):
    """Where the variable is after these gradients."""
    w = keras.Variable(START, name="w")
    optimizer.build([w])
    step = tf.function(lambda g: optimizer.apply([g], [w]), autograph=False)
    for i, gradient in enumerate(gradients):
        if rates is not None:
            optimizer.learning_rate = rates[i]
        step(tf.constant(gradient))
    return w.numpy()


def ours(name, rate, **options):
    return optimizers.make_optimizer(name, learning_rate=rate, options=options)


def random_gradients(count, scale=1.0):
    return (scale * np.random.RandomState(0).randn(count, 8)).astype("float32")


def relative(a, b):
    """Difference of the movements, relative to them."""
    return np.abs(a - b).max() / np.abs(b - START).max()


def test_adam_adds_epsilon_after_the_correction_and_keras_before():
    """FACTS 10: nothing at the size of common gradients, 0.9 of the first step at 1e-7."""
    large = random_gradients(1)
    small = random_gradients(1, 1e-7)
    theirs = keras.optimizers.Adam(0.01, epsilon=1e-8)
    assert relative(after(keras.optimizers.Adam(0.01, epsilon=1e-8), large), after(ours("adam", 0.01), large)) < 2e-5
    got, keras_got = after(ours("adam", 0.01), small), after(theirs, small)
    wanted = reference.adam(START.astype("float64"), list(small.astype("float64")), 0.01)
    np.testing.assert_allclose(got - START, wanted - START, rtol=1e-3, atol=1e-7)
    assert 0.1 < relative(keras_got, got) < 0.95


def test_missing_bias_correction_makes_the_first_steps_longer():
    """(1 - beta_1) / sqrt(1 - beta_2) = 3.16 at the first step, more after it, and gone after some thousand."""
    ones = np.ones((1, 8), "float32")
    corrected = START - after(ours("adam", 0.01), ones)
    uncorrected = START - after(ours("adam", 0.01, bias_correction=False), ones)
    np.testing.assert_allclose(uncorrected / corrected, 0.1 / np.sqrt(0.001), rtol=1e-4)


def test_late_variables_move_too_far_in_keras():
    """FACTS 3: 1,000 steps late, the 12th step of Keras' Adam is 5 times as long as ours."""
    lengths = {}
    for library, optimizer in (("keras", keras.optimizers.Adam(0.001)), ("kft", ours("adam", 0.001))):
        head, late = keras.Variable(START, name="head"), keras.Variable(START, name="late")
        optimizer.build([head, late])
        head_step = tf.function(functools.partial(optimizer.apply, [tf.ones(8)], [head]), autograph=False)
        both_step = tf.function(functools.partial(optimizer.apply, [tf.ones(8)] * 2, [head, late]), autograph=False)
        for _ in range(1000):
            head_step()
        for _ in range(12):
            before = late.numpy()
            both_step()
        lengths[library] = np.abs(late.numpy() - before).max()
    assert lengths["kft"] == pytest.approx(0.001, rel=1e-2)
    assert lengths["keras"] / lengths["kft"] == pytest.approx(5.2, abs=0.3)


def test_momentum_takes_a_new_rate_at_once_and_keras_later():
    """With the rate divided by 10, Keras goes on at 0.9 of the old speed."""
    ones, rates = np.ones((60, 8), "float32"), [0.01] * 59 + [0.001]
    last = {}
    for library, make in (
        ("keras", lambda: keras.optimizers.SGD(0.01, momentum=0.9)),
        ("kft", lambda: ours("momentum", 0.01)),
    ):
        last[library] = np.abs(after(make(), ones, rates) - after(make(), ones[:-1], rates[:-1])).max()
    assert last["kft"] == pytest.approx(0.01, rel=1e-2)
    assert last["keras"] == pytest.approx(0.091, rel=1e-2)


def test_rules_that_are_equal_to_keras():
    gradients = random_gradients(50)
    for theirs, own in (
        (keras.optimizers.RMSprop(0.001), ours("rmsprop", 0.001)),
        (
            keras.optimizers.RMSprop(0.001, momentum=0.9, centered=True),
            ours("rmsprop", 0.001, momentum=0.9, centered=True),
        ),
        (keras.optimizers.Adadelta(1.0, epsilon=1e-6), ours("adadelta", 1.0)),
        (keras.optimizers.SGD(0.01, momentum=0.9, nesterov=True), ours("momentum", 0.01, nesterov=True)),
    ):
        assert relative(after(theirs, gradients), after(own, gradients)) < 2e-5


def test_adagrad_starts_at_0_and_keras_at_a_tenth():
    """The first step for a gradient of 0.1 is the rate with ours, 0.3 of it with Keras."""
    gradient = np.full((1, 8), 0.1, "float32")
    assert np.abs(after(ours("adagrad", 0.01), gradient) - START).max() == pytest.approx(0.01, rel=1e-4)
    keras_step = np.abs(after(keras.optimizers.Adagrad(0.01), gradient) - START).max()
    assert keras_step == pytest.approx(0.01 * 0.1 / np.sqrt(0.1 + 0.01), rel=1e-3)
    equal = after(ours("adagrad", 0.01, initial_total=0.1), random_gradients(50))
    assert relative(after(keras.optimizers.Adagrad(0.01), random_gradients(50)), equal) < 2e-5


def test_adam_couples_its_decay_and_keras_does_not():
    """One step from 1 with decay 0.1 and no gradient: ours is a whole step, as in PyTorch; Keras' is AdamW's."""
    moved = {}
    for name, optimizer in (
        ("coupled", optimizers.make_optimizer("adam", learning_rate=0.01, weight_decay=0.1)),
        ("decoupled", optimizers.make_optimizer("adamw", learning_rate=0.01, weight_decay=0.1)),
        ("keras", keras.optimizers.Adam(0.01, weight_decay=0.1)),
    ):
        moved[name] = (START - after(optimizer, np.zeros((1, 8), "float32")))[-1]
    assert moved["coupled"] == pytest.approx(0.01, rel=1e-4)
    assert moved["decoupled"] == pytest.approx(0.001, rel=1e-3)
    assert moved["keras"] == moved["decoupled"]


def test_adafactor_of_keras_makes_nan_where_row_and_column_have_no_gradient():
    """1e-30 times 1e-30 is 0 in float32. If this fails, Keras has mended it: change docs/optimizers.md."""
    gradient = tf.constant([[1.0, 0.0], [0.0, 0.0]])
    for options, is_nan in (({}, True), ({"epsilon_1": 1e-15}, False)):
        w = keras.Variable(np.ones((2, 2), "float32"), name="w")
        optimizer = ours("adafactor", 0.01, **options)
        optimizer.build([w])
        optimizer.apply([gradient], [w])
        assert np.isnan(w.numpy()[1, 1]) == is_nan


def test_ftrl_of_keras_makes_nan_of_a_rate_of_0():
    """As the first one of a warm-up. If this fails, Keras has mended it: change docs/optimizers.md."""
    assert np.isnan(after(ours("ftrl", 0.0), random_gradients(1))).any()
    assert np.isfinite(after(ours("ftrl", 0.1), random_gradients(1))).all()
