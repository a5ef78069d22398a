"""Blocks that are computed twice train as if they had been computed once."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from kft import optimizers
from kft.training import FineTuneModel, remat, step_parts
from tests.training.models import crossentropy, examples, padded, values


def make_deep(strategy=None, *, remat=False, batchnorm="train"):
    """Blocks with dropout, BatchNorm, a residual across blocks, and a penalty on weights."""
    with (strategy or tf.distribute.get_strategy()).scope():
        keras.utils.set_random_seed(1)
        inputs = keras.Input((8,), name="inputs")
        x = first = keras.layers.Dense(16, activation="tanh", name="first", kernel_regularizer="l2")(inputs)
        for number in range(3):
            x = keras.layers.Dense(16, activation="tanh", name=f"block_{number}")(x)
            x = keras.layers.BatchNormalization(name=f"block_{number}_norm", momentum=0.9)(x)
            x = keras.layers.Dropout(0.3, name=f"block_{number}_drop")(x)
        x = keras.layers.Add(name="sum")([x, first])
        blocks = ("first/.*", *(f"block_{number}(_norm)?/.*" for number in range(3)), "head/.*")
        model = FineTuneModel(inputs, keras.layers.Dense(3, name="head")(x), blocks=blocks, batchnorm=batchnorm)
    model.remat = remat
    return model


def trained(model, jit=False):
    with model.distribute_strategy.scope():
        optimizer = optimizers.make_optimizer("momentum", learning_rate=0.1, clip_global_norm=1.0)
        model.compile(optimizer, crossentropy(), metrics=["accuracy"], jit_compile=jit)
    history = model.fit(padded(*examples(30), 8), epochs=3, shuffle=False, verbose=0).history
    everything = {str(n): np.asarray(v.value) for n, v in enumerate(model.variables)}
    return values(model.weights) | everything | {"loss": np.array(history["loss"])}


def assert_equal(first, second):
    for path, value in first.items():
        np.testing.assert_allclose(np.asarray(second[path]), np.asarray(value), rtol=0, atol=1e-6, err_msg=path)


@pytest.mark.parametrize("jit", [False, True])
def test_weights_statistics_and_seeds_are_the_same(jit):
    assert_equal(trained(make_deep(), jit), trained(make_deep(remat=True), jit))


def test_on_replicas_too(mirrored_pair):
    assert_equal(trained(make_deep(mirrored_pair)), trained(make_deep(mirrored_pair, remat=True)))


def test_a_part_that_is_frozen_stays_so():
    results = []
    for on in (False, True):
        model = make_deep(remat=on, batchnorm="frozen")
        model.set_trainable(["block_1.*", "block_2.*", "head/.*"])
        results.append(trained(model))
    assert_equal(*results)


def test_the_graph_is_cut_where_blocks_end():
    model = make_deep()
    names = [[node.operation.name for node in segment.nodes] for segment in remat.segments(model)]
    assert names[0] == ["first"] and names[1][0] == "block_0" and names[-1][-1] == "head"
    assert len(names) == 4
    crossing = [{tensor.name for tensor in segment.targets} for segment in remat.segments(model)]
    assert len(crossing[0]) == 1 and len(crossing[1]) == 1


def test_a_block_is_really_computed_again():
    """Its products are in the graph once more; those of the last block are not."""
    counts = []
    for on in (False, True):
        model = make_deep(remat=on)
        model.compile(optimizers.make_optimizer("momentum", learning_rate=0.1), crossentropy())
        x, y = examples(8)
        forward_backward = step_parts.graph(model._forward_backward(model.trainable_variables))
        tensors = [keras.ops.convert_to_tensor(value) for value in (x, y, np.ones(8, "float32"))]
        step_parts.build_losses_and_metrics(model, tuple(tensors))
        operations = forward_backward.get_concrete_function(*tensors).graph.get_operations()
        counts.append(sum(operation.type == "Tanh" for operation in operations))
    assert counts == [4, 7]
