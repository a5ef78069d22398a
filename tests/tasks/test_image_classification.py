"""The loss against its definition in float64, top-5 only where it says something, and what a person reads."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from kft import errors
from kft.tasks import make_task
from kft.tasks.image_classification import SmoothedCrossentropy

LOGITS = np.random.default_rng(0).normal(scale=4, size=(6, 5))
LABELS = np.array([0, 1, 2, 3, 4, 0])


def reference(labels, logits, label_smoothing):
    """Szegedy et al. 2016, section 7: cross-entropy with the smoothed one-hot target."""
    target = (1 - label_smoothing) * np.eye(logits.shape[1])[labels] + label_smoothing / logits.shape[1]
    log_p = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    return -(target * log_p).sum(axis=1)


@pytest.mark.parametrize("label_smoothing", [0.0, 0.1, 0.9])
def test_loss_is_cross_entropy_with_the_smoothed_target(label_smoothing):
    loss = SmoothedCrossentropy(label_smoothing)
    got = tf.function(loss.call)(tf.constant(LABELS), tf.constant(LOGITS, tf.float32))
    np.testing.assert_allclose(got, reference(LABELS, LOGITS, label_smoothing), rtol=1e-5)
    np.testing.assert_allclose(loss(LABELS, LOGITS), reference(LABELS, LOGITS, label_smoothing).mean(), rtol=1e-5)


@pytest.mark.parametrize("label_smoothing", [0.0, 0.1])
def test_gradient_is_softmax_minus_target(label_smoothing):
    logits = tf.Variable(LOGITS, dtype=tf.float32)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(SmoothedCrossentropy(label_smoothing).call(LABELS, logits))
    softmax = np.exp(LOGITS) / np.exp(LOGITS).sum(axis=1, keepdims=True)
    target = (1 - label_smoothing) * np.eye(5)[LABELS] + label_smoothing / 5
    np.testing.assert_allclose(tape.gradient(loss, logits), softmax - target, atol=2e-6)


def test_large_logits_stay_finite():
    loss = SmoothedCrossentropy(0.1).call(np.array([0]), np.array([[-1e4, 0.0, 1e4]], "float32"))
    np.testing.assert_allclose(loss, [0.9 * 2e4 + 0.1 * 1e4], rtol=1e-6)


@pytest.mark.parametrize("value", [-0.1, 1.0])
def test_smoothing_out_of_range(value):
    with pytest.raises(errors.InputError, match="label_smoothing"):
        SmoothedCrossentropy(value)


@pytest.mark.parametrize(("num_classes", "names"), [(5, ["accuracy"]), (6, ["accuracy", "top_5_accuracy"])])
def test_top_5_only_for_more_than_5_classes(num_classes, names):
    task = make_task("image_classification", label_names=[f"class {index}" for index in range(num_classes)])
    assert [metric.name for metric in task.metrics()] == names


def test_metrics_count_by_hand():
    task = make_task("image_classification", label_names="abcdef")
    accuracy, top_5 = task.metrics()
    logits = np.array([[5, 4, 3, 2, 1, 0]] * 3, "float32")
    for metric in (accuracy, top_5):
        metric.update_state(np.array([0, 4, 5]), logits)
    np.testing.assert_allclose([accuracy.result(), top_5.result()], [1 / 3, 2 / 3], rtol=1e-6)


def test_decoding_names_the_label_and_all_probabilities():
    task = make_task("image_classification", label_names=["no", "yes"])
    (row,) = task.decode(np.array([[0.0, np.log(3)]]))
    assert row["label"] == "yes"
    assert row["probabilities"] == pytest.approx({"no": 0.25, "yes": 0.75})


@pytest.mark.parametrize("label_names", [(), ("one",), ("a", "b", "a")])
def test_label_names_must_be_two_or_more_and_different(label_names):
    with pytest.raises(errors.InputError, match="at least 2 classes"):
        make_task("image_classification", label_names=label_names)


def test_the_loss_trains_in_plain_keras_fit():
    task = make_task("image_classification", label_names="abcde", label_smoothing=0.1)
    model = keras.Sequential([keras.Input((5,)), keras.layers.Dense(5)])
    model.compile(keras.optimizers.SGD(1.0), task.loss, metrics=task.metrics())
    history = model.fit(np.eye(5), np.arange(5), epochs=20, verbose=0).history
    assert history["loss"][-1] < history["loss"][0]
    assert history["accuracy"][-1] == 1
