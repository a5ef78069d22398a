"""Training on stored activations is the same training."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from kft import data, errors, training
from kft.duration import Duration
from kft.trainable import Phase
from kft.training import activation_store, frozen_prefix
from kft.training.split_graph import split_at_frozen_prefix
from tests.training import prefix_models
from tests.training.prefix_models import (
    BLOCKS,
    always_pays,  # noqa: F401
    assert_same,
    assert_same_history,
    compile_model,
    image_batches,
    phases,
    residual_model,
    train,
    values,
)
from tests.training.test_checkpoint import StopAfter, Stopped


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_the_cut_is_exact_at_every_block(count):
    model = residual_model()
    model.set_trainable(BLOCKS[-count:])
    prefix, suffix, crossing = split_at_frozen_prefix(model, model.inference_operations())
    assert [tensor.shape[1:] for tensor in crossing] == {1: [(8,)], 2: [(6, 6, 4)], 3: [(6, 6, 4)] * 2, 4: [(6, 6, 4)]}[
        count
    ]
    images = np.random.randn(4, 6, 6, 2).astype("float32")
    (outputs,) = suffix(prefix(({"value": tf.constant(images)},)))
    np.testing.assert_array_equal(outputs["value"], model(images))
    assert {v.path for v in model.trainable_variables} <= {v.path for v in suffix.variables}
    assert all(any(v is w for w in model.variables) for v in suffix.variables)


SCHEDULES = {
    "head": phases((0, 1)),
    "top_blocks": phases((0, 3)),
    "down": phases((0, 1), (2, 2), (3, 3), (4, 5)),
    "up": phases((0, 4), (2, 3), (4, 1)),
    "scale of a BatchNorm": (Phase(Duration(0, "epochs"), ("norm/(gamma|beta)", "head/.*")),),
    "bias": (Phase(Duration(0, "epochs"), ("first/bias", "head/.*")),),
    "leaves and returns": (
        Phase(Duration(0, "epochs"), ("third/.*", "head/.*")),
        Phase(Duration(2, "epochs"), ("head/.*",)),
        Phase(Duration(4, "epochs"), ("third/.*", "head/.*")),
    ),
}


@pytest.mark.parametrize("name", SCHEDULES)
def test_exact_ends_with_the_weights_of_off(name):
    """R20 and the issue: <= 1e-6 relative, what is frozen bit-equal; the head's dropout draws the same masks."""
    results = {}
    for cache in ("off", "exact"):
        model = compile_model(residual_model(head_dropout=0.4, body_dropout=0.3))
        before = values(model.weights)
        epochs = max(int(phase.start.amount) for phase in SCHEDULES[name]) + 3
        results[cache] = train(model, SCHEDULES[name], epochs=epochs, cache=cache)
        trains = [pattern for phase in SCHEDULES[name] for pattern in phase.trainable]
        model.set_trainable(trains)
        for variable in model.weights:
            moved = (variable.numpy() != before[variable.path]).any()
            assert moved == any(variable is trained for trained in model.trainable_variables), variable.path
    assert all(decision["stored"] for decision in results["exact"][0].cache if decision["phase"] < 4)
    assert_same(results["exact"][1], results["off"][1])
    assert_same_history(results["exact"][0], results["off"][0])


@pytest.mark.parametrize("replicas", [1, 2])
def test_xla_and_replicas(mirrored_pair, replicas):
    results = {}
    for cache in ("off", "exact"):
        model = compile_model(residual_model(mirrored_pair if replicas == 2 else None), jit=True)
        results[cache] = train(model, phases((0, 3)), cache=cache)
    assert results["exact"][0].cache[0]["stored"]
    assert_same(results["exact"][1], results["off"][1], tolerance=1e-5)
    assert_same_history(results["exact"][0], results["off"][0])


def test_fast_stores_half_and_stays_close():
    results = {}
    for cache in ("off", "fast"):
        results[cache] = train(compile_model(residual_model()), phases((0, 2)), cache=cache)
    kernels = [results[cache][1]["head/kernel"] for cache in ("fast", "off")]
    np.testing.assert_allclose(*kernels, atol=0.02)
    assert (kernels[0] != kernels[1]).any()


def test_what_does_not_fit_the_budget_is_read_from_disk(tmp_path):
    results = [
        train(
            compile_model(residual_model()),
            phases((0, 3)),
            cache="exact",
            cache_budget=budget,
            cache_folder=tmp_path,
        )
        for budget in (1, 2**20)
    ]
    assert ["in disk" in result[0].cache[0]["text"] for result in results] == [True, False]
    assert_same(results[0][1], results[1][1], tolerance=0.0)
    assert not list(tmp_path.iterdir())


