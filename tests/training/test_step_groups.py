"""Several steps in one call: the same bits, and everything that looks on sees what it has to see."""

import keras
import numpy as np
import pytest

from kft import errors, optimizers
from kft.training import checkpoint_files, fine_tune, step_groups
from tests.training import test_checkpoint
from tests.training.models import crossentropy, examples, make_model, padded, values

STEPS = 7


def trained(size, *, strategy=None, rule="adamw", jit=False, callbacks=(), model=None, epochs=2, **options):
    """Weights, the optimizer's state, and the losses."""
    keras.backend.clear_session()
    model = model or make_model(strategy, dropout=0.3, batchnorm="train")
    with model.distribute_strategy.scope():
        optimizer = optimizers.make_optimizer(rule, learning_rate=0.05, clip_global_norm=1.0, options=options)
        model.compile(optimizer, crossentropy(), metrics=["accuracy"], steps_per_execution=size, jit_compile=jit)
    data = padded(*examples(8 * STEPS - 3), 8)
    history = model.fit(data, epochs=epochs, validation_data=data, verbose=0, callbacks=list(callbacks)).history
    named = {str(index): v.numpy() for index, v in enumerate([*model.variables, *optimizer.variables])}
    return named | {name: np.array(value) for name, value in history.items()}


def assert_same(first, second):
    assert first.keys() == second.keys()
    for name, value in first.items():
        np.testing.assert_array_equal(second[name], value, err_msg=name)


KINDS = {
    "plain": {},
    "accumulated and averaged": {"accumulate_steps": 2, "use_ema": True, "ema_momentum": 0.8},
    "sam": {"rule": "sam"},
    "xla": {"jit": True},
}


@pytest.mark.parametrize("kind", KINDS)
def test_groups_of_steps_give_the_same_bits(kind):
    """Seven steps an epoch, so that the last group is short; dropout, BatchNorm, metrics, validation."""
    assert_same(trained(1, **KINDS[kind]), trained(4, **KINDS[kind]))


def test_groups_of_steps_give_the_same_bits_on_replicas(mirrored_pair):
    assert_same(trained(1, strategy=mirrored_pair), trained(3, strategy=mirrored_pair))


def test_a_rule_of_keras_takes_groups_too():
    model = make_model()
    alone, grouped = [], []
    for size, states in ((1, alone), (5, grouped)):
        model = make_model()
        model.compile(keras.optimizers.Adam(0.05), crossentropy(), steps_per_execution=size)
        model.fit(padded(*examples(56), 8), epochs=2, verbose=0)
        states += values(model.weights).values()
    for first, second in zip(alone, grouped, strict=True):
        np.testing.assert_array_equal(first, second)


class Batches(keras.callbacks.Callback):
    def on_train_begin(self, logs=None):
        self.seen, self.losses = [], []

    def on_train_batch_begin(self, batch, logs=None):
        self.seen.append(batch)

    def on_train_batch_end(self, batch, logs=None):
        self.seen.append(batch)
        self.losses.append(float(logs["loss"]))


def test_callbacks_are_told_the_first_and_the_last_step_of_each_group():
    each, groups = Batches(), Batches()
    trained(1, callbacks=[each], epochs=1)
    trained(3, callbacks=[groups], epochs=1)
    assert groups.seen == [0, 2, 3, 5, 6, 6]
    assert groups.losses == [each.losses[index] for index in (2, 5, 6)]


@pytest.mark.parametrize("replicas", [1, 2])
@pytest.mark.parametrize("optimizer", ["ours", "keras"])
def test_a_bad_number_stops_at_its_step_within_a_group(mirrored_pair, replicas, optimizer):
    """One NaN among the features of the third batch: the weights are those after the second."""
    x, y = examples(48)

    def run(size, count):
        model = make_model(mirrored_pair if replicas == 2 else None)
        with model.distribute_strategy.scope():
            ours = optimizers.make_optimizer("adam", learning_rate=0.1)
            rule = ours if optimizer == "ours" else keras.optimizers.Adam(0.1)
            model.compile(rule, crossentropy(), steps_per_execution=size)
        try:
            model.fit(padded(x[:count], y[:count], 8), verbose=0)
        except errors.NonFiniteError as error:
            return values(model.weights), str(error)
        return values(model.weights), None

    expected, _ = run(1, 16)
    x[17, 2] = np.nan
    left, error = run(6, 48)
    assert "step 3 (epoch 1, batch 3)" in error and "row 1" in error
    for path, value in left.items():
        np.testing.assert_array_equal(value, expected[path])


def test_a_checkpoint_is_saved_at_its_very_step(tmp_path):
    """Every 2 of 3 steps, in groups of up to 8: resumed from the middle of an epoch it ends in the same bits."""
    whole = test_checkpoint.run(tmp_path / "whole")
    assert test_checkpoint.run(tmp_path / "cut", every="2 steps", steps_per_execution=8, stop_after=3) is None
    saved = checkpoint_files.load_newest(tmp_path / "cut")
    assert (saved.facts["epoch"], saved.facts["step"]) == (1, 2)
    assert test_checkpoint.run(tmp_path / "cut", every="2 steps", steps_per_execution=8)[:2] == whole[:2]


def test_a_group_looks_for_signals_when_it_takes_long(monkeypatch):
    """Hooks are called in between, callbacks when all of its steps are done."""
    monkeypatch.setattr(step_groups, "LONGEST_SECONDS", 0.0)
    model, batches, seen = make_model(), Batches(), []
    model.step_hooks.append(lambda: seen.append((model.place.steps, int(model.optimizer.iterations.numpy()))))
    model.compile(optimizers.make_optimizer("adam", learning_rate=0.1), crossentropy(), steps_per_execution=4)
    model.fit(padded(*examples(32), 8), verbose=0, callbacks=[batches])
    assert seen == [(1, 1), (1, 2), (1, 3), (1, 4)] and batches.seen == [0, 3]


def test_what_is_measured_chooses(monkeypatch):
    """Small steps are grouped; those that take long are not, nor those of a training that ends soon."""
    model = make_model()
    model.compile(optimizers.make_optimizer("adam", learning_rate=0.1), crossentropy(), steps_per_execution=0)
    data = padded(*examples(800), 8)
    model.fit(data, epochs=20, verbose=0)
    (decision,) = model.groups.decisions
    assert decision["steps_per_execution"] >= 1 and decision["ms_per_step_alone"] > 0
    monkeypatch.setattr(step_groups, "SLOW_STEP_SECONDS", 0.0)
    model.make_train_function(force=True)
    model.fit(data, epochs=1, verbose=0)
    assert model.groups.decisions[1]["steps_per_execution"] == 1
    monkeypatch.setattr(step_groups, "SLOW_STEP_SECONDS", 1e9)
    model.make_train_function(force=True)
    model.fit(data, epochs=1, verbose=0)
    assert "too few steps" in model.groups.decisions[2]["reason"]


def test_phases_go_on_in_groups():
    keras.backend.clear_session()
    results = []
    for size in (1, 5):
        model = make_model(dropout=0.3)
        optimizer = optimizers.make_optimizer("adamw", learning_rate=0.05)
        model.compile(optimizer, crossentropy(), steps_per_execution=size)
        fine_tune(model, test_checkpoint.batches(), "lp_ft(1 epochs, 2)", epochs=3, verbose=0)
        results.append(values(model.weights))
    for path, value in results[0].items():
        np.testing.assert_array_equal(results[1][path], value)


def test_less_than_no_step_is_refused():
    with pytest.raises(errors.InputError, match="steps_per_execution=-1"):
        make_model().compile("sgd", crossentropy(), steps_per_execution=-1)
