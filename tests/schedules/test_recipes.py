"""Published rules from the size of the data to a schedule."""

import pytest

from kft import errors, schedules


def make(settings, *, steps_per_epoch=None):
    lengths = {"steps_per_epoch": steps_per_epoch or 1, "global_batch_size": 1}
    total_steps = settings.length.to_steps(**lengths)
    return total_steps, schedules.make_schedule(
        settings.name,
        learning_rate=settings.learning_rate,
        total_steps=total_steps,
        warmup_steps=settings.warmup.to_steps(**lengths, total_steps=total_steps),
        options=settings.options,
    )


@pytest.mark.parametrize(
    "num_examples, total_steps, at",
    [
        (19_999, 500, {0: 0.0, 50: 0.0015, 100: 0.003, 199: 0.003, 200: 3e-4, 300: 3e-5, 400: 3e-6, 499: 3e-6}),
        (20_000, 10_000, {250: 0.0015, 2_999: 0.003, 3_000: 3e-4, 6_000: 3e-5, 9_000: 3e-6}),
        (500_000, 20_000, {250: 0.0015, 5_999: 0.003, 6_000: 3e-4, 12_000: 3e-5, 18_000: 3e-6}),
    ],
)
def test_bit_hyper_rule_follows_the_paper(num_examples, total_steps, at):
    steps, schedule = make(schedules.bit_hyper_rule(num_examples))
    assert steps == total_steps
    assert {step: round(float(schedule(step)), 9) for step in at} == at


def test_bit_hyper_rule_scales_the_rate_with_the_batch():
    assert schedules.bit_hyper_rule(100, global_batch_size=128).learning_rate == 0.003 / 4


@pytest.mark.parametrize("num_examples, epochs", [(2_490, 20), (9_999, 20), (10_000, 3), (392_702, 3)])
def test_text_recipe_trains_longer_where_data_is_scarce(num_examples, epochs):
    steps, schedule = make(schedules.text_recipe(num_examples), steps_per_epoch=100)
    assert steps == 100 * epochs
    assert float(schedule(0)) == 0.0
    assert float(schedule(steps // 10)) == pytest.approx(2e-5)
    assert float(schedule(steps // 10 + steps * 9 // 20)) == pytest.approx(1e-5)
    assert float(schedule(steps)) == 0.0


def test_a_recipe_for_no_data_is_refused():
    with pytest.raises(errors.InputError, match="num_examples"):
        schedules.bit_hyper_rule(0)
    with pytest.raises(errors.InputError, match="num_examples"):
        schedules.text_recipe(0)
