"""What half precision computes, and what it must not touch."""

import types

import keras
import numpy as np
import pytest
import tensorflow as tf

from kft import errors, optimizers
from kft.models import Backbone, Features
from kft.training import build_model, precision, precision_scope
from tests.training.models import crossentropy

VOCABULARY = 5000


def encoder(name):
    """Embedding, attention with its dropout, norm and head, made in a precision."""
    keras.utils.set_random_seed(1)
    with precision_scope(name):
        tokens = keras.Input((None,), dtype="int32", name="tokens")
        x = keras.layers.Embedding(VOCABULARY, 16, name="embedding")(tokens)
        x = keras.layers.MultiHeadAttention(2, 8, dropout=0.1, name="attention")(x, x)
        x = keras.layers.LayerNormalization(name="norm")(x)
        backbone = Backbone(
            name="encoder",
            model=keras.Model(tokens, x),
            blocks=("embedding/.*", "(attention|norm)/.*"),
            preprocess=lambda batch: batch,
            features=lambda sequence: Features(sequence[:, 0], sequence),
            image_size=None,
        )
        task = types.SimpleNamespace(head=lambda f: keras.layers.Dense(3, dtype="float32", name="head")(f.pooled))
        return build_model(backbone, task)


def tokens(count=8):
    random = np.random.RandomState(0)
    return random.randint(0, VOCABULARY, (count, 6)).astype("int32"), random.randint(0, 3, count)


def operations(model):
    """The graph of forward and backward."""
    x, y = tokens()
    model.fit(x, y, verbose=0)
    forward_backward = tf.function(model._forward_backward(model.trainable_variables), autograph=False)
    graph = forward_backward.get_concrete_function(tf.constant(x), tf.constant(y), tf.ones(8)).graph
    graphs = [graph, *(f.graph for f in graph._functions.values() if hasattr(f, "graph"))]
    return [operation for graph in graphs for operation in graph.get_operations()]


def compiled(name, optimizer="adam", **settings):
    model = encoder(name)
    rule = optimizers.make_rule(optimizer, learning_rate=1e-2, options=settings)
    model.compile(rule, crossentropy(), metrics=["accuracy"])
    return model


def test_products_are_in_bfloat16_and_the_rest_in_float32():
    model = compiled("mixed_bfloat16")
    made = operations(model)
    products = [o for o in made if o.type in ("MatMul", "BatchMatMulV2", "Einsum")]
    in_half = [o for o in products if o.inputs[0].dtype == tf.bfloat16]
    assert len(in_half) >= len(products) - 3 > 0  # but for the head, forward and backward
    assert {o.inputs[0].dtype for o in made if o.type == "Softmax"} == {tf.float32}
    assert all(variable.dtype == "float32" for variable in model.variables if "float" in variable.dtype)
    assert model(tokens()[0]).dtype == tf.float32
    assert {o.inputs[0].dtype for o in made if o.type == "SquaredDifference"} == {tf.float32}  # the norm's variance


def test_an_embedding_is_never_cast_as_a_whole():
    """Keras casts the table in each step and adds up a row's gradients in half precision."""
    model = compiled("mixed_bfloat16")
    casts = [o for o in operations(model) if o.type == "Cast"]
    assert not [o for o in casts if VOCABULARY in o.inputs[0].shape.as_list()]


def test_repeated_tokens_add_up_in_float32():
    inputs = np.zeros((2048, 1), "int32")
    sums = []
    for name in ("float32", "mixed_bfloat16"):
        model = encoder(name)
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(tf.cast(model.get_layer("embedding")(inputs), tf.float32))
        gradient = tape.gradient(loss, model.get_layer("embedding").embeddings.value)
        sums.append(tf.convert_to_tensor(gradient)[0].numpy())
    np.testing.assert_array_equal(*sums)


@pytest.mark.parametrize("name", ["mixed_bfloat16", "mixed_float16"])
def test_half_precision_learns_what_float32_learns(name):
    """In float16 some of the first updates are left out, until the loss scale fits."""
    history = compiled(name).fit(*tokens(), epochs=16, verbose=0, shuffle=False).history
    first = compiled("float32").fit(*tokens(), epochs=16, verbose=0, shuffle=False).history
    np.testing.assert_allclose(history["loss"][0], first["loss"][0], rtol=0.1)  # other masks of dropout
    assert history["loss"][-1] < 0.2 and first["loss"][-1] < 0.2


def test_float16_gets_a_loss_scale_and_leaves_out_what_overflows():
    model = compiled("mixed_float16")
    assert model.optimizer.loss_scale_factor == "dynamic"
    x, y = tokens()
    model.fit(x, y, verbose=0)
    model.optimizer.loss_scale.assign(2.0**40)
    before, skipped = model.get_layer("head").kernel.numpy(), model.optimizer.skipped_updates.numpy()
    model.fit(x, y, verbose=0)
    np.testing.assert_array_equal(model.get_layer("head").kernel.numpy(), before)
    assert (model.optimizer.loss_scale.numpy(), model.optimizer.skipped_updates.numpy()) == (2.0**39, skipped + 1)


def test_an_optimizer_of_keras_is_wrapped_by_keras_in_float16():
    model = encoder("mixed_float16")
    model.compile("adam", crossentropy())
    model.fit(*tokens(), verbose=0)
    assert isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer)


def test_an_optimizer_built_without_loss_scale_is_refused_in_float16():
    model, optimizer = encoder("mixed_float16"), optimizers.make_rule("adam", learning_rate=1e-2)
    optimizer.build(model.trainable_variables)
    with pytest.raises(errors.InputError, match="loss_scale_factor='dynamic'"):
        model.compile(optimizer, crossentropy())


def test_the_scope_ends_with_what_was_before_and_knows_its_names():
    before = keras.config.dtype_policy().name
    with precision_scope("mixed_bfloat16"):
        assert keras.config.dtype_policy().name == "mixed_bfloat16"
    assert keras.config.dtype_policy().name == before
    with pytest.raises(errors.InputError, match="'mixed_bfloat16'"), precision_scope("bf16"):
        pass
    assert [precision.precision_of(encoder(name)) for name in precision.PRECISIONS] == list(precision.PRECISIONS)
