import keras
import numpy as np
import pytest
import tensorflow as tf

from kft import errors, optimizers
from tests.training.models import crossentropy, examples, make_model, padded, values


def train(model, data, *, epochs=3, jit=False, metrics=("accuracy",), optimizer=None, **kwargs):
    with model.distribute_strategy.scope():
        model.compile(optimizer or keras.optimizers.SGD(0.1), crossentropy(), metrics=list(metrics), jit_compile=jit)
    return model.fit(data, epochs=epochs, verbose=0, shuffle=False, **kwargs).history


def plain_keras(model):
    """The same layers under Keras' own train step, BatchNorm frozen as Keras does it."""
    return keras.Model(model.input, model.outputs)


def test_whole_batches_give_what_keras_gives():
    x, y = examples(24)
    ours = make_model()
    ours.set_trainable(["body/.*", "head/.*"])
    theirs = make_model()
    theirs.get_layer("norm").trainable = False
    histories = [
        train(model, tf.data.Dataset.from_tensor_slices((x, y)).batch(8), validation_data=(x, y))
        for model in (ours, plain_keras(theirs))
    ]
    for name, expected in histories[1].items():
        np.testing.assert_allclose(histories[0][name], expected, rtol=1e-5, err_msg=name)
    expected = values(theirs.weights)
    for path, value in values(ours.weights).items():
        np.testing.assert_allclose(value, expected[path], atol=1e-6, err_msg=path)


@pytest.fixture(scope="module")
def one_device():
    """Three epochs over 22 examples in batches of 8, the last one padded by 2; the result on one device."""
    model = make_model(penalty="l2")
    history = train(model, padded(*examples(22), 8), validation_data=padded(*examples(5, seed=1), 8))
    return history, values(model.weights)


@pytest.mark.parametrize("jit", [False, True], ids=["plain", "xla"])
@pytest.mark.parametrize("replicas", [1, 2])
def test_replicas_and_xla_change_nothing(one_device, mirrored_pair, replicas, jit):
    model = make_model(mirrored_pair if replicas == 2 else None, penalty="l2")
    history = train(model, padded(*examples(22), 8), validation_data=padded(*examples(5, seed=1), 8), jit=jit)
    for name, expected in one_device[0].items():
        np.testing.assert_allclose(history[name], expected, rtol=1e-5, err_msg=name)
    for path, expected in one_device[1].items():
        np.testing.assert_allclose(
            model.distribute_strategy.experimental_local_results(
                next(v for v in model.weights if v.path == path).value
            )[0],
            expected,
            atol=1e-6,
            err_msg=path,
        )


def test_padding_has_no_part_in_loss_gradient_and_metrics():
    """One step over 5 examples and 3 of padding is the step over the 5, worked out in NumPy."""
    x, y = examples(5)
    model = make_model()
    model.set_trainable(["head/.*"])
    features = keras.Model(model.input, model.get_layer("drop").output)(x).numpy()
    kernel = model.get_layer("head").kernel.numpy()
    logits = features @ kernel
    log_p = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    gradient = features.T @ (np.exp(log_p) - np.eye(3)[y]) / 5
    history = train(model, padded(x, y, 8), epochs=1)
    np.testing.assert_allclose(history["loss"], [-log_p[np.arange(5), y].mean()], rtol=1e-5)
    np.testing.assert_allclose(history["accuracy"], [(logits.argmax(1) == y).mean()], rtol=1e-6)
    np.testing.assert_allclose(model.get_layer("head").kernel.numpy(), kernel - 0.1 * gradient, atol=1e-6)


class CountsRows(keras.metrics.Metric):
    """A metric that knows no weights."""

    def __init__(self):
        super().__init__(name="rows")
        self.rows = self.add_weight(name="rows", initializer="zeros")

    def update_state(self, y_true, y_pred, sample_weight=None):
        self.rows.assign_add(tf.cast(tf.shape(y_pred)[0], tf.float32))

    def result(self):
        return self.rows


