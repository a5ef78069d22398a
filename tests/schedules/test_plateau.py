"""A lower rate when a metric stalls: on any schedule, without a new trace, with its state in variables."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from kft import errors, schedules

VALUES = st.lists(st.sampled_from([0.0, 1.0, 2.0, 3.0, float("nan"), float("inf")]), min_size=2, max_size=25)


def scales(plateau, values):
    found = []
    for value in values:
        plateau.update(value)
        found.append(float(plateau(0)))
    return found


def plateau(**kwargs):
    return schedules.Plateau(schedules.Constant(1.0), **({"factor": 0.5, "patience": 2} | kwargs))


@pytest.mark.parametrize(
    "kwargs, values, expected",
    [
        ({}, [3, 3, 3, 3, 3], [1, 1, 0.5, 0.5, 0.25]),
        ({}, [3, 2, 2, 1, 1, 1], [1, 1, 1, 1, 1, 0.5]),
        ({"mode": "max"}, [1, 2, 3, 2, 1], [1, 1, 1, 1, 0.5]),
        ({"patience": 1}, [3, 2, 3], [1, 1, 0.5]),
        ({"patience": 1, "min_delta": 0.5}, [3, 2.6, 2.4], [1, 0.5, 0.5]),
        ({"patience": 1, "pause_after": 2}, [1, 1, 1, 1, 1], [1, 0.5, 0.5, 0.5, 0.25]),
        ({"patience": 1, "pause_after": 2}, [1, 1, 0, 0, 0], [1, 0.5, 0.5, 0.5, 0.25]),
        ({"patience": 1, "min_scale": 0.3}, [1, 1, 1], [1, 0.5, np.float32(0.3)]),
        ({}, [float("nan"), 5, float("nan"), float("inf")], [1, 1, 1, 0.5]),
        ({"mode": "max"}, [5, float("inf"), 5], [1, 1, 0.5]),
    ],
)
def test_the_rate_falls_when_the_metric_stalls(kwargs, values, expected):
    assert scales(plateau(**kwargs), values) == expected


@settings(max_examples=25, deadline=None)
@given(values=VALUES, cut=st.integers(1, 24), pause_after=st.integers(0, 2))
def test_saved_and_restored_is_as_never_stopped(values, cut, pause_after):
    whole = scales(plateau(pause_after=pause_after), values)
    first = plateau(pause_after=pause_after)
    assert scales(first, values[:cut]) == whole[:cut]
    second = schedules.Plateau.from_config(first.get_config())
    for variable, saved in zip(second.variables, [variable.numpy() for variable in first.variables], strict=True):
        variable.assign(saved)
    assert scales(second, values[cut:]) == whole[cut:]


@pytest.mark.parametrize(
    "left_out, values, cut",
    [
        ("plateau_scale", [1, 1, 1, 1], 3),
        ("plateau_best", [3, 2, 2, 2], 1),
        ("plateau_num_values", [1, 1, 1, 1], 1),
        ("plateau_wait", [1, 1, 1, 1], 2),
        ("plateau_pause", [1, 1, 1, 1, 1], 3),
    ],
)
def test_every_variable_of_the_state_is_needed(left_out, values, cut):
    """Negative control of the test above: with one item left out, the run goes on differently."""
    whole = scales(plateau(pause_after=2), values)
    first, second = plateau(pause_after=2), plateau(pause_after=2)
    scales(first, values[:cut])
    for variable, saved in zip(second.variables, first.variables, strict=True):
        if variable.name != left_out:
            variable.assign(saved)
    assert scales(second, values[cut:]) != whole[cut:]


def test_the_state_is_finite_from_the_start():
    """A checkpoint with a value that is not finite is refused."""
    assert all(np.isfinite(variable.numpy()) for variable in plateau().variables)


def test_a_new_scale_needs_no_new_trace_and_reaches_through_other_schedules():
    inner = plateau(patience=1)
    schedule = schedules.join([schedules.Warmup(inner, 2), schedules.Constant(0.1)], [10])
    assert schedule.variables == inner.variables
    traces = []

    @tf.function
    def rate(step):
        traces.append(step)
        return schedule(step)

    step = tf.constant(5, tf.int64)
    assert float(rate(step)) == 1.0
    scales(inner, [1.0, 1.0])
    assert float(rate(step)) == 0.5
    assert len(traces) == 1


def fit(schedule, callback, *, epochs=4):
    model = keras.Sequential([keras.layers.Input((1,)), keras.layers.Dense(1, kernel_initializer="ones")])
    model.compile(keras.optimizers.SGD(schedule), "mse")
    rates = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: seen.append(float(schedule(0))))
    seen = []
    data = tf.data.Dataset.from_tensors((tf.zeros((2, 1)), tf.zeros((2, 1))))
    model.fit(data, epochs=epochs, verbose=0, callbacks=[callback, rates])
    return seen


def test_fit_lowers_the_rate_on_top_of_a_schedule():
    """Keras' own callback raises a TypeError here."""
    schedule = schedules.Plateau(schedules.Cosine(0.1, 1000), factor=0.5, patience=2)
    callback = schedules.PlateauCallback(schedule, monitor="loss")
    np.testing.assert_allclose(fit(schedule, callback), [0.1, 0.1, 0.05, 0.05], rtol=1e-6)
    with pytest.raises(TypeError):
        fit(schedules.Cosine(0.1, 1000), keras.callbacks.ReduceLROnPlateau("loss", patience=1))


def test_fit_lowers_the_rate_on_two_replicas(mirrored_pair):
    with mirrored_pair.scope():
        schedule = schedules.Plateau(schedules.Constant(0.1), factor=0.5, patience=1)
        rates = fit(schedule, schedules.PlateauCallback(schedule, monitor="loss"))
    np.testing.assert_allclose(rates, [0.1, 0.05, 0.025, 0.0125], rtol=1e-6)


def test_a_monitor_that_is_not_in_the_logs_names_the_nearest():
    schedule = plateau()
    with pytest.raises(errors.InputError, match="Did you mean 'loss'"):
        fit(schedule, schedules.PlateauCallback(schedule, monitor="los"))


@pytest.mark.parametrize(
    "wrong", [{"factor": 1.0}, {"factor": 0.0}, {"patience": 0}, {"min_delta": -1}, {"mode": "maximum"}]
)
def test_a_setting_out_of_range_is_refused(wrong):
    with pytest.raises(errors.InputError, match=next(iter(wrong))):
        plateau(**wrong)
