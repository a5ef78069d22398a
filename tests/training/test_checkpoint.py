import contextlib

import keras
import numpy as np
import pytest

from experiments import resume_victim
from kft import data, errors, optimizers, schedules
from kft.training import (
    Checkpoint,
    KeepBest,
    checkpoint_files,
    fine_tune,
    frozen_prefix,
    training_state,
    variables_sha256,
)
from tests.training.models import crossentropy, examples, make_model, make_normalizing

EPOCHS, BATCH = 4, 8
PHASES = "lp_ft(1 epochs, 2)"


def batches(shuffle=True):
    x, y = examples(22)
    source = data.from_arrays(np.uint8(np.clip(x * 40 + 128, 0, 255)).reshape(-1, 2, 4, 1), y)
    return data.batches(
        source,
        encode=lambda raw, seed: raw["image"],
        preprocess=flat,
        global_batch_size=BATCH,
        seed=3,
        shuffle=shuffle,
    )


def flat(images):
    return keras.ops.reshape(keras.ops.cast(images, "float32") / 64.0 - 2.0, (-1, 8))


def run(
    folder,
    *,
    every="1 steps",
    stop_after=None,
    optimizer="adamw",
    plateau=False,
    leave_out=None,
    best="min",
    phases=PHASES,
    cache="off",
    steps_per_execution=1,
    **options,
):
    """Trains through two phases, with dropout, early stopping and a schedule; the digest of all that is left."""
    keras.backend.clear_session()
    model = make_model(dropout=0.3, batchnorm="train")
    rate = schedules.make_schedule("cosine", learning_rate=0.05, total_steps=12, warmup_steps=2)
    if plateau:
        rate = schedules.Plateau(rate, factor=0.5, patience=1, mode="min")
    rule = optimizers.make_optimizer(optimizer, learning_rate=rate, options=options)
    model.compile(rule, crossentropy(), metrics=["accuracy"], steps_per_execution=steps_per_execution)
    keep = KeepBest("val_loss", mode=best)
    checkpoint = Checkpoint(folder, every=every, facts={"seed": 3}, keep=2)
    callbacks = [keep, SetLossScale(), *([schedules.PlateauCallback(rate)] if plateau else []), checkpoint]
    if stop_after is not None:
        callbacks.append(StopAfter(stop_after))
    try:
        with resume_victim.leaving_out(leave_out) if leave_out else contextlib.nullcontext():
            history = fine_tune(
                model,
                batches(),
                phases,
                epochs=EPOCHS,
                validation_data=batches(False),
                callbacks=callbacks,
                verbose=0,
                cache=cache,
            )
    except Stopped:
        return None
    rows = {name: values[-1] for name, values in history.history.items()}
    state = [*model.optimizer.variables, *model.variables, *getattr(rate, "variables", ())]
    return variables_sha256(state), rows, keep.best_epoch, keep.best_value


class Stopped(Exception):
    """The run was cut off."""


class StopAfter(keras.callbacks.Callback):
    """Cuts a run off after so many steps of this process."""

    def __init__(self, steps):
        super().__init__()
        self.left = steps

    def on_epoch_begin(self, epoch, logs=None):
        if self._count not in self.model.step_hooks:  # after that of the checkpoint
            self.model.step_hooks.append(self._count)

    def _count(self):
        self.left -= 1
        if self.left == 0:
            raise Stopped


class SetLossScale(keras.callbacks.Callback):
    """As if an update had not been finite."""

    def on_epoch_begin(self, epoch, logs=None):
        if epoch == 0 and self.model.optimizer.loss_scale_factor == "dynamic":
            self.model.optimizer.loss_scale.assign(2.0**11)


VARIANTS = {
    "adamw": {},
    "the first epoch is the best": {"best": "max"},
    "momentum, averages": {"optimizer": "momentum", "use_ema": True, "ema_momentum": 0.8},
    "slots in bfloat16": {"slot_dtype": "bfloat16"},
    "dynamic loss scale": {"optimizer": "adam", "loss_scale_factor": "dynamic"},
    "adam, accumulation, plateau": {"optimizer": "adam", "accumulate_steps": 2, "plateau": True},
}
UNINTERRUPTED = {}