@pytest.mark.parametrize("replicas", [1, 2])
def test_any_metric_sees_each_example_once(mirrored_pair, replicas):
    model = make_model(mirrored_pair if replicas == 2 else None)
    with model.distribute_strategy.scope():
        metrics = [CountsRows(), "accuracy", keras.metrics.SparseCategoricalCrossentropy(from_logits=True, name="ce")]
        model.compile(keras.optimizers.SGD(0.0), crossentropy(), metrics=metrics, weighted_metrics=["accuracy"])
    logs = model.evaluate(padded(*examples(22), 8), verbose=0, return_dict=True)
    assert logs["rows"] == 22
    np.testing.assert_allclose(logs["ce"], logs["loss"], rtol=1e-5)


def test_weights_weigh_the_loss_and_the_weighted_metrics_only():
    x, y = examples(6)
    weight = np.array([0.0, 1, 2, 3, 0.5, 0.5], "float32")
    model = make_model()
    model.compile(keras.optimizers.SGD(0.0), crossentropy(), metrics=["accuracy"], weighted_metrics=["accuracy"])
    logs = model.evaluate(x, y, sample_weight=weight, verbose=0, return_dict=True)
    logits = model(x, training=False).numpy()
    right = logits.argmax(1) == y
    losses = np.log(np.exp(logits).sum(1)) - logits[np.arange(6), y]
    np.testing.assert_allclose(logs["loss"], (losses * weight).sum() / weight.sum(), rtol=1e-5)
    np.testing.assert_allclose(logs["accuracy"], right[1:].mean(), rtol=1e-6)
    np.testing.assert_allclose(logs["weighted_accuracy"], (right * weight).sum() / weight.sum(), rtol=1e-6)


def test_each_token_has_its_own_weight():
    inputs = keras.Input((4, 8))
    from kft.training import FineTuneModel

    model = FineTuneModel(inputs, keras.layers.Dense(3, name="head")(inputs), blocks=("head/.*",))
    model.compile(keras.optimizers.SGD(0.0), crossentropy(), metrics=["accuracy"])
    random = np.random.RandomState(0)
    x, y = random.randn(2, 4, 8).astype("float32"), random.randint(0, 3, (2, 4))
    weight = np.array([[1, 1, 0, 0], [1, 0, 0, 0]], "float32")
    logs = model.evaluate(x, y, sample_weight=weight, verbose=0, return_dict=True)
    logits = model(x).numpy()[weight > 0]
    labels = y[weight > 0]
    losses = np.log(np.exp(logits).sum(1)) - logits[np.arange(3), labels]
    np.testing.assert_allclose(logs["loss"], losses.mean(), rtol=1e-5)
    np.testing.assert_allclose(logs["accuracy"], (logits.argmax(1) == labels).mean(), rtol=1e-6)


@pytest.mark.parametrize("replicas", [1, 2])
def test_predict_leaves_padding_out_and_keeps_the_order(mirrored_pair, replicas):
    x, y = examples(22)
    model = make_model(mirrored_pair if replicas == 2 else None)
    expected = keras.Model(model.input, model.outputs)(x).numpy()
    np.testing.assert_allclose(model.predict(padded(x, y, 8), verbose=0), expected, atol=1e-6)


def test_a_phase_change_takes_effect_at_the_next_fit():
    model = make_model()
    data = padded(*examples(16), 8)
    model.set_trainable(["body/.*", "head/.*"])
    model.compile(keras.optimizers.SGD(0.1), crossentropy())
    model.optimizer.build(model.trainable_variables)
    for trains in (["head/.*"], ["body/.*"], ["body/.*", "head/.*"]):
        before = values(model.weights)
        model.set_trainable(trains)
        model.fit(data, verbose=0, shuffle=False)
        moved = {path for path, value in values(model.weights).items() if (value != before[path]).any()}
        assert moved == {v.path for v in model.trainable_variables}


def test_what_is_frozen_runs_in_inference_mode():
    """With everything below the head frozen, neither dropout nor BatchNorm knows that there is training."""
    model = make_model(dropout=0.5, batchnorm="train")
    statistics = values(model.get_layer("norm").weights)
    model.set_trainable(["head/.*"])
    history = train(model, padded(*examples(8), 8), epochs=1, optimizer=keras.optimizers.SGD(0.0))
    logs = model.evaluate(padded(*examples(8), 8), verbose=0, return_dict=True)
    np.testing.assert_allclose(history["loss"][0], logs["loss"], rtol=1e-6)
    for path, value in values(model.get_layer("norm").weights).items():
        np.testing.assert_array_equal(value, statistics[path])


