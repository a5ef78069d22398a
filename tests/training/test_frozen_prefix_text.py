"""Training on stored activations of examples that differ in length is the same training, and stores no padding."""

import itertools
import types

import keras
import numpy as np
import pytest
import tensorflow as tf

from kft import data, training
from kft.data.token_table import TokenTable
from kft.duration import Duration
from kft.trainable import Phase
from kft.training import activations, frozen_prefix
from tests.training.prefix_models import always_pays, assert_same, assert_same_history, compile_model, train  # noqa: F401

LENGTHS = np.array([3, 9, 2, 5, 5, 7, 1, 8, 4, 6, 3, 2, 9, 5, 7, 6, 1, 4, 8, 2])
SCHEDULES = {
    "top block": (Phase(Duration(0, "steps"), ("second_.*", "head/.*")),),
    "down and up": (
        Phase(Duration(0, "epochs"), ("head/.*",)),
        Phase(Duration(1, "epochs"), ("second_.*", "head/.*")),
        Phase(Duration(2, "epochs"), ("head/.*",)),
    ),
}


def tokens(count=20, *, per_token=False, shuffle=True, **options):
    random, lengths = np.random.RandomState(count), LENGTHS[:count]
    total = int(lengths.sum())
    table = TokenTable(
        token_ids=random.randint(1, 30, total).astype(np.int32),
        segment_ids=np.zeros(total, np.int8),
        offsets=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        targets=random.randint(-1 if per_token else 0, 3, total if per_token else count).astype(np.int64),
        record=np.arange(count),
        per_token=per_token,
    )
    options = {"global_batch_size": 8, **options}
    return data.token_batches(table, pad_id=0, shuffle=shuffle, inputs=("token_ids", "padding_mask"), **options)


def encoder(strategy=None, *, per_token=False, leaks=False):
    """Two blocks of attention; leaks: the second one also looks at what is behind the end of an example."""

    def block(x, mask, name):
        attention = keras.layers.MultiHeadAttention(2, 4, dropout=0.2, name=f"{name}_attention")
        x = keras.layers.Add()([x, attention(x, x, attention_mask=mask)])
        x = keras.layers.LayerNormalization(name=f"{name}_norm")(x)
        return keras.layers.Dense(8, activation="gelu", name=f"{name}_dense")(x)

    with (strategy or tf.distribute.get_strategy()).scope():
        keras.utils.set_random_seed(0)
        ids = keras.Input((None,), dtype="int32", name="token_ids")
        padding = keras.Input((None,), dtype="int32", name="padding_mask")
        mask = keras.ops.expand_dims(keras.ops.cast(padding, "bool"), 1)
        x = keras.layers.Embedding(30, 8, name="embedding")(ids)
        x = block(x, mask, "first")
        x = block(x, None if leaks else mask, "second")
        outputs = keras.layers.Dense(3, name="head")(x if per_token else x[:, 0])
        blocks = ("embedding/.*", "first_.*", "second_.*", "head/.*")
        return training.FineTuneModel({"token_ids": ids, "padding_mask": padding}, outputs, blocks=blocks)


def assert_same_weights(left, right):
    """But a key's bias, whose gradient is zero up to rounding, of which Adam makes steps of full length."""
    weights = {path: value for path, value in right.items() if "/" in path and "key/bias" not in path}
    assert_same(
        left, {path: weights[path] for path in weights if path.startswith(("first", "second", "head"))}, tolerance=1e-5
    )


def both(schedule, make, batches, **kwargs):
    results = []
    for cache in ("off", "exact"):
        training_data, validation = batches(), batches(9, shuffle=False)
        model = compile_model(make(), **kwargs)
        results.append(train(model, schedule, data=training_data, validation=validation, cache=cache))
    return results


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("options", [{}, {"static_lengths": (4, 9)}, {"tokens_per_batch": 20}], ids=str)
def test_exact_ends_with_the_weights_of_off(name, options):
    off, exact = both(SCHEDULES[name], encoder, lambda *args, **kwargs: tokens(*args, **kwargs, **options))
    assert all(decision["stored"] for decision in exact[0].cache)
    assert_same_weights(exact[1], off[1])
    assert_same_history(exact[0], off[0])


def test_each_token_may_have_a_target():
    off, exact = both(
        SCHEDULES["top block"],
        lambda: encoder(per_token=True),
        lambda *args, **kwargs: tokens(*args, **kwargs, per_token=True),
    )
    assert exact[0].cache[0]["stored"], exact[0].cache[0]["text"]
    assert_same_weights(exact[1], off[1])
    assert_same_history(exact[0], off[0])


def test_replicas(mirrored_pair):
    off, exact = both(SCHEDULES["top block"], lambda: encoder(mirrored_pair), tokens)
    assert exact[0].cache[0]["stored"], exact[0].cache[0]["text"]
    assert_same_weights(exact[1], off[1])


@pytest.mark.parametrize("budget", [0, 1])
def test_no_padding_is_stored(budget):
    """8 numbers of float32 for each token, and its mask, a bool."""
    history, _ = train(
        compile_model(encoder()),
        SCHEDULES["top block"],
        data=tokens(),
        validation=tokens(9),
        cache="exact",
        cache_budget=budget,
    )
    decision = history.cache[0]
    assert decision["bytes"] == LENGTHS.sum() * (8 * 4 + 1)
    assert ("in disk" in decision["text"]) == (budget == 1)


def test_where_padding_matters_nothing_is_stored():
    """Attention without a mask above the cut sees what is behind the end of an example."""
    history, _ = train(
        compile_model(encoder(leaks=True)), SCHEDULES["top block"], data=tokens(), validation=tokens(9), cache="exact"
    )
    assert not history.cache[0]["stored"] and "behind the end of examples" in history.cache[0]["text"]


def test_the_shortest_texts_do_not_speak_for_all(monkeypatch):
    """What is measured at the first batches, which are the shortest, is scaled to the mean batch."""
    found, seconds = [], itertools.count()

    def pays(prefix, served, stored):
        def decide(computing, writing, reading):
            found.append((computing, writing, reading(served[0].crossing)))
            return True

        return decide

    monkeypatch.setattr(frozen_prefix.FrozenPrefix, "_pays", pays)
    # Each look at this clock is a second: of a batch one to compute and one to write, of the first one two to compute.
    monkeypatch.setattr(activations, "time", types.SimpleNamespace(perf_counter=lambda: float(next(seconds))))
    data = tokens()
    plan = data.plan.of(np.argsort(LENGTHS, kind="stable"))
    places = plan.counts * plan.lengths
    number = len(places) - 1
    scale = places.mean() / places[1:].mean()
    train(compile_model(encoder()), SCHEDULES["top block"], data=data, validation=tokens(9), cache="exact")
    assert scale < 0.9
    assert found[0] == pytest.approx((scale * (number + 2) / number, scale, scale))
