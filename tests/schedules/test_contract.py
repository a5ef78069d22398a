"""What every schedule of the table must do."""

import json
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from kft import errors, schedules
from tests.references import schedules as reference
from tests.schedules.cases import CASES, LEARNING_RATE, STEPS, TOTAL_STEPS


def make(case, **kwargs):
    name, options, _, _ = CASES[case]
    return schedules.make_schedule(
        name, **{"learning_rate": LEARNING_RATE, "total_steps": TOTAL_STEPS, "options": options} | kwargs
    )


def expected(case, steps):
    _, _, rule, arguments = CASES[case]
    return rule(steps, learning_rate=LEARNING_RATE, **arguments)


def json_round_trip(schedule):
    config = json.loads(json.dumps(keras.optimizers.schedules.serialize(schedule)))
    return keras.optimizers.schedules.deserialize(config)


def test_every_schedule_has_a_case():
    assert {name for name, _, _, _ in CASES.values()} == set(schedules.SCHEDULES)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("jit_compile", [False, True])
def test_equals_the_reference_at_steps_to_10000_and_2_to_the_31(case, jit_compile):
    rates = tf.function(make(case), jit_compile=jit_compile)(tf.constant(STEPS)).numpy()
    assert np.all(np.isfinite(rates))
    np.testing.assert_allclose(rates, expected(case, STEPS), rtol=0, atol=1e-6 * LEARNING_RATE)


@pytest.mark.parametrize("case", CASES)
def test_warm_up_goes_around_it(case):
    schedule = schedules.Warmup(make(case), 500, start_scale=0.1)
    peak = expected(case, np.array([0]))[0]
    rates = reference.warmup(STEPS, lambda steps: expected(case, steps), peak=peak, warmup_steps=500, start_scale=0.1)
    np.testing.assert_allclose(schedule(STEPS).numpy(), rates, rtol=0, atol=1e-6 * LEARNING_RATE)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("jit_compile", [False, True])
def test_one_trace_serves_every_step_and_equals_the_eager_rate(case, jit_compile):
    schedule = schedules.Warmup(make(case), 3)
    traces = []

    @tf.function(jit_compile=jit_compile)
    def rate(step):
        traces.append(step)
        return schedule(step)

    steps = (0, 2, 3, 4200, 2**31)
    rates = [rate(tf.constant(step, tf.int64)) for step in steps]
    assert len(traces) == 1
    assert all(rate.dtype == tf.float32 and rate.shape == () for rate in rates)
    np.testing.assert_allclose(rates, [schedule(step) for step in steps], rtol=1e-6, atol=1e-6 * LEARNING_RATE)


@pytest.mark.parametrize("case", CASES)
def test_config_survives_json_and_an_optimizer(case):
    schedule = schedules.Cooldown(schedules.Warmup(make(case), 10), 6000, cooldown_steps=1000)
    assert json_round_trip(schedule).get_config() == schedule.get_config()
    optimizer = keras.optimizers.SGD(schedule)
    again = keras.optimizers.SGD.from_config(optimizer.get_config())
    np.testing.assert_array_equal(again._learning_rate(STEPS), schedule(STEPS))


@pytest.mark.parametrize("case", CASES)
def test_an_optimizer_takes_the_rate_of_its_iterations(case):
    optimizer = keras.optimizers.SGD(make(case))
    variable = keras.Variable(1.0)
    optimizer.build([variable])
    optimizer.iterations.assign(4200)
    optimizer.apply([tf.constant(1.0)])
    np.testing.assert_allclose(1.0 - float(variable), expected(case, np.array([4200]))[0], atol=2e-7)


@pytest.mark.parametrize("name", schedules.SCHEDULES)
def test_an_unknown_option_names_the_nearest(name):
    with pytest.raises(errors.InputError, match="Did you mean 'cooldown_steps'"):
        schedules.make_schedule(name, learning_rate=1.0, total_steps=10, options={"cooldown_step": 3})


@pytest.mark.parametrize("learning_rate", [-0.1, float("nan"), float("inf"), "0.1", True])
@pytest.mark.parametrize("name", sorted(set(schedules.SCHEDULES) - {"step"}))
def test_a_rate_that_is_none_is_refused(name, learning_rate):
    with pytest.raises(errors.InputError, match="learning_rate"):
        schedules.make_schedule(name, learning_rate=learning_rate, total_steps=10)


@settings(max_examples=20, deadline=None)
@given(data=st.data())
@pytest.mark.parametrize("name", schedules.SCHEDULES)
def test_a_run_of_any_length_has_finite_rates_up_to_the_peak_and_a_config_that_repeats_them(name, data):
    learning_rate = data.draw(st.floats(1e-8, 10.0))
    total_steps = data.draw(st.integers(8, 10**6))
    warmup_steps = data.draw(st.integers(0, total_steps - 7))
    options = {"boundaries": (warmup_steps + 2, warmup_steps + 5)} if name == "step" else {}
    schedule = schedules.make_schedule(
        name, learning_rate=learning_rate, total_steps=total_steps, warmup_steps=warmup_steps, options=options
    )
    steps = np.array([0, 1, warmup_steps, warmup_steps + 1, total_steps - 1, total_steps, 2**31, 2**40])
    rates = schedule(steps).numpy()
    assert np.all(np.isfinite(rates)) and np.all(rates >= 0)
    assert rates.max() <= learning_rate * (1 + 1e-6)
    np.testing.assert_array_equal(json_round_trip(schedule)(steps), rates)


def test_the_names_are_listed_without_tensorflow():
    program = "import sys, kft.schedules; assert kft.schedules.SCHEDULES; assert 'tensorflow' not in sys.modules"
    subprocess.run([sys.executable, "-c", program], check=True)