def test_what_trains_runs_in_training_mode():
    model = make_model(dropout=0.5, batchnorm="train")
    statistics = values(model.get_layer("norm").weights)
    history = train(model, padded(*examples(8), 8), epochs=1, optimizer=keras.optimizers.SGD(0.0))
    logs = model.evaluate(padded(*examples(8), 8), verbose=0, return_dict=True)
    assert abs(history["loss"][0] - logs["loss"]) > 1e-3
    assert (model.get_layer("norm").moving_mean.numpy() != statistics["norm/moving_mean"]).all()


def test_frozen_statistics_stay_where_scale_and_offset_train():
    model = make_model(batchnorm="frozen")
    before = values(model.get_layer("norm").weights)
    train(model, padded(*examples(8), 8), epochs=1)
    after = values(model.get_layer("norm").weights)
    assert (after["norm/gamma"] != before["norm/gamma"]).any()
    np.testing.assert_array_equal(after["norm/moving_mean"], before["norm/moving_mean"])
    np.testing.assert_array_equal(after["norm/moving_variance"], before["norm/moving_variance"])


def test_arrays_and_single_batches_work_as_in_keras():
    x, y = examples(8)
    model = make_model()
    model.compile("sgd", crossentropy(), metrics=["accuracy"])
    model.fit(x, y, verbose=0)
    assert model.predict(x, verbose=0).shape == (8, 3)
    evaluated = model.evaluate(x, y, verbose=0, return_dict=True)
    assert model.test_on_batch(x, y, return_dict=True) == pytest.approx(evaluated, rel=1e-6)
    assert model.train_on_batch(x, y, return_dict=True)["loss"] == pytest.approx(evaluated["loss"], rel=1e-6)


def test_two_outputs_share_one_divisor():
    inputs = keras.Input((8,))
    from kft.training import FineTuneModel

    outputs = {"a": keras.layers.Dense(3, name="head_a")(inputs), "b": keras.layers.Dense(1, name="head_b")(inputs)}
    model = FineTuneModel(inputs, outputs, blocks=("head.*",))
    model.compile(keras.optimizers.SGD(0.1), {"a": crossentropy(), "b": "mse"}, loss_weights={"a": 1.0, "b": 0.5})
    x, y = examples(6)
    targets = {"a": y, "b": x[:, :1]}
    logs = model.evaluate(x, targets, verbose=0, return_dict=True)
    predicted = model(x)
    expected = crossentropy()(y, predicted["a"]) + 0.5 * np.mean((predicted["b"] - x[:, :1]) ** 2)
    np.testing.assert_allclose(logs["loss"], expected, rtol=1e-5)
    model.fit(x, targets, verbose=0)


def test_a_sum_as_a_loss_is_refused():
    model = make_model()
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True, reduction="sum"))
    with pytest.raises(errors.InputError, match="reduction='sum'"):
        model.fit(padded(*examples(8), 8), verbose=0)


def test_a_clip_before_the_reduction_is_refused(mirrored_pair):
    model = make_model(mirrored_pair)
    with pytest.raises(errors.InputError, match="clips after the reduction"):
        train(model, padded(*examples(8), 8), optimizer=keras.optimizers.SGD(0.1, global_clipnorm=1.0))


def test_a_pattern_that_trains_nothing_is_refused():
    with pytest.raises(errors.InputError, match="'tail/.*'"):
        make_model().set_trainable(["tail/.*"])


@pytest.mark.parametrize("jit", [False, True], ids=["plain", "xla"])
@pytest.mark.parametrize("replicas", [1, 2])
def test_a_gradient_that_is_not_finite_ends_the_run_at_its_step(mirrored_pair, replicas, jit):
    """One NaN among the features of the second batch: the weights are those after the first."""
    x, y = examples(24)
    model = make_model(mirrored_pair if replicas == 2 else None)
    with model.distribute_strategy.scope():
        optimizer = optimizers.make_optimizer("adam", learning_rate=0.1)
    train(model, padded(x[:8], y[:8], 8), epochs=1, jit=jit, optimizer=optimizer)
    before = values(model.weights)
    x[3, 2] = np.nan
    with pytest.raises(errors.NonFiniteError, match="step 2"):
        model.fit(padded(x, y, 8), verbose=0)
    for path, value in values(model.weights).items():
        np.testing.assert_array_equal(value, before[path])
