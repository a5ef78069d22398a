import pytest

from kft import errors, paths, trainable
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


def test_top_blocks_trains_so_many_blocks_and_the_head():
    assert phases_of("top_blocks(1)")[0][2].trainable == ("body/.*", "head/.*")
    assert phases_of("top_blocks(0)")[0][2].trainable == ("head/.*",)
    assert phases_of("top_blocks(2)")[0][2].trainable == BLOCKS


def test_gradual_adds_a_block_from_the_top_each_time():
    phases = phases_of("gradual")
    assert [(first, end) for first, end, _ in phases] == [(0, 1), (1, 2), (2, 10)]
    assert [phase.trainable for _, _, phase in phases] == [BLOCKS[-1:], BLOCKS[-2:], BLOCKS]
    assert {phase.layer_decay for _, _, phase in phases} == {2.6**-1.5}


def test_the_range_of_gradual_is_that_of_the_paper():
    """ULMFiT has four layers, each 2.6 times slower than the one above: 2.6 ** 3 in all, for three below the top."""
    blocks = ("a/.*", "b/.*", "c/.*", "head/.*")
    assert trainable.make_trainable_schedule("gradual", blocks)[0].layer_decay == pytest.approx(1 / 2.6)


def test_blocks_can_join_in_groups():
    blocks = (*(f"block_{number}/.*" for number in range(7)), "head/.*")
    schedule = trainable.make_trainable_schedule("gradual(2 epochs, 3)", blocks)
    assert [str(phase.start) for phase in schedule] == ["0 steps", "2 epochs", "4 epochs", "6 epochs"]
    assert [len(phase.trainable) for phase in schedule] == [1, 3, 6, 8]
    assert all(phase.trainable == blocks[-len(phase.trainable) :] for phase in schedule)


def test_chain_thaw_trains_head_then_each_block_alone_then_everything():
    phases = phases_of("chain_thaw")
    assert [phase.trainable for _, _, phase in phases] == [("head/.*",), ("stem/.*",), ("body/.*",), BLOCKS]


@pytest.mark.parametrize(
    ("recipe", "trains"),
    [
        ("bias_only", {"body/bias", "norm/beta", "head/kernel", "head/bias"}),
        ("norm_only", {"norm/gamma", "norm/beta", "head/kernel", "head/bias"}),
        (r"patterns(body/k.*, head/(kernel|bias))", {"body/kernel", "head/kernel", "head/bias"}),
    ],
)
def test_what_is_chosen_by_name(recipe, trains):
    variables = ["body/kernel", "body/bias", "norm/gamma", "norm/beta", "head/kernel", "head/bias"]
    (phase,) = trainable.make_trainable_schedule(recipe, BLOCKS)
    assert set(paths.select(variables, phase.trainable, what="trainable")) == trains


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
        ("top_blocks", "Expected: top_blocks"),
        ("top_blocks(3)", "from 0 to 2"),
        ("gradual(1 epoch, 0)", "from 1 to 2"),
        ("patterns", "Expected one pattern at least"),
    ],
)
def test_a_recipe_that_is_none_says_what_is_expected(recipe, message):
    with pytest.raises(errors.InputError, match=message):
        trainable.make_trainable_schedule(recipe, BLOCKS)


def test_phases_are_checked_against_the_variables():
    schedule = (Phase(Duration(0, "steps"), ("neck/.*",)),)
    with pytest.raises(errors.InputError, match="'neck/.*'"):
        trainable.validate(schedule, PATHS)
    decays = [Phase(Duration(n, "epochs"), ("head/.*",), layer_decay=decay) for n, decay in ((0, 1.0), (1, 0.5))]
    with pytest.raises(errors.InputError, match="Expected one for all"):
        trainable.validate(decays, PATHS)
    with pytest.raises(errors.InputError, match="Expected the first to start at 0"):
        trainable.validate((Phase(Duration(1, "epochs"), ("head/.*",)),), PATHS)
