import pytest
from hypothesis import given
from hypothesis import strategies as st

from kft import duration, errors


@pytest.mark.parametrize(
    ("text", "steps"),
    [
        ("7 steps", 7),
        ("2 epochs", 20),
        ("1 epoch", 10),
        ("0.5 epochs", 5),
        ("64 examples", 2),
        ("25 percent", 50),
        ("25%", 50),
    ],
)
def test_every_unit_becomes_steps(text, steps):
    length = duration.Duration.parse(text)
    assert length.to_steps(steps_per_epoch=10, global_batch_size=32, total_steps=200) == steps


def test_what_is_not_nothing_is_a_step_at_least():
    assert duration.Duration.parse("1 example").to_steps(steps_per_epoch=10, global_batch_size=32) == 1
    assert duration.Duration.parse("0 steps").to_steps(steps_per_epoch=10, global_batch_size=32) == 0


@pytest.mark.parametrize("text", ["", "ten epochs", "10", "-1 epochs", "nan epochs"])
def test_what_is_no_length_says_how_to_write_one(text):
    with pytest.raises(errors.InputError, match="such as '10 epochs'"):
        duration.Duration.parse(text)


def test_a_unit_near_another_is_named():
    with pytest.raises(errors.InputError, match="Did you mean 'epochs'"):
        duration.Duration.parse("10 epocs")


def test_minutes_are_no_number_of_steps():
    with pytest.raises(errors.InputError, match="Expected steps, epochs or examples"):
        duration.Duration.parse("5 minutes").to_steps(steps_per_epoch=10, global_batch_size=32)


@given(st.floats(0, 1e6), st.sampled_from(duration.UNITS))
def test_the_text_of_a_length_reads_back(amount, unit):
    amount = float(f"{amount:g}")
    assert duration.Duration.parse(str(duration.Duration(amount, unit))) == duration.Duration(amount, unit)
