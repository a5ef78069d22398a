"""What every text encoder must do, over a small random one of each family."""

import contextlib
import dataclasses
import functools
import itertools
import re

import keras
import numpy as np
import pytest
import tensorflow as tf

from kft import errors, optimizers, tasks, training
from kft.models import BACKBONES, bert, make_backbone, weights

MEMBERS = [name for name, place in BACKBONES.items() if "tiny_text" in place]
POOLERS = {"albert_tiny_random", "bert_tiny_random", "electra_tiny_random", "f_net_tiny_random"}
TEXTS = ["what is it?", "a much longer text, 42", "x"]


@functools.cache
def member(name, copy=0):
    return make_backbone(name)


def batch(backbone, texts=TEXTS, length=None):
    encoded = backbone.tokenizer.encode(texts)
    rows = [backbone.tokenizer.pack(encoded.token_ids[a:b]) for a, b in itertools.pairwise(encoded.offsets)]
    length = length or max(len(ids) for ids, _ in rows)
    x = {name: np.zeros((len(rows), length), "int32") for name in ("token_ids", "segment_ids", "padding_mask")}
    for index, (ids, segments) in enumerate(rows):
        x["token_ids"][index, : len(ids)] = ids
        x["segment_ids"][index, : len(ids)] = segments
        x["padding_mask"][index, : len(ids)] = 1
    return {name: x[name] for name in backbone.model.input}


def model_of(name, pooling="auto", blocks=None):
    keras.utils.set_random_seed(0)
    backbone = make_backbone(name, pooling=pooling)
    task = tasks.make_task("image_classification", label_names=["a", "b", "c"])
    model = training.build_model(backbone, task)
    if blocks is not None:
        model.set_trainable([model.blocks[index] for index in blocks])
    optimizer = optimizers.make_optimizer("gradient_descent", learning_rate=0.1)
    model.compile(optimizer, loss=task.loss, metrics=task.metrics())
    return backbone, model


def test_every_family_has_a_small_one():
    assert {name.removesuffix("_tiny_random") for name in MEMBERS} == set(bert.FAMILIES)


@pytest.mark.parametrize("name", MEMBERS)
def test_blocks_take_every_weight_once_from_bottom_to_top(name):
    backbone = member(name)
    layers = 1 if name.startswith("albert") else 2  # ALBERT's layers share their weights: one block
    assert len(backbone.blocks) == 1 + layers + (name in POOLERS)
    places = [[] for _ in backbone.blocks]
    for place, weight in enumerate(backbone.model.weights):
        found = [index for index, block in enumerate(backbone.blocks) if re.fullmatch(block, weight.path)]
        assert len(found) == 1, weight.path
        places[found[0]].append(place)
    assert all(places)
    for below, above in itertools.pairwise(places):
        assert max(below) < min(above) or name.startswith("deberta")  # whose relative positions are made later


@pytest.mark.parametrize("name", MEMBERS)
def test_copies_have_the_same_names_and_weights_round_trip(name, tmp_path):
    backbone, second = member(name), member(name, copy=1)
    assert [v.path for v in second.model.weights] == [v.path for v in backbone.model.weights]
    file = str(tmp_path / "saved.weights.h5")
    backbone.model.save_weights(file)
    weights.load(second.model, file, what=name)
    x = batch(backbone)
    np.testing.assert_array_equal(second.model(x)["sequence_output"], backbone.model(x)["sequence_output"])
    backbone.save(tmp_path)
    again = make_backbone(f"hf:{tmp_path}", weights="none")
    assert again.blocks == backbone.blocks
    weights.load(again.model, file, what=name)
    np.testing.assert_array_equal(again.model(x)["sequence_output"], backbone.model(x)["sequence_output"])
    assert again.tokenizer.digest() == backbone.tokenizer.digest()


