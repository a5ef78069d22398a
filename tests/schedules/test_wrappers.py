"""Joined schedules, warm-up and cool-down around any schedule."""

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kft import errors, schedules
from tests.references import schedules as reference

STEPS = np.concatenate([np.arange(10_001), [2**31]])


def test_each_joined_schedule_sees_its_own_step_from_0():
    joined = schedules.join(
        [schedules.Linear(1.0, 4000), schedules.Cosine(0.5, 2000), schedules.Rsqrt(0.2, timescale_steps=10)],
        [1000, 3000],
    )
    rates = np.concatenate(
        [
            reference.linear(np.arange(1000), learning_rate=1.0, decay_steps=4000, end_scale=0.0),
            reference.cosine(np.arange(2000), learning_rate=0.5, decay_steps=2000, end_scale=0.0),
            reference.rsqrt(STEPS[3000:] - 3000, learning_rate=0.2, timescale_steps=10),
        ]
    )
    np.testing.assert_allclose(joined(STEPS), rates, rtol=0, atol=1e-6)


@settings(max_examples=30, deadline=None)
@given(
    rates=st.lists(st.floats(0.0, 1.0, width=32, allow_subnormal=False), min_size=1, max_size=5),
    lengths=st.lists(st.integers(1, 50), min_size=4, max_size=4),
)
def test_joined_constants_are_a_list_of_rates(rates, lengths):
    joined = schedules.join([schedules.Constant(rate) for rate in rates], np.cumsum(lengths[: len(rates) - 1]).tolist())
    table = np.repeat(rates, [*lengths[: len(rates) - 1], 7])
    np.testing.assert_array_equal(joined(np.arange(len(table))), table.astype(np.float32))


@pytest.mark.parametrize("boundaries", [[], [3, 4], [0], [2.5]])
def test_boundaries_that_do_not_fit_are_refused(boundaries):
    with pytest.raises(errors.InputError, match="boundar"):
        schedules.join([schedules.Constant(1.0), schedules.Constant(0.1)], boundaries)


def test_wrappers_take_a_schedule_of_keras():
    theirs = keras.optimizers.schedules.PiecewiseConstantDecay([9], [1.0, 0.5])
    schedule = schedules.Cooldown(schedules.Warmup(theirs, 10), 100, cooldown_steps=10)
    rates = [float(schedule(step)) for step in (0, 5, 10, 19, 20, 100, 105, 110, 2**31)]
    assert rates == [0.0, 0.5, 1.0, 1.0, 0.5, 0.5, 0.25, 0.0, 0.0]
    again = schedules.Cooldown.from_config(schedule.get_config())
    assert float(again(105)) == 0.25


def test_warm_up_and_rsqrt_are_the_schedule_of_the_transformer():
    schedule = schedules.make_schedule("rsqrt", learning_rate=4000**-0.5, total_steps=100_000, warmup_steps=4000)
    np.testing.assert_allclose(
        schedule(STEPS[1:]), reference.transformer(STEPS[1:].astype(float), warmup_steps=4000), atol=1e-6 * 4000**-0.5
    )


def test_cool_down_is_a_straight_line_of_what_the_schedule_would_give():
    schedule = schedules.make_schedule(
        "rsqrt", learning_rate=1.0, total_steps=1000, options={"timescale_steps": 50, "cooldown_steps": "20 percent"}
    )
    falling = np.interp(STEPS, [800, 1000], [1.0, 0.0])
    rates = reference.rsqrt(STEPS, learning_rate=1.0, timescale_steps=50) * falling
    np.testing.assert_allclose(schedule(STEPS), rates, rtol=0, atol=1e-6)


def test_a_warm_up_of_no_steps_leaves_the_schedule_as_it_is():
    schedule = schedules.Cosine(0.3, 100)
    np.testing.assert_array_equal(schedules.Warmup(schedule, 0)(STEPS), schedule(STEPS))


@pytest.mark.parametrize("wrong", [0.1, None, schedules])
def test_a_number_is_no_schedule(wrong):
    with pytest.raises(errors.InputError, match="kft.schedules.Constant"):
        schedules.Warmup(wrong, 10)