def uninterrupted(variant, tmp_path_factory):
    if variant not in UNINTERRUPTED:
        UNINTERRUPTED[variant] = run(tmp_path_factory.mktemp("whole"), **VARIANTS[variant])
    return UNINTERRUPTED[variant]


ALL = [(variant, steps) for variant in VARIANTS for steps in (1, 3, 5, 8, 11)]
QUICK = [
    ("adamw", 1),
    ("adamw", 11),
    ("momentum, averages", 5),
    ("slots in bfloat16", 5),
    ("adam, accumulation, plateau", 8),
]


@pytest.mark.parametrize(
    ("variant", "steps"), [case if case in QUICK else pytest.param(*case, marks=pytest.mark.slow) for case in ALL]
)
def test_a_run_cut_off_after_any_step_ends_as_if_it_was_not(variant, steps, tmp_path, tmp_path_factory):
    """R2, R3: within the first epoch, at the end of a phase, within a later epoch, at the last step but one."""
    assert run(tmp_path, stop_after=steps, **VARIANTS[variant]) is None
    assert run(tmp_path, **VARIANTS[variant]) == uninterrupted(variant, tmp_path_factory)


@pytest.mark.slow
@pytest.mark.parametrize("use_ema", [False, True])
@pytest.mark.parametrize("optimizer", optimizers.OPTIMIZERS)
def test_every_optimizer_goes_on_to_the_same_bits(optimizer, use_ema, tmp_path):
    """R3: cut off within the second phase; averages are those of our optimizers."""
    if optimizer == "ftrl":
        pytest.skip("Keras' Ftrl makes NaN of a rate of 0, with which the warm-up begins")
    if use_ema and not optimizers.OPTIMIZERS[optimizer].startswith("kft."):
        pytest.skip(f"{optimizer} is of Keras, whose averages the model does not show")
    options = {"optimizer": optimizer, **({"use_ema": True} if use_ema else {})}
    assert run(tmp_path / "parts", stop_after=5, **options) is None
    assert run(tmp_path / "parts", **options) == run(tmp_path / "whole", **options)


@pytest.mark.slow
def test_a_run_cut_off_again_and_again_ends_as_if_it_was_not(tmp_path, tmp_path_factory):
    for steps in (2, 1, 4, 3):
        assert run(tmp_path, stop_after=steps) is None
    assert run(tmp_path) == uninterrupted("adamw", tmp_path_factory)


def test_a_run_that_had_ended_gives_its_result_again(tmp_path):
    whole = run(tmp_path)
    assert run(tmp_path)[0] == whole[0]


@pytest.mark.parametrize("phases", ["lp_ft(3 epochs)", "gradual(1 epochs)"])
@pytest.mark.parametrize("steps", [1, 5, 10])
def test_a_run_with_a_stored_frozen_part_goes_on_to_the_same_bits(steps, phases, tmp_path, monkeypatch):
    """The pass over the data is made again, from its start, also where it was made from an earlier cut."""
    monkeypatch.setattr(frozen_prefix.FrozenPrefix, "_pays", lambda *_: lambda *_: True)
    cached = {"phases": phases, "cache": "exact"}
    whole = run(tmp_path / "whole", **cached)
    assert run(tmp_path / "parts", stop_after=steps, **cached) is None
    assert run(tmp_path / "parts", **cached) == whole


def test_what_was_decided_by_the_clock_is_decided_again(tmp_path, monkeypatch):
    """Whether it pays to store is measured; a run that goes on does as it did before."""
    cached = {"phases": "lp_ft(3 epochs)", "cache": "exact"}
    monkeypatch.setattr(frozen_prefix.FrozenPrefix, "_pays", lambda *_: lambda *_: True)
    assert run(tmp_path, stop_after=4, **cached) is None
    asked, stored_before = [], []
    monkeypatch.setattr(frozen_prefix.FrozenPrefix, "_pays", lambda *_: lambda *_: asked.append(1))
    say = frozen_prefix.FrozenPrefix._say

    def listen(self, *args, size=0):
        stored_before.append(size > 0)
        return say(self, *args, size=size)

    monkeypatch.setattr(frozen_prefix.FrozenPrefix, "_say", listen)
    assert run(tmp_path, **cached) is not None
    assert not asked and stored_before[:2] == [True, True]


