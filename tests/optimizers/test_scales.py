"""Scales of rate and decay."""

import pathlib
import re

import pytest

from kft import paths
from kft.optimizers import ParamScales, layerwise_decay, no_decay_on_bias_and_norm

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent


def test_layerwise_decay_falls_to_the_bottom():
    rules = layerwise_decay(["stem/.*", "block_1/.*", "block_2/.*", "head/.*"], 0.5)
    assert [scale for _, scale in rules] == [0.125, 0.25, 0.5, 1.0]
    with pytest.raises(ValueError, match=r"Got layer decay 0\. Expected a number in \(0, 1\]"):
        layerwise_decay(["a"], 0)


def test_biases_and_norms_do_not_decay():
    members = ["dense/kernel", "dense/bias", "norm/gamma", "norm/beta", "alphabeta/kernel", "bias"]
    scales = paths.assign(members, no_decay_on_bias_and_norm(members), what="scale")
    assert [name for name in members if scales[name] == 0] == ["dense/bias", "norm/gamma", "norm/beta", "bias"]
    for some in (["dense/kernel"], ["dense/bias"], []):
        paths.assign(some, no_decay_on_bias_and_norm(some), what="scale")


def test_a_rate_of_0_is_refused_and_points_to_freezing():
    """FACTS 5."""
    with pytest.raises(ValueError, match=r"Got learning-rate scale 0\.0 for 'a'.*To freeze layers, use kft\.trainable"):
        ParamScales(learning_rate=[("a", 0.0)])
    with pytest.raises(ValueError, match=r"Got weight-decay scale -1\.0"):
        ParamScales(weight_decay=[("a", -1.0)])


def test_the_page_runs():
    text = (ROOT / "docs" / "optimizers.md").read_text(encoding="utf-8")
    for code in re.findall(r"```python\n(.*?)```", text, re.S):
        exec(compile(code, "optimizers.md", "exec"), {})


def test_the_page_names_every_rule():
    from kft.optimizers import OPTIMIZERS

    text = (ROOT / "docs" / "optimizers.md").read_text(encoding="utf-8")
    assert all(f"`{name}`" in text for name in OPTIMIZERS)