def test_random_augmentation_needs_views():
    with pytest.raises(errors.InputError, match="Set cache_views=4"):
        train(compile_model(residual_model()), phases((0, 1)), data=image_batches(random=True), cache="exact")


def test_as_many_views_as_epochs_are_the_training_without_a_cache():
    results = [
        train(
            compile_model(residual_model()),
            phases((0, 2)),
            epochs=epochs,
            data=image_batches(random=True),
            cache=cache,
            cache_views=3,
        )
        for epochs, cache in ((3, "off"), (3, "exact"), (4, "exact"))
    ]
    assert "3 views" in results[1][0].cache[0]["text"]
    assert_same(results[1][1], results[0][1])
    assert_same_history(results[1][0], results[0][0])


def test_views_repeat():
    """Epoch 3 of 2 views sees what epoch 1 saw; the order is its own."""
    model = compile_model(residual_model())
    model.set_trainable(BLOCKS[-1:])
    data = image_batches(random=True)
    with activation_storage() as storage:
        prefix = frozen_prefix.FrozenPrefix(
            model, [(0, 4, phases((0, 1))[0])], mode="exact", views=2, storage=storage, report=lambda _: None
        )
        stored, _ = prefix.begin(0, data, None)
        seen = [by_label_and_value(stored.from_epoch(epoch).take(3)) for epoch in range(4)]
    np.testing.assert_array_equal(seen[0], seen[2])
    np.testing.assert_array_equal(seen[1], seen[3])
    assert (seen[0] != seen[1]).any()


def activation_storage():
    import contextlib

    return contextlib.closing(activation_store.Storage())


def by_label_and_value(batches):
    rows = np.concatenate([x["phase_1"][0]["value"].numpy()[weight > 0] for x, _, weight in batches])
    return rows[np.lexsort(rows.T)]


class Sees(keras.callbacks.Callback):
    """What a callback gets to see, and a prediction of the whole model in the middle of the training."""

    def __init__(self, model, images):
        super().__init__()
        self.events, self.whole, self.images = [], model, images

    def on_train_begin(self, logs=None):
        self.events.append("begin")

    def on_epoch_end(self, epoch, logs=None):
        assert self.model is self.whole
        by_hand = keras.Model(self.model.input, self.model.outputs)(self.images, training=False)
        np.testing.assert_allclose(self.model.predict(self.images, verbose=0), by_hand, atol=1e-6)
        self.events.append((epoch, sorted(logs)))

    def on_train_end(self, logs=None):
        self.events.append("end")


def test_callbacks_see_one_training_of_the_whole_model():
    model = compile_model(residual_model())
    sees = Sees(model, np.random.randn(8, 6, 6, 2).astype("float32"))
    train(model, phases((0, 1), (2, 3)), epochs=4, cache="exact", callbacks=[sees])
    names = ["accuracy", "loss", "val_accuracy", "val_loss"]
    assert sees.events == ["begin", *((epoch, names) for epoch in range(4)), "end"]


def test_later_cuts_are_stored_on_the_way():
    model = compile_model(residual_model())
    history, _ = train(model, phases((0, 1), (1, 2), (2, 3)), cache="exact")
    texts = [decision["text"] for decision in history.cache if decision["data"] == "train"]
    assert "computed once" in texts[0] and "reused" in texts[1] and "reused" in texts[2]


def test_a_deeper_cut_is_computed_from_the_earlier_one():
    model = compile_model(residual_model())
    up = (Phase(Duration(0, "epochs"), ("third/.*", "head/.*")), Phase(Duration(1, "epochs"), ("head/.*",)))
    history, _ = train(model, up, cache="exact")
    texts = [decision["text"] for decision in history.cache if decision["data"] == "train"]
    assert "from an earlier cut" in texts[1]


@pytest.mark.parametrize("trained", [False, True])
def test_statistics_of_a_batchnorm_below_the_cut(trained):
    """With batchnorm="train" they stay bit-equal while it is frozen, and move, in both, when its phase comes."""
    schedule = (Phase(Duration(0, "epochs"), ("head/.*",)), Phase(Duration(2, "epochs"), ("norm/.*", "head/.*")))
    schedule += (Phase(Duration(3, "epochs"), ("head/.*",)),)
    results = []
    for cache in ("off", "exact"):
        model = compile_model(residual_model(batchnorm="train"))
        before = model.get_layer("norm").moving_mean.numpy()
        history, weights = train(model, schedule if trained else schedule[:1], epochs=5, cache=cache)
        assert (weights["norm/moving_mean"] != before).any() == trained
        results.append((history, weights))
    texts = [decision["text"] for decision in results[1][0].cache if decision["data"] == "train"]
    assert "reused" not in texts[-1], "what lies above a BatchNorm that moved is computed again"
    assert_same(results[1][1], results[0][1], tolerance=1e-5)


