import pytest

from kft import errors, trainable
from kft.duration import Duration
from kft.trainable import Phase

BLOCKS = ("stem/.*", "body/.*", "head/.*")
PATHS = ["stem/kernel", "body/kernel", "head/kernel", "head/bias"]


def phases_of(recipe, epochs=10):
    schedule = trainable.make_trainable_schedule(recipe, BLOCKS)
    trainable.validate(schedule, PATHS)
    return trainable.epochs_of_phases(schedule, epochs=epochs, steps_per_epoch=7, global_batch_size=4)


def test_all_trains_every_block_for_the_whole_run():
    ((first, end, phase),) = phases_of("all")
    assert (first, end, phase.trainable) == (0, 10, BLOCKS)


def test_head_trains_the_head_alone():
    ((first, end, phase),) = phases_of("head")
    assert (first, end, phase.trainable) == (0, 10, ("head/.*",))


def test_lp_ft_trains_the_head_and_then_everything():
    (first, second) = phases_of("lp_ft(3 epochs, 10)")
    assert first[:2] == (0, 3) and second[:2] == (3, 10)
    assert first[2].trainable == ("head/.*",) and first[2].learning_rate_scale == 10.0
    assert second[2].trainable == BLOCKS and second[2].restart_schedule


@pytest.mark.parametrize("start", ["15 steps", "2.2 epochs", "22 percent", "60 examples"])
def test_a_start_within_an_epoch_is_rounded_up(start):
    assert [first for first, _, _ in phases_of(f"lp_ft({start})")] == [0, 3]


def test_a_phase_without_an_epoch_is_an_error():
    with pytest.raises(errors.InputError, match="Expected each phase to have an epoch at least"):
        phases_of("lp_ft(10 epochs)")


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        ("lpft", "Did you mean 'lp_ft'"),
        ("head(3 epochs)", "Expected: head:"),
        ("lp_ft(3)", "such as '10 epochs'"),
        ("lp_ft(3 epochs, fast)", "Expected a number"),
        ("lp_ft(3 epochs", "Expected a name"),
    ],
)
def test_a_recipe_that_is_none_says_what_is_expected(recipe, message):
    with pytest.raises(errors.InputError, match=message):
        trainable.make_trainable_schedule(recipe, BLOCKS)


def test_phases_are_checked_against_the_variables():
    schedule = (Phase(Duration(0, "steps"), ("neck/.*",)),)
    with pytest.raises(errors.InputError, match="'neck/.*'"):
        trainable.validate(schedule, PATHS)
    with pytest.raises(errors.InputError, match="Expected the first to start at 0"):
        trainable.validate((Phase(Duration(1, "epochs"), ("head/.*",)),), PATHS)
