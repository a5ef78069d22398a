"""The plan of a step's memory: what counts, and by how much."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from kft import data, optimizers, training
from kft.training import FineTuneModel, memory_plan
from tests.training.models import crossentropy

BATCH, WIDTH, LAYERS = 1000, 64, 6


def plan(*, trains=(".*",), precision="float32", strategy=None, remat=False, norm=True):
    """The step of layers of one width, whose weights are small beside what a batch gives."""
    with (strategy or tf.distribute.get_strategy()).scope(), training.precision_scope(precision):
        inputs = x = keras.Input((WIDTH,), name="inputs")
        for number in range(LAYERS):
            x = keras.layers.Dense(WIDTH, activation="tanh", name=f"layer_{number}")(x)
            x = keras.layers.LayerNormalization(name=f"layer_{number}_norm")(x) if norm else x
        blocks = (*(f"layer_{number}(_norm)?/.*" for number in range(LAYERS)), "head/.*")
        logits = keras.layers.Dense(3, name="head", dtype="float32")(x)
        model = FineTuneModel(inputs, logits, blocks=blocks)
        model.compile(optimizers.make_optimizer("adamw", learning_rate=0.1), crossentropy())
    model.remat = remat
    model.set_trainable(list(trains))
    images = np.zeros((BATCH, 8, 8, 1), np.uint8)
    batches = data.batches(
        data.from_arrays(images, np.arange(BATCH) % 3),
        encode=lambda raw, seed: raw["image"],
        preprocess=lambda x: keras.ops.reshape(keras.ops.cast(x, "float32"), (-1, WIDTH)),
        global_batch_size=BATCH,
    )
    return memory_plan.step_bytes(model, batches)[0] / (4 * BATCH * WIDTH)


def test_what_is_below_the_lowest_trainable_layer_is_not_kept():
    everything, half = plan(), plan(trains=["layer_[345].*", "head/.*"])
    head = plan(trains=["head/.*"])
    assert everything > 2 * LAYERS  # at least the output of each layer and of its norm
    assert everything / 2.3 < half < everything / 1.5
    assert head < 6 < half


def test_what_is_computed_again_is_not_kept():
    assert plan(remat=True) < 0.6 * plan()


def test_half_precision_takes_about_half():
    """Not so with layer norms, which are computed in float32."""
    assert 0.45 < plan(precision="mixed_bfloat16", norm=False) / plan(norm=False) < 0.75


def test_it_is_for_one_replica(mirrored_pair):
    assert plan(strategy=mirrored_pair) == pytest.approx(plan() / 2, rel=0.05)


def small(**options):
    """A model of a few examples, whose weights are larger than what a batch gives; and the batches."""
    inputs = keras.Input((4,), name="inputs")
    x = keras.layers.Dropout(0.5, name="drop")(keras.layers.Dense(1000, name="wide")(inputs))
    outputs = keras.layers.Dense(30, name="head")(x)
    model = FineTuneModel(inputs, outputs, blocks=("wide/.*", "head/.*"))
    model.compile(optimizers.make_optimizer("adamw", learning_rate=0.1, options=options), crossentropy())
    batches = data.batches(
        data.from_arrays(np.zeros((8, 2, 2, 1), np.uint8), np.arange(8) % 3),
        encode=lambda raw, seed: raw["image"],
        preprocess=lambda x: keras.ops.reshape(keras.ops.cast(x, "float32"), (-1, 4)),
        global_batch_size=8,
    )
    return model, batches


def test_where_weights_are_large_it_is_the_update_that_counts():
    model, batches = small()
    plain, gradients = memory_plan.step_bytes(model, batches)[0], memory_plan.bytes_of(model.parameters)
    assert plain == pytest.approx(gradients + 3 * 4 * 1000 * 30, rel=0.01)  # and what the step gives besides
    all_on = small(use_ema=True, slot_dtype="bfloat16", accumulate_steps=2)
    assert memory_plan.step_bytes(*all_on)[0] - plain == 3 * 4 * 1000 * 30 + gradients


def test_nothing_is_left_in_the_model():
    model, batches = small()
    before = [variable.numpy() for variable in model.variables]
    assert memory_plan.peak_bytes(model, batches, model.parameters) > 0
    for variable, value in zip(model.variables, before, strict=True):
        np.testing.assert_array_equal(variable, value)
    assert not model.optimizer.built


def test_state_is_what_is_there_after_the_first_step():
    inputs = keras.Input((4,), name="inputs")
    x = keras.layers.Dense(50, name="below")(inputs)
    model = FineTuneModel(inputs, keras.layers.Dense(40, name="head")(x), blocks=("below/.*", "head/.*"))
    options = {"use_ema": True, "slot_dtype": "bfloat16"}
    model.compile(optimizers.make_optimizer("adamw", learning_rate=0.1, options=options), crossentropy())
    trained = [variable for variable in model.parameters if variable.path.startswith("head")]
    planned = memory_plan.state_bytes(model, trained)
    model.optimizer.build(trained)
    kept = [variable for variable in model.optimizer.variables if variable.shape not in ((), (2,))]
    assert planned == memory_plan.bytes_of([*model.variables, *kept])
    assert planned == memory_plan.bytes_of(model.variables) + (2 + 4 + 4) * (50 * 40 + 40)
