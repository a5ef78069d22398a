"""What is in the event files: each tag with each step once, through several phases, on one device and on two."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from kft import errors, inspection, schedules, training
from tests.inspection.event_reading import events


def data(num_steps=5):
    x = np.linspace(-1, 1, num_steps * 4, dtype=np.float32)[:, None]
    return tf.data.Dataset.from_tensor_slices((x, 2 * x, np.ones(len(x), np.float32))).batch(4)


def make_model(schedule):
    inputs = keras.Input((1,))
    model = training.FineTuneModel(inputs, keras.layers.Dense(1, name="head")(inputs), blocks=("head/.*",))
    model.compile(keras.optimizers.SGD(schedule), "mse", metrics=["mae"])
    return model


def fit(model, callback, **kwargs):
    return model.fit(data(), validation_data=data(2), callbacks=[callback], verbose=0, **kwargs).history


@pytest.mark.parametrize("replicas", [1, 2])
def test_two_phases_are_one_run(tmp_path, replicas, request):
    strategy = tf.distribute.get_strategy() if replicas == 1 else request.getfixturevalue("mirrored_pair")
    schedule = schedules.Linear(0.1, 20)
    callback = inspection.TensorBoard(tmp_path, config={"seed": 0, "backbone": "a|b"}, every_steps=2)
    with strategy.scope():
        model = make_model(schedule)
    first = fit(model, callback, epochs=2)
    second = fit(model, callback, initial_epoch=2, epochs=4)
    found = events(tmp_path)

    assert set(found) == {
        ("train", "config"),
        ("train", "custom_scalars__config__"),
        ("train", "metrics/loss"),
        ("train", "metrics/mae"),
        ("train", "training/learning_rate"),
        ("train", "training/examples_per_second"),
        ("train", "training/waiting_for_data"),
        ("train", "training/compilations"),
        ("train", "memory/process_gib"),
        ("train", "learning_rate/head"),
        ("train", "trains/head"),
        *(("train", f"{what}/{block}") for what in ("weight_norm", "update_ratio") for block in ("all", "head")),
        ("eval", "metrics/loss"),
        ("eval", "metrics/mae"),
    }
    for name in ("loss", "mae"):
        np.testing.assert_allclose(
            found["train", f"metrics/{name}"], list(zip([5, 10, 15, 20], first[name] + second[name], strict=True))
        )
        values = first[f"val_{name}"] + second[f"val_{name}"]
        np.testing.assert_allclose(found["eval", f"metrics/{name}"], list(zip([5, 10, 15, 20], values, strict=True)))
    steps = range(21)
    np.testing.assert_allclose(
        found["train", "training/learning_rate"], [(step, 0.1 - step * 0.005) for step in steps], atol=1e-7
    )
    assert [step for step, _ in found["train", "training/examples_per_second"]] == [5, 10, 15, 20]
    [(step, text)] = found["train", "config"]
    assert step == 0
    assert text == b"| setting | value |\n|---|---|\n| seed | 0 |\n| backbone | a\\|b |"


def test_a_new_optimizer_goes_on_where_the_old_one_ended(tmp_path):
    callback = inspection.TensorBoard(tmp_path)
    model = make_model(0.1)
    fit(model, callback, epochs=1)
    model.compile(keras.optimizers.SGD(0.01), "mse")
    fit(model, callback, epochs=1)
    fit(model, callback, epochs=1)
    found = events(tmp_path)
    assert [step for step, _ in found["train", "metrics/loss"]] == [5, 10, 15]
    np.testing.assert_allclose(
        found["train", "training/learning_rate"], [(step, 0.1 if step <= 5 else 0.01) for step in range(16)]
    )


def test_examples_are_counted_without_padding(tmp_path, monkeypatch):
    """5 steps of 4 examples, 2 of them padding; a clock that ticks once a reading."""
    ticks = iter(range(100))
    monkeypatch.setattr("kft.inspection.tensorboard.time.perf_counter", lambda: float(next(ticks)))
    padded = data().map(lambda x, y, weight: (x, y, weight * tf.cast(x[:, 0] > -0.9, tf.float32)))
    model = make_model(0.1)
    model.fit(padded, epochs=1, verbose=0, callbacks=[inspection.TensorBoard(tmp_path)])
    num_examples = int(np.sum(np.linspace(-1, 1, 20, dtype=np.float32) > -0.9))
    assert events(tmp_path)["train", "training/examples_per_second"] == [(5, num_examples)]
    assert num_examples < 20


def test_a_plain_keras_model_is_shown_too(tmp_path):
    model = keras.Sequential([keras.layers.Input((1,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    fit(model, inspection.TensorBoard(tmp_path), epochs=2)
    found = events(tmp_path)
    assert [step for step, _ in found["train", "metrics/loss"]] == [5, 10]
    assert [step for step, _ in found["eval", "metrics/loss"]] == [5, 10]
    assert [step for step, _ in found["train", "training/examples_per_second"]] == [5, 10]


def test_no_step_waits_for_the_callback():
    """Keras turns the logs of every step into numbers as soon as one callback wants them."""
    for name in ("on_batch_end", "on_train_batch_end", "on_train_batch_begin", "on_test_batch_end"):
        assert getattr(inspection.TensorBoard, name) is getattr(keras.callbacks.Callback, name)


def test_evaluation_alone_writes_nothing(tmp_path):
    model = make_model(0.1)
    model.evaluate(data(), verbose=0, callbacks=[inspection.TensorBoard(tmp_path)])
    assert events(tmp_path) == {}


def test_a_picture_is_shown_once(tmp_path):
    path = schedules.picture(schedules.Cosine(0.1, 10), 10, tmp_path / "schedule.png")
    model = make_model(0.1)
    callback = inspection.TensorBoard(tmp_path / "logs", pictures={"schedule": path})
    fit(model, callback, epochs=1)
    fit(model, callback, epochs=1)
    [(step, (_, _, png))] = events(tmp_path / "logs")["train", "pictures/schedule"]
    assert step == 0
    np.testing.assert_array_equal(tf.io.decode_png(png), tf.io.decode_png(path.read_bytes(), channels=3))


def test_a_distance_of_no_step_is_refused(tmp_path):
    with pytest.raises(errors.InputError, match="every_steps=0"):
        inspection.TensorBoard(tmp_path, every_steps=0)


def test_histograms_are_of_what_trains(tmp_path):
    model = make_model(0.1)
    fit(model, inspection.TensorBoard(tmp_path, histograms=True, every_steps=5), epochs=2)
    [(_, first), (_, second)] = events(tmp_path)["train", "updates/head"]
    assert first[:, 2].sum() == second[:, 2].sum() == 2
    assert 0 < np.abs(second[:, :2]).max() < np.abs(first[:, :2]).max(), "it comes nearer"
    found = events(tmp_path)["train", "weights/head"]
    assert [step for step, _ in found] == [5, 10]
    left, right, counts = found[-1][1].T
    assert counts.sum() == 2, "a kernel and a bias of one number each"
    kernel, bias = (float(variable.numpy().ravel()[0]) for variable in model.get_layer("head").weights)
    assert left.min() <= min(kernel, bias) <= max(kernel, bias) <= right.max()


@pytest.mark.parametrize("steps", [(1, 2), (4, 6)])
def test_a_profile_is_written_of_the_updates_that_were_asked_for(tmp_path, steps, monkeypatch):
    profiler, seen = tf.profiler.experimental, []
    model = make_model(0.1)
    for name in ("start", "stop"):
        own = getattr(profiler, name)
        note = lambda *args, own=own, name=name: (seen.append((name, int(model.optimizer.iterations))), own(*args))  # noqa: E731
        monkeypatch.setattr(profiler, name, note)
    fit(model, inspection.TensorBoard(tmp_path, profile_steps=steps), epochs=2)
    assert seen == [("start", steps[0] - 1), ("stop", steps[1])]
    assert list((tmp_path / "plugins" / "profile").glob("*/*.xplane.pb"))
