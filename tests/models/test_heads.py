"""Heads: the declared layers, names that HEAD_BLOCK takes, float32 logits."""

import re

import keras
import numpy as np
import pytest

from kft import errors
from kft.models import HEAD_BLOCK, Features, make_head


def head_model(**arguments):
    pooled = keras.Input((6,))
    return keras.Model(pooled, make_head(Features(pooled), 3, **arguments))


def names(model):
    return [layer.name for layer in model.layers[1:]]


def test_names():
    assert names(head_model()) == ["head"]
    assert names(head_model(dropout=0.1, hidden_units=(5, 4))) == [
        "head_dropout",
        "head_hidden",
        "head_hidden_dropout",
        "head_hidden_2",
        "head_hidden_2_dropout",
        "head",
    ]


def test_samples_of_dropout_share_the_last_layer_and_are_averaged():
    keras.utils.set_random_seed(0)
    model = head_model(dropout=0.5, dropout_samples=4, hidden_units="5")
    assert len(model.weights) == 4
    x = np.random.default_rng(0).normal(size=(300, 6)).astype("float32")
    one = keras.Model(model.input, model.get_layer("head_average")._inbound_nodes[0].input_tensors[0])
    np.testing.assert_allclose(model(x, training=False), one(x, training=False), rtol=1e-5, atol=1e-6)
    draws = [np.stack([m(x, training=True).numpy() for _ in range(30)]).std(0).mean() for m in (one, model)]
    assert draws[1] < 0.85 * draws[0]  # the hidden layer's own input dropout is drawn once
    for wrong in ({"dropout_samples": 2}, {"dropout": 0.1, "dropout_samples": 0}):
        with pytest.raises(errors.InputError, match="dropout_samples"):
            head_model(**wrong)


def test_head_block_takes_every_variable_of_a_head_and_no_header():
    for weight in head_model(dropout=0.1, hidden_units="5,4,3").weights:
        assert re.fullmatch(HEAD_BLOCK, weight.path)
    assert not re.fullmatch(HEAD_BLOCK, "header/kernel")


def test_logits_are_the_declared_function():
    model = head_model(dropout=0.5, hidden_units="5", activation="tanh")
    weight, bias, top_weight, top_bias = [value.astype("float64") for value in model.get_weights()]
    x = np.random.default_rng(0).normal(size=(4, 6))
    expected = np.tanh(x @ weight + bias) @ top_weight + top_bias
    np.testing.assert_allclose(model(x.astype("float32"), training=False), expected, rtol=1e-5, atol=1e-6)


def test_logits_are_float32_under_a_low_precision():
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = head_model(hidden_units=(4,))
        assert model.get_layer("head_hidden").compute_dtype == "bfloat16"
        assert model.output.dtype == "float32"
    finally:
        keras.config.set_dtype_policy(before)


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({"dropout": 1.0}, r"\[0, 1\)"),
        ({"dropout": -0.1}, r"\[0, 1\)"),
        ({"hidden_units": "256;128"}, "whole numbers"),
        ({"hidden_units": (0,)}, "whole numbers"),
        ({"hidden_units": (2.5,)}, "whole numbers"),
        ({"activation": "rellu"}, "Did you mean 'relu'"),
    ],
)
def test_arguments_out_of_range(arguments, problem):
    with pytest.raises(errors.InputError, match=problem):
        head_model(**arguments)