@pytest.mark.parametrize("name", [name for name in MEMBERS if not name.startswith("f_net")])
def test_padding_changes_nothing(name):
    """FNet mixes all positions, so there it does; the others look at tokens alone."""
    backbone = member(name)
    short, long = (backbone.model(batch(backbone, length=length))["sequence_output"] for length in (25, 40))
    mask = batch(backbone, length=25)["padding_mask"][..., None]
    np.testing.assert_allclose(short * mask, long[:, :25] * mask, atol=1e-5)


@pytest.mark.parametrize("name", MEMBERS)
def test_one_step_moves_what_trains_and_nothing_else(name):
    backbone, model = model_of(name, blocks=[0, -1])
    trained = {variable.path for variable in model.trainable_variables}
    before = {weight.path: weight.numpy() for weight in model.weights}
    model.fit(batch(backbone), np.array([0, 1, 2]), batch_size=3, epochs=1, verbose=0)
    for weight in model.weights:
        same = np.array_equal(weight.numpy(), before[weight.path])
        assert same != (weight.path in trained), weight.path


@pytest.mark.parametrize("name", MEMBERS)
def test_all_train_and_the_frozen_drop_nothing(name):
    backbone, model = model_of(name)
    before = {weight.path: weight.numpy() for weight in model.weights}
    x = batch(backbone)
    model.fit(x, np.array([0, 1, 2]), batch_size=3, epochs=2, verbose=0)
    still = {path for path, value in before.items() if np.array_equal(value, {w.path: w for w in model.weights}[path])}
    assert not {path for path in still if "key/bias" not in path}  # softmax is blind to the keys' bias
    model.set_trainable(["head/.*"])
    model._inference = model.inference_operations()
    np.testing.assert_array_equal(model(x, training=True), model(x, training=True))


FAST = ("bert_tiny_random", "deberta_v3_tiny_random")


@pytest.mark.parametrize("name", [*FAST, *(pytest.param(m, marks=pytest.mark.slow) for m in MEMBERS if m not in FAST)])
def test_xla_gives_the_same_and_trains(name):
    backbone, model = model_of(name)
    x = batch(backbone)
    expected = model.predict(x, verbose=0)
    model.jit_compile = True
    model.make_predict_function(force=True)
    np.testing.assert_allclose(model.predict(x, verbose=0), expected, atol=1e-5)
    assert np.isfinite(model.fit(x, np.array([0, 1, 2]), batch_size=3, epochs=1, verbose=0).history["loss"][0])


@pytest.mark.parametrize("pooling", ["cls", "cls_bare", "mean", "max", "attention"])
@pytest.mark.parametrize("name", ["bert_tiny_random", "roberta_tiny_random"])
def test_blocks_of_the_model_are_those_that_the_head_looks_at(name, pooling):
    if pooling == "cls" and name not in POOLERS:
        with pytest.raises(errors.InputError, match="has no pooler"):
            make_backbone(name, pooling=pooling)
        return
    _, model = model_of(name, pooling)
    assert len(model.blocks) == 4 + (pooling == "cls")
    for weight in model.weights:
        assert sum(bool(re.fullmatch(block, weight.path)) for block in model.blocks) == 1, weight.path
    assert any("head_attention" in weight.path for weight in model.weights) == (pooling == "attention")


@pytest.mark.parametrize("name", MEMBERS)
def test_the_first_token_alone_is_that_of_the_sequence_and_so_are_its_gradients(name):
    """The last layer computes nothing for the tokens that a classifier does not look at."""
    backbone = make_backbone(name)
    x = batch(backbone)
    values = [weight.value for weight in backbone.model.trainable_weights if "pooled_dense" not in weight.path]
    results = []
    for get in (lambda outputs: outputs["first_output"], lambda outputs: outputs["sequence_output"][:, 0]):
        with tf.GradientTape() as tape:
            first = get(backbone.model(x))
            loss = tf.reduce_sum(tf.sin(3 * first))
        gradients = [tf.convert_to_tensor(gradient) for gradient in tape.gradient(loss, values)]
        results.append([first, *gradients])
    for alone, expected in zip(*results):
        np.testing.assert_allclose(alone, expected, rtol=1e-4, atol=1e-5)