LEFT_OUT = [
    ("adamw", "seed/"),
    ("the first epoch is the best", "callback/KeepBest"),
    ("adamw", "weight/"),
    ("adamw", "optimizer/m/"),
    ("adamw", "optimizer/v/"),
    ("adamw", "optimizer/steps"),
    ("adamw", "optimizer/iteration"),
    ("adamw", "metric/"),
    ("adamw", "position"),
    ("momentum, averages", "optimizer/average/"),
    ("adam, accumulation, plateau", "optimizer/accumulated/"),
    ("adam, accumulation, plateau", "optimizer/accumulated_weight"),
    ("adam, accumulation, plateau", "schedule/"),
    ("dynamic loss scale", "optimizer/loss_scale"),
]


@pytest.mark.parametrize(
    ("variant", "name"),
    [case if case[1] in ("seed/", "position") else pytest.param(*case, marks=pytest.mark.slow) for case in LEFT_OUT],
)
def test_what_is_not_saved_is_missed(variant, name, tmp_path, tmp_path_factory):
    """R4, the negative control: without one of the things saved, the run ends otherwise."""
    assert run(tmp_path, stop_after=10, **VARIANTS[variant]) is None
    assert run(tmp_path, leave_out=name, **VARIANTS[variant]) != uninterrupted(variant, tmp_path_factory)


def test_a_changed_setting_is_refused_by_name(tmp_path):
    model = make_model()
    model.compile(optimizers.make_optimizer("adam", learning_rate=0.1), crossentropy())
    model.fit(batches(), epochs=1, verbose=0, callbacks=[Checkpoint(tmp_path, facts={"seed": 3, "rate": 0.1})])
    with pytest.raises(errors.InputError, match="rate was 0.1 and is 0.2"):
        model.fit(batches(), epochs=2, verbose=0, callbacks=[Checkpoint(tmp_path, facts={"seed": 3, "rate": 0.2})])
    forced = Checkpoint(tmp_path, facts={"seed": 3, "rate": 0.2}, force=True)
    assert model.fit(batches(), epochs=2, verbose=0, callbacks=[forced]).epoch == [1]


def test_another_optimizer_is_refused_with_the_variables(tmp_path):
    for name, message in (("adam", None), ("momentum", "left over 'optimizer/m/")):
        model = make_model()
        model.compile(optimizers.make_optimizer(name, learning_rate=0.1), crossentropy())
        if message is None:
            model.fit(batches(), epochs=1, verbose=0, callbacks=[Checkpoint(tmp_path)])
        else:
            with pytest.raises(errors.InputError, match=message):
                model.fit(batches(), epochs=2, verbose=0, callbacks=[Checkpoint(tmp_path)])


def test_plain_fit_goes_on_where_it_was_killed(tmp_path):
    def fit(folder, stop_after=None):
        keras.backend.clear_session()
        model = make_model(dropout=0.3)
        model.compile(optimizers.make_optimizer("adam", learning_rate=0.1), crossentropy(), metrics=["accuracy"])
        callbacks = [Checkpoint(folder, every="1 steps")] + ([StopAfter(stop_after)] if stop_after else [])
        try:
            history = model.fit(batches(), epochs=3, verbose=0, callbacks=callbacks)
        except Stopped:
            return None
        return variables_sha256([*model.variables, *model.optimizer.variables]), history.history["loss"][-1]

    whole = fit(tmp_path / "whole")
    assert fit(tmp_path / "parts", stop_after=5) is None
    assert fit(tmp_path / "parts") == whole


def test_normalization_computes_with_what_was_restored(tmp_path):
    rows = np.random.default_rng(0).uniform(0, 255, (20, 3)).astype("float32")
    saved, model = make_normalizing(rows), make_normalizing()
    for one in (saved, model):
        one.compile(keras.optimizers.SGD(), "mse")
    model(rows)
    arrays = training_state.copy(training_state.variables(saved))
    training_state.restore(model, checkpoint_files.Saved(tmp_path, 0, arrays, {}, {}, ()), tmp_path)
    np.testing.assert_array_equal(model(rows), saved(rows))
