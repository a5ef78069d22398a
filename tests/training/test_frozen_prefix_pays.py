"""What is frozen is stored where that pays."""

import dataclasses

import pytest

from kft import errors
from kft.training import activation_store, activations, frozen_prefix
from tests.training.prefix_models import (
    always_pays,  # noqa: F401
    assert_same,
    compile_model,
    image_batches,
    phases,
    residual_model,
    train,
)


def test_what_pays_is_measured_and_said(monkeypatch, capsys):
    monkeypatch.setattr(frozen_prefix.FrozenPrefix, "_pays", lambda *_: lambda *_: False)
    history, _ = train(compile_model(residual_model()), phases((0, 1)), cache="exact")
    assert all("storing would cost more than computing" in decision["text"] for decision in history.cache)


def test_what_is_read_once_is_not_stored(monkeypatch):
    monkeypatch.undo()
    history, _ = train(compile_model(residual_model()), phases((0, 1)), epochs=1, cache="exact")
    assert "not be read more often than it is computed" in history.cache[0]["text"]


def test_nothing_frozen_is_nothing_stored():
    history, _ = train(compile_model(residual_model()), phases((0, 5)), cache="exact", epochs=1)
    assert all("nothing is frozen" in decision["text"] for decision in history.cache)


def test_no_room_is_no_store(monkeypatch, tmp_path):
    monkeypatch.setattr(activation_store.shutil, "disk_usage", lambda _: type("Usage", (), {"free": 10}))
    history, _ = train(compile_model(residual_model()), phases((0, 1)), cache="exact", cache_budget=1)
    assert not history.cache[0]["stored"] and "nor the disk" in history.cache[0]["text"]


def test_auto_is_exact_in_memory_and_off_where_it_cannot_be(tmp_path, monkeypatch):
    """Decided without a clock: what is measured does not matter."""
    monkeypatch.undo()
    monkeypatch.setattr(activations.Activations, "_time_to_read", lambda *_: 1e9)
    exact = train(compile_model(residual_model()), phases((0, 3)), cache="auto", cache_folder=tmp_path)
    assert exact[0].cache[0]["stored"]
    assert_same(exact[1], train(compile_model(residual_model()), phases((0, 3)), cache="off")[1])
    for expected, options in (
        ("augmented at random", {"data": image_batches(random=True)}),
        ("do not fit the budget", {"cache_budget": 1}),
        ("not be read more often", {"epochs": 1}),
    ):
        options = {"epochs": 2, **options}
        history, _ = train(compile_model(residual_model()), phases((0, 3)), cache="auto", **options)
        assert not history.cache[0]["stored"] and expected in history.cache[0]["text"]
    assert train(
        compile_model(residual_model()), phases((0, 3)), data=image_batches(random=True), cache="auto", cache_views=2
    )[0].cache[0]["stored"]


def test_an_unknown_cache_is_refused():
    with pytest.raises(errors.InputError, match="Did you mean 'exact'"):
        train(compile_model(residual_model()), phases((0, 1)), cache="exakt")


@pytest.mark.parametrize(("seconds_of_reading", "pays"), [((2.0, 5.0, 8.0), True), ((2.0, 5.0, 40.0), False)])
def test_each_phase_is_counted_with_what_it_computes_and_reads(monkeypatch, capsys, seconds_of_reading, pays):
    """Three phases of 4, 2 and 1 epochs, which would compute all, a half and a quarter of the pass in each.

    Without, 10 s * (4 + 2 / 2 + 1 / 4) = 52.5 s for a batch; with, 10 s and 1 s to write, and the reading of each
    phase's own tensors: 4 * 2 s + 2 * 5 s + 8 s = 26 s, or 58 s.
    """
    monkeypatch.undo()
    model = compile_model(residual_model())
    prefix = frozen_prefix.FrozenPrefix(
        model, (), mode="exact", views=0, storage=activation_store.Storage(0, None), report=print
    )
    plan = frozen_prefix.PhasePlan(4, frozenset(), {}, ("top",), 8)
    plans = [plan, dataclasses.replace(plan, epochs=2, crossing=("middle",), num_operations=4)]
    plans.append(dataclasses.replace(plan, epochs=1, crossing=("bottom",), num_operations=2))
    reading = dict(zip((("top",), ("middle",), ("bottom",)), seconds_of_reading, strict=True))
    stored = activations.Activations(
        model, image_batches(), mode="exact", views=1, storage=activation_store.Storage(0, None)
    )
    steps = stored.data.steps_per_epoch
    assert prefix._pays(plans, stored)(10.0, 1.0, reading.__getitem__) is pays
    assert f"about {52.5 * steps:.1f} s computed in every epoch" in capsys.readouterr().out