def test_a_classifier_has_the_last_layer_for_the_first_token_and_reinitialises_it():
    _, model = model_of("bert_tiny_random")
    assert "transformer_layer_1_first" in {layer.name for layer in model.layers}
    assert "transformer_layer_1" not in {layer.name for layer in model.layers}
    before = {weight.path: weight.numpy() for weight in model.weights}
    new = training.reinitialize(model, [model.blocks[2]])
    assert len(new) == 16
    kernels = [weight for weight in model.weights if weight.path in new and weight.path.endswith("kernel")]
    assert all(np.abs(weight.numpy() - before[weight.path]).max() > 1e-3 for weight in kernels)


def test_pairs_have_two_separators_where_the_family_has():
    for name, expected in (
        ("bert_tiny_random", "[CLS] a [SEP] b [SEP]"),
        ("roberta_tiny_random", "[CLS] a [SEP] [SEP] b [SEP]"),
    ):
        tokenizer = member(name).tokenizer
        first, second = tokenizer.encode(["a"]).token_ids, tokenizer.encode(["b"]).token_ids
        ids, segments = tokenizer.pack(first, second)
        assert " ".join(map(tokenizer.token, ids)) == expected
        assert segments.tolist() == ([0, 0, 0, 1, 1] if name.startswith("bert") else [0] * 6)
        assert len(ids) == 2 + tokenizer.num_special_tokens(pair=True)


def test_pretrained_weights_of_a_random_model_are_refused():
    with pytest.raises(errors.InputError, match="whose weights are random"):
        make_backbone("bert_tiny_random", weights="pretrained")


@pytest.mark.parametrize("pooling", ["cls", "mean", "max", "attention"])
def test_low_precision_trains_with_float32_logits(pooling):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        backbone, model = model_of("bert_tiny_random", pooling)
        assert model.output.dtype == "float32"
        assert backbone.model.output["sequence_output"].dtype == "bfloat16"
        history = model.fit(batch(backbone), np.array([0, 1, 2]), batch_size=3, epochs=2, verbose=0).history
        assert np.all(np.isfinite(history["loss"]))
        assert all(weight.dtype == "float32" for weight in model.weights)
    finally:
        keras.config.set_dtype_policy(before)


def without_dropout(name):
    """A small one that draws nothing."""
    from kft.models import text

    backbone = make_backbone(name)
    arguments = {**backbone.save.args[0].arguments, "dropout": 0.0}
    config = dataclasses.replace(backbone.save.args[0], arguments=arguments, attention_dropout=0.0)
    return text.text_backbone(name, config, *bert.encoder(config), backbone.tokenizer, "auto")


@pytest.mark.parametrize("name", [FAST[0], pytest.param(FAST[1], marks=pytest.mark.slow)])
def test_two_devices_give_what_one_gives(name, mirrored_pair):
    """With a short last batch, embeddings whose gradients are rows, and clipping."""
    texts = ["one", "two two", "three", "four four four", "five"]

    def train(scope):
        keras.utils.set_random_seed(0)
        with scope:
            backbone = without_dropout(name)
            task = tasks.make_task("text_classification", label_names=["a", "b"])
            model = training.build_model(backbone, task)
            optimizer = optimizers.make_optimizer("adamw", learning_rate=1e-3, clip_global_norm=0.5)
            model.compile(optimizer, loss=task.loss, metrics=task.metrics())
        x = batch(backbone, [*texts, "one"])
        weight = np.array([1, 1, 1, 1, 1, 0], "float32")
        y = np.array([0, 1, 0, 1, 0, 1])
        data = tf.data.Dataset.from_tensor_slices((x, y, weight)).batch(2)
        model.fit(data, epochs=3, verbose=0)
        return {weight.path: weight.numpy() for weight in model.weights}

    one, two = train(contextlib.nullcontext()), train(mirrored_pair.scope())
    for path, value in one.items():
        np.testing.assert_allclose(two[path], value, atol=1e-6, err_msg=path)