def test_a_layer_on_both_sides_of_the_cut():
    def make():
        keras.utils.set_random_seed(0)
        inputs = keras.Input((6, 6, 2))
        shared = keras.layers.Conv2D(2, 3, padding="same", name="shared")
        x = keras.layers.Conv2D(2, 3, padding="same", name="middle")(shared(inputs))
        x = keras.layers.GlobalAveragePooling2D(name="pool")(shared(x))
        outputs = keras.layers.Dense(3, name="head")(x)
        return compile_model(training.FineTuneModel(inputs, outputs, blocks=("shared/.*", "middle/.*", "head/.*")))

    schedule = (Phase(Duration(0, "steps"), ("middle/.*", "head/.*")),)
    results = [train(make(), schedule, cache=cache) for cache in ("off", "exact")]
    assert results[1][0].cache[0]["text"].startswith("1 operations")
    assert_same(results[1][1], results[0][1])


def token_batches(count=20, preprocess=lambda x: x):
    tokens = np.random.RandomState(0).randint(1, 30, (count, 7)).astype("int32")
    tokens[:, 4:] *= np.arange(count)[:, None] % 2
    return data.batches(
        prefix_models.source_of(tokens),
        encode=lambda raw, _: raw["x"],
        preprocess=preprocess,
        global_batch_size=8,
        shuffle=True,
    )


def test_masks_cross_the_cut():
    def make():
        keras.utils.set_random_seed(0)
        inputs = keras.Input((7,), dtype="int32")
        x = keras.layers.Embedding(30, 4, mask_zero=True, name="embedding")(inputs)
        x = keras.layers.LSTM(4, return_sequences=True, name="below")(x)
        x = keras.layers.LSTM(5, name="above")(x)
        outputs = keras.layers.Dense(3, name="head")(x)
        return compile_model(
            training.FineTuneModel(inputs, outputs, blocks=("embedding/.*", "below/.*", "above/.*", "head/.*"))
        )

    schedule = (Phase(Duration(0, "steps"), ("above/.*", "head/.*")),)
    data, validation = token_batches(), token_batches(9)
    results = [train(make(), schedule, data=data, validation=validation, cache=cache) for cache in ("off", "exact")]
    assert results[1][0].cache[0]["stored"]
    assert_same(results[1][1], results[0][1])
    assert_same_history(results[1][0], results[0][0])


def test_a_cut_between_transformer_blocks_takes_the_padding_mask_along():
    def block(x, mask, name):
        attention = keras.layers.MultiHeadAttention(2, 4, dropout=0.2, name=f"{name}_attention")
        x = keras.layers.Add()([x, attention(x, x, attention_mask=mask)])
        x = keras.layers.LayerNormalization(name=f"{name}_norm")(x)
        return keras.layers.Dense(8, activation="gelu", name=f"{name}_dense")(x)

    def make():
        keras.utils.set_random_seed(0)
        tokens = keras.Input((7,), dtype="int32", name="tokens")
        padding = keras.Input((7,), dtype="bool", name="padding")
        mask = keras.ops.expand_dims(padding, 1)
        x = keras.layers.Embedding(30, 8, name="embedding")(tokens)
        x = block(block(x, mask, "first"), mask, "second")
        outputs = keras.layers.Dense(3, name="head")(x[:, 0])
        blocks = ("embedding/.*", "first_.*", "second_.*", "head/.*")
        return compile_model(training.FineTuneModel({"tokens": tokens, "padding": padding}, outputs, blocks=blocks))

    structure = lambda x: {"tokens": x, "padding": x > 0}  # noqa: E731
    data, validation = token_batches(preprocess=structure), token_batches(9, preprocess=structure)
    schedule = (Phase(Duration(0, "steps"), ("second_.*", "head/.*")),)
    results = [train(make(), schedule, data=data, validation=validation, cache=cache) for cache in ("off", "exact")]
    assert "2 tensor(s)" in results[1][0].cache[0]["text"]
    assert_same(results[1][1], results[0][1])
    assert_same_history(results[1][0], results[0][0])


def test_a_training_that_was_cut_off_goes_on_to_the_same_bits(tmp_path):
    """In the middle of the second epoch of the second phase; its frozen part is computed again (R20)."""
    schedule = phases((0, 1), (1, 3))
    results = []
    for folder, steps in (("whole", None), ("cut", 8), ("cut", None)):
        model = compile_model(residual_model(head_dropout=0.4))
        callbacks = [training.Checkpoint(tmp_path / folder, every="1 steps")]
        if steps is not None:
            with pytest.raises(Stopped):
                train(model, schedule, epochs=4, cache="exact", callbacks=[*callbacks, StopAfter(steps)])
            continue
        results.append(train(model, schedule, epochs=4, cache="exact", callbacks=callbacks)[1])
    assert_same(*results, tolerance=0.0)
