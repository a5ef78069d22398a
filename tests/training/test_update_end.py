import keras
import numpy as np
import pytest
import tensorflow as tf

from kft import errors, optimizers
from tests.training.models import crossentropy, examples, make_model, padded, values


def train(model, data, name, *, epochs=2, callbacks=(), **options):
    with model.distribute_strategy.scope():
        optimizer = optimizers.make_optimizer(name, learning_rate=0.1, options=options)
        model.compile(optimizer, crossentropy())
    return model.fit(data, epochs=epochs, verbose=0, shuffle=False, callbacks=list(callbacks)).history


@pytest.mark.parametrize("replicas", [1, 2])
def test_accumulation_is_the_large_batch_and_its_last_part_is_not_lost(mirrored_pair, replicas):
    """22 examples: updates over 16 and 6, or over 4 batches of 4 and then over 4 and 2 of them."""
    x, y = examples(22)
    large, small = make_model(), make_model(mirrored_pair if replicas == 2 else None)
    train(large, padded(x, y, 16), "adam")
    train(small, padded(x, y, 4), "adam", accumulate_steps=4)
    assert int(large.optimizer.iterations.numpy()) == int(small.optimizer.iterations.numpy()) == 4
    expected = values(large.weights)
    for path, value in values(small.weights).items():
        np.testing.assert_allclose(value, expected[path], atol=1e-6, err_msg=path)


def softmax_gradient(features, kernel, y):
    logits = features @ kernel
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    return features.T @ (p - np.eye(3)[y]) / len(y)


def test_sam_takes_the_gradient_of_the_worst_place_near_by():
    x, y = examples(8)
    model = make_model()
    model.set_trainable(["head/kernel"])
    features = keras.Model(model.input, model.get_layer("drop").output)(x).numpy().astype("float64")
    kernel = model.get_layer("head").kernel.numpy().astype("float64")
    gradient = softmax_gradient(features, kernel, y)
    worst = kernel + 0.5 * gradient / np.linalg.norm(gradient)
    train(model, padded(x, y, 8), "sam", epochs=1, rule="gradient_descent", radius=0.5)
    expected = kernel - 0.1 * softmax_gradient(features, worst, y)
    np.testing.assert_allclose(model.get_layer("head").kernel.numpy(), expected, atol=1e-6)


def test_a_loss_scale_changes_nothing_but_the_range_of_the_gradients():
    x, y = examples(16)
    plain, scaled = make_model(), make_model()
    train(plain, padded(x, y, 8), "gradient_descent")
    train(scaled, padded(x, y, 8), "gradient_descent", loss_scale_factor=1024.0)
    expected = values(plain.weights)
    for path, value in values(scaled.weights).items():
        np.testing.assert_allclose(value, expected[path], atol=1e-6, err_msg=path)


@pytest.mark.parametrize("replicas", [1, 2])
def test_penalties_are_in_the_training_loss_that_is_shown(mirrored_pair, replicas):
    """Those of what trains, before the update, once, however many replicas; an evaluation is of the data."""
    x, y = examples(16)
    model = make_model(mirrored_pair if replicas == 2 else None)
    model.set_trainable(["head/.*"])
    kernel = model.get_layer("head").kernel.numpy()
    options = {"l1": [("head/kernel", 0.5), (".*", 0.0)], "l2": 0.1}
    plain = train(make_model(), padded(x, y, 16), "gradient_descent", epochs=1)["loss"][0]
    shown = train(model, padded(x, y, 16), "gradient_descent", epochs=1, **options)["loss"][0]
    penalty = 0.5 * np.abs(kernel).sum() + 0.05 * (kernel**2).sum()
    assert shown - plain == pytest.approx(penalty, rel=1e-4)
    again = make_model()
    again.compile("sgd", crossentropy())
    again.set_weights(model.get_weights())
    expected = again.evaluate(padded(x, y, 16), verbose=0)
    assert model.evaluate(padded(x, y, 16), verbose=0) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("replicas", [1, 2])
def test_what_overflows_at_the_smallest_loss_scale_ends_the_run(mirrored_pair, replicas):
    """15 halvings from 2 ** 15, which change nothing else; then an error."""
    x, y = examples(16 * 8)
    heavy = tf.data.Dataset.from_tensor_slices((x, y, np.full(len(y), 3e38, "float32"))).batch(8)
    model = make_model(mirrored_pair if replicas == 2 else None)
    before = values(model.weights)
    with pytest.raises(errors.NonFiniteError):
        train(model, heavy, "adam", loss_scale_factor="dynamic", epochs=2)
    assert model.optimizer.loss_scale.numpy() == 1.0 and model.optimizer.iterations.numpy() == 0
    assert 15 <= model.optimizer.skipped_updates.numpy() <= 16
    for path, value in values(model.weights).items():
        np.testing.assert_array_equal(value, before[path])


class Recorder(keras.callbacks.Callback):
    """The head's kernel after each step and each epoch, and the loss on evaluation."""

    def on_train_begin(self, logs=None):
        self.after_step, self.after_epoch = [], []

    def on_train_batch_end(self, batch, logs=None):
        self.after_step.append(self.model.get_layer("head").kernel.numpy())

    def on_epoch_end(self, epoch, logs=None):
        self.after_epoch.append(self.model.get_layer("head").kernel.numpy())


def average_of(kernels, momentum):
    average = kernels[0]
    for kernel in kernels[1:]:
        average = momentum * average + (1 - momentum) * kernel
    return average


def test_averages_are_what_is_evaluated_and_kept_and_training_goes_on_from_the_variables():
    data, recorder = padded(*examples(16), 8), Recorder()
    averaged, plain = make_model(), make_model()
    train(averaged, data, "adam", callbacks=[recorder], use_ema=True, ema_momentum=0.5)
    bare = Recorder()
    train(plain, data, "adam", callbacks=[bare])
    for ours, theirs in zip(recorder.after_step, bare.after_step, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-6)
    for epoch, kernel in enumerate(recorder.after_epoch):
        np.testing.assert_allclose(kernel, average_of(bare.after_step[: 2 * epoch + 2], 0.5), atol=1e-6)
    np.testing.assert_array_equal(averaged.get_layer("head").kernel.numpy(), recorder.after_epoch[-1])
