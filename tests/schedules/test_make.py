"""From a name and options, as flags give them, to a schedule."""

import pytest

from kft import errors, schedules
from kft.duration import Duration


def make(name, **options):
    lengths = {"total_steps": 1000, "steps_per_epoch": 50, "global_batch_size": 8}
    return schedules.make_schedule(name, learning_rate=0.1, **lengths, options=options)


@pytest.mark.parametrize(
    "value, steps",
    [
        (300, 300),
        ("300", 300),
        ("300 steps", 300),
        ("2 epochs", 100),
        ("10 percent", 100),
        ("10%", 100),
        ("80 examples", 10),
        (Duration(1, "epochs"), 50),
    ],
)
def test_a_length_is_a_number_of_steps_or_has_a_unit(value, steps):
    assert make("cosine", decay_steps=value).decay_steps == steps


@pytest.mark.parametrize("boundaries", ["300, 600", [300, 600], ("30 percent", "12 epochs"), "30%,60%"])
def test_boundaries_count_from_the_start_of_the_run(boundaries):
    schedule = schedules.make_schedule(
        "step",
        learning_rate=1.0,
        total_steps=1000,
        warmup_steps=100,
        steps_per_epoch=50,
        options={"boundaries": boundaries},
    )
    assert [round(float(schedule(step)), 6) for step in (299, 300, 599, 600)] == [1.0, 0.1, 0.1, 0.01]


def test_options_are_read_as_the_type_of_their_argument():
    schedule = make("exponential", staircase="true", decay_rate="0.5", decay_steps="1e2")
    assert (schedule.staircase, schedule.decay_rate, schedule.decay_steps) == (True, 0.5, 100)
    assert type(make("polynomial", power=1).power) is float
    assert make("one_cycle", shape="linear").shape == "linear"


@pytest.mark.parametrize(
    "name, options, message",
    [
        ("cosine", {"end_scal": 0.1}, "Did you mean 'end_scale'"),
        ("cosine", {"end_scale": "low"}, "end_scale='low'. Expected float"),
        ("cosine", {"end_scale": 2.0}, "Expected a number >= 0 and <= 1"),
        ("cosine", {"decay_steps": 0}, "whole number of steps >= 1"),
        ("cosine", {"decay_steps": 2.5}, "Expected int"),
        ("cosine", {"decay_steps": "2 epoks"}, "units are|Did you mean 'epochs'"),
        ("cosine", {"cooldown_steps": "2 minutes"}, "Expected steps, epochs or examples"),
        ("exponential", {"staircase": "yes"}, "Expected bool"),
        ("exponential", {"staircase": 1}, "Expected bool"),
        ("exponential", {"decay_rate": 1.5}, "Expected a number > 0 and <= 1"),
        ("one_cycle", {"shape": "cosinus"}, "Did you mean 'cosine'"),
        ("step", {}, "without 'boundaries'"),
        ("step", {"boundaries": (5, 5)}, "greater than the one before"),
        ("cosine_restarts", {"num_cycles": 12}, "at least one step in each cycle"),
        ("cosine_restarts", {"num_cycles": 10**9}, "Expected a number >= 1 and <= 100"),
        ("cosine", {"learning_rate": 0.1}, "Got option of schedule 'cosine' 'learning_rate'"),
        ("cosine", {"cooldown_steps": 1001}, "start_step=-1"),
    ],
)
def test_a_wrong_option_is_an_error_with_the_remedy(name, options, message):
    with pytest.raises(errors.InputError, match=message):
        make(name, **options)


def test_an_unknown_schedule_names_the_nearest():
    with pytest.raises(errors.InputError, match="Did you mean 'cosine'"):
        make("cosin")


def test_epochs_without_their_number_of_steps_are_refused():
    with pytest.raises(errors.InputError, match="steps_per_epoch"):
        schedules.make_schedule("cosine", learning_rate=1.0, total_steps=10, options={"decay_steps": "1 epoch"})


def test_boundaries_within_the_warm_up_are_refused():
    with pytest.raises(errors.InputError, match="with a warm-up of 10 steps"):
        schedules.make_schedule(
            "step", learning_rate=1.0, total_steps=20, warmup_steps=10, options={"boundaries": "5 steps,15"}
        )


def test_no_boundary_is_a_constant_rate():
    assert float(make("step", boundaries=())(500)) == pytest.approx(0.1)


@pytest.mark.parametrize("total_steps, warmup_steps", [(10, 10), (10, -1), (0, 0)])
def test_a_warm_up_longer_than_the_run_is_refused(total_steps, warmup_steps):
    with pytest.raises(errors.InputError, match="0 <= warmup_steps < total_steps"):
        schedules.make_schedule("cosine", learning_rate=1.0, total_steps=total_steps, warmup_steps=warmup_steps)
