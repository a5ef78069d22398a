"""Precision and XLA by measuring: no trace in the run, a budget, and the same again when it goes on."""

import json
import random

import keras
import numpy as np
import pytest
import tensorflow as tf

from kft import training
from kft.run import from_flat, measuring, setup, train_and_evaluate
from tests.run.conftest import TINY

SETTINGS = {**TINY, "length": "2 epochs", "trainable": "lp_ft(1 epochs)", "precision": "auto", "embeddings": 0}


@pytest.fixture
def any_length(monkeypatch):
    """As if the run were long, on a CPU that has bfloat16."""
    monkeypatch.setattr(measuring, "FEWEST_STEPS", 1)
    monkeypatch.setattr(measuring, "SHARE", 1e6)
    monkeypatch.setattr(training, "this_machine", lambda: training.Machine(0, True))


def timings(monkeypatch, seconds):
    """Steps that take so long, by (precision, compiled)."""

    def time_step(model, batch, *, xla):
        measured.append((training.precision_of(model), xla))
        return training.Timing(0.0, seconds[measured[-1]])

    measured = []
    monkeypatch.setattr(training, "time_step", time_step)
    return measured


def decide(photos, workdir, **settings):
    config = from_flat({**photos, **SETTINGS, **settings})
    return measuring.decide(config, setup.load_sources(config).train, workdir), config


@pytest.mark.parametrize(
    ("lower", "compiled", "chosen"),
    [(0.8, 2.0, ("mixed_bfloat16", False)), (1.2, 0.5, ("float32", True)), (0.97, 0.97, ("float32", False))],
)
def test_the_fastest_is_taken_where_it_is_worth_it(lower, compiled, chosen, any_length, monkeypatch, photos, tmp_path):
    seconds = {("float32", False): 1.0, ("mixed_bfloat16", False): lower}
    seconds |= {("float32", True): compiled, ("mixed_bfloat16", True): 2.0}
    measured = timings(monkeypatch, seconds)
    choice, config = decide(photos, tmp_path)
    assert (choice.precision, choice.xla) == chosen
    assert measured == [("float32", False), ("mixed_bfloat16", False), (chosen[0], True)]
    assert "measured: 1000.0 ms a step" in choice.reasons["precision"] and len(choice.timings) == 3
    measuring.write(tmp_path, config, choice)
    again, _ = decide(photos, tmp_path)
    assert again == choice and len(measured) == 3
    assert decide(photos, tmp_path, precision="float32", xla="off")[0].reasons["xla"] == "asked for"


def test_a_short_run_is_not_measured(monkeypatch, photos, tmp_path):
    measured = timings(monkeypatch, {})
    choice, _ = decide(photos, tmp_path)
    assert not measured and "not measured, as there are only 12 steps" in choice.reasons["xla"]


def test_what_would_cost_a_twentieth_of_the_run_is_not_measured(any_length, monkeypatch, photos, tmp_path):
    monkeypatch.setattr(measuring, "SHARE", 1e-9)
    measured = timings(monkeypatch, {("float32", False): 1.0})
    choice, _ = decide(photos, tmp_path)
    assert measured == [("float32", False)] and "more than a twentieth" in choice.reasons["xla"]


def test_depthwise_convolutions_are_known(any_length, monkeypatch, photos, tmp_path):
    measured = timings(monkeypatch, {})
    settings = {"backbone": "mobilenet_v2_0.35", "image_size": 32, "precision": "float32"}
    choice, _ = decide(photos, tmp_path, **settings)
    assert not measured and not choice.xla and "depthwise" in choice.reasons["xla"]


def test_the_run_has_the_bits_of_one_that_was_told(any_length, monkeypatch, photos, tmp_path):
    """Really measured; what was decided, and why, is in run.json."""
    config = from_flat({**photos, **SETTINGS})
    result = train_and_evaluate(config, tmp_path / "measured", verbose=0)
    decided = json.loads((tmp_path / "measured" / "run.json").read_text())
    assert set(decided["ms_per_step"]) >= {"float32, not compiled", "mixed_bfloat16, not compiled"}
    assert "measured" in decided["reasons"]["precision"]
    told = {"precision": decided["precision"], "xla": "on" if decided["xla"] else "off"}
    again = train_and_evaluate(from_flat({**photos, **SETTINGS, **told}), tmp_path / "told", verbose=0)
    assert again["variables_sha256"] == result["variables_sha256"]


def test_random_numbers_and_names_go_on_as_if_nothing_had_been():
    def draw():
        layer = keras.layers.Dense(1)
        layer.build((None, 1))
        return layer.name, float(layer.kernel[0, 0]), random.random(), np.random.rand(), float(tf.random.uniform([]))

    drawn = []
    for measures in (False, True):
        keras.utils.set_random_seed(5)
        keras.backend.clear_session()
        draw()
        if measures:
            with measuring.leaving_no_trace():
                draw()
                keras.random.normal([2])
                keras.utils.set_random_seed(1)
        drawn.append((*draw(), float(keras.random.normal([]))))
    assert drawn[0] == drawn[1]
