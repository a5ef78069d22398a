"""The user's own model: flattened, cut, with its own variables."""

import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from kft import errors
from kft.models import custom_backbone, make_backbone

layers = keras.layers


def make_nested():
    """Photos of bytes, a model within the model, a shared layer, a Sequential, an operation, a classifier."""
    inner_inputs = keras.Input((None, None, 3), name="inner_input")
    left = layers.Conv2D(4, 3, padding="same", name="left")(inner_inputs)
    right = layers.Conv2D(4, 1, name="right")(inner_inputs)
    merged = layers.Add(name="merged")([left, layers.BatchNormalization(name="norm")(right)])
    inner = keras.Model(inner_inputs, merged, name="inner")
    inputs = keras.Input((8, 6, 3), dtype="uint8", name="photo")
    x = inner(layers.Rescaling(1 / 255, name="scale")(inputs), training=False)
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    shared = layers.Dense(4, name="shared.one")
    x = shared(keras.ops.relu(shared(x)))
    tail_layers = [keras.Input((4,)), layers.Dense(5, name="wide"), layers.Dropout(0.5, name="drop")]
    tail = keras.Sequential(tail_layers, name="tail")
    return keras.Model(inputs, layers.Dense(3, name="classes")(tail(x)), name="mine")


PHOTOS = np.random.default_rng(0).integers(0, 256, (2, 8, 6, 3)).astype("uint8")


def test_a_nested_model_becomes_flat_and_computes_the_same():
    model = make_nested()
    backbone = custom_backbone(model)
    assert not any(isinstance(layer, keras.Model) for layer in backbone.model.layers)
    assert {id(weight) for weight in backbone.model.weights} == {id(weight) for weight in model.weights}
    np.testing.assert_array_equal(backbone.model(backbone.preprocess(PHOTOS)), model(PHOTOS))
    assert backbone.image_size == (8, 6)
    assert backbone.blocks[-3:] == (r"shared\.one/.*", "tail/wide/.*", "classes/.*")
    assert set(backbone.blocks[:3]) == {"left/.*", "right/.*", "norm/.*"}


@pytest.mark.parametrize("cut_at", ["merged", "inner"])
def test_a_cut_gives_the_output_of_that_layer(cut_at):
    model = make_nested()
    backbone = custom_backbone(model, cut_at=cut_at, pooling="max")
    assert len(backbone.blocks) == 3
    expected = model.get_layer("inner")(PHOTOS / np.float32(255))
    np.testing.assert_allclose(backbone.model(PHOTOS), expected, rtol=1e-5, atol=1e-6)
    assert backbone.features(backbone.model.output).pooled.shape == (None, 4)


def test_a_cut_must_be_at_one_place():
    with pytest.raises(errors.InputError, match="called at 2 places"):
        custom_backbone(make_nested(), cut_at=r"shared.one")
    with pytest.raises(errors.InputError, match="Did you mean 'merged'"):
        custom_backbone(make_nested(), cut_at="merge")


def test_an_open_image_size_is_given_or_stays_open():
    model = keras.Model(inputs := keras.Input((None, None, 1)), layers.Conv2D(2, 3, name="conv")(inputs))
    assert custom_backbone(model).image_size is None
    backbone = custom_backbone(model, image_size=(9, 7))
    assert backbone.image_size == (9, 7)
    assert backbone.model.output.shape == (None, 7, 5, 2)
    with pytest.raises(errors.InputError, match=r"takes \(8, 6\)"):
        custom_backbone(make_nested(), image_size=8)
    with pytest.raises(errors.InputError, match="one image input"):
        custom_backbone(keras.Sequential([keras.Input((4,)), layers.Dense(2)]), image_size=8)


@pytest.mark.parametrize(("pooling", "reduce"), [("avg", np.mean), ("max", np.max)])
def test_a_sequence_is_kept_and_pooled_over_time(pooling, reduce):
    model = keras.Model(inputs := keras.Input((5, 3)), layers.Dense(4, name="dense")(inputs))
    backbone = custom_backbone(model, pooling=pooling)
    features = backbone.features(backbone.model.output)
    assert features.sequence is backbone.model.output
    x = np.random.default_rng(0).normal(size=(2, 5, 3)).astype("float32")
    sequence, pooled = keras.Model(backbone.model.input, [features.sequence, features.pooled])(x)
    np.testing.assert_allclose(pooled, reduce(sequence.numpy(), axis=1), rtol=1e-6)


def test_vectors_are_features_as_they_are():
    backbone = custom_backbone(keras.Sequential([keras.Input((3,)), layers.Dense(2)]))
    features = backbone.features(backbone.model.output)
    assert features.pooled is backbone.model.output
    assert features.sequence is None


def test_several_inputs_keep_their_names_and_types():
    inputs = {"ids": keras.Input((4,), dtype="int32", name="ids"), "a": keras.Input((3,), name="a")}
    x = layers.Flatten()(layers.Embedding(9, 2, name="embedding")(inputs["ids"]))
    backbone = custom_backbone(keras.Model(inputs, layers.Concatenate()([inputs["a"], x])))
    batch = backbone.preprocess({"a": tf.ones((2, 3), tf.float64), "ids": tf.ones((2, 4), tf.int64)})
    assert {name: value.dtype for name, value in batch.items()} == {"a": tf.float32, "ids": tf.int32}
    assert backbone.model(batch).shape == (2, 11)


def test_a_tied_weight_is_in_the_block_of_its_first_layer():
    class Tied(layers.Layer):
        def __init__(self, embedding, **arguments):
            super().__init__(**arguments)
            self.embedding = embedding

        def build(self, shape):
            self.bias = self.add_weight(shape=(9,), name="bias")

        def call(self, x):
            return x @ keras.ops.transpose(self.embedding.embeddings) + self.bias

    embedding = layers.Embedding(9, 2, name="embedding")
    model = keras.Model(inputs := keras.Input((4,), dtype="int32"), Tied(embedding, name="tied")(embedding(inputs)))
    assert custom_backbone(model).blocks == ("embedding/.*", "tied/.*")


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__()
        self.dense = layers.Dense(4)

    def call(self, x):
        return self.dense(x)


def test_a_subclassed_model_is_refused_and_the_remedy_works():
    model = Subclassed()
    with pytest.raises(errors.InputError, match=r"keras.Model\(inputs, model\(inputs\)\)"):
        custom_backbone(model)
    inputs = keras.Input((3,))
    assert custom_backbone(keras.Model(inputs, model(inputs))).blocks == (f"{model.name}/.*",)


def test_a_model_without_an_input_is_refused():
    with pytest.raises(errors.InputError, match="without an input shape"):
        custom_backbone(keras.Sequential([layers.Dense(2)]))


def test_two_layers_of_one_name_are_refused():
    def make(name):
        return keras.Sequential([keras.Input((3,)), layers.Dense(3, name="same")], name=name)

    model = keras.Model(inputs := keras.Input((3,)), make("one")(make("two")(inputs)))
    with pytest.raises(errors.InputError, match='"same" is used 2 times'):
        custom_backbone(model)


@pytest.mark.parametrize("name", ["head", "head_2", "features_pool"])
def test_names_of_the_head_are_refused_unless_cut_off(name):
    inputs = keras.Input((3,))
    x = layers.Dense(2, name="body")(inputs)
    model = keras.Model(inputs, layers.Dense(2, name=name)(x))
    with pytest.raises(errors.InputError, match=f"with layer '{name}'"):
        custom_backbone(model)
    assert custom_backbone(model, cut_at="body").blocks == ("body/.*",)


def test_several_outputs_are_refused():
    inputs = keras.Input((3,))
    backbone = custom_backbone(keras.Model(inputs, [layers.Dense(2)(inputs), layers.Dense(3)(inputs)]))
    with pytest.raises(errors.InputError, match="Cut the model at a layer"):
        backbone.features(backbone.model.output)


@pytest.fixture
def my_models(tmp_path, monkeypatch):
    (tmp_path / "my_models.py").write_text(
        "import keras\n"
        "def make_cnn():\n"
        "    inputs = keras.Input((8, 8, 1))\n"
        "    x = keras.layers.Conv2D(2, 3, name='conv')(inputs)\n"
        "    return keras.Model(inputs, keras.layers.Conv2D(3, 3, name='top')(x))\n"
        "def make_nothing():\n"
        "    pass\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    yield
    sys.modules.pop("my_models", None)


def test_a_function_by_its_place(my_models, tmp_path):
    backbone = make_backbone("python:my_models:make_cnn@conv")
    assert (backbone.name, backbone.blocks, backbone.image_size) == (
        "python:my_models:make_cnn@conv",
        ("conv/.*",),
        (8, 8),
    )
    import my_models as module

    trained = module.make_cnn()
    trained.save_weights(tmp_path / "trained.weights.h5")
    backbone = make_backbone("python:my_models:make_cnn@conv", weights=tmp_path / "trained.weights.h5")
    np.testing.assert_array_equal(backbone.model.get_weights()[0], trained.get_weights()[0])


@pytest.mark.parametrize(
    ("name", "weights", "problem"),
    [
        ("python:my_models:make_cn", "none", "Did you mean 'make_cnn'"),
        ("python:my_modls:make_cnn", "none", "cannot be imported"),
        ("python:my_models:make_nothing", "none", "Got NoneType"),
        ("python:my_models", "none", "package.module:function"),
        ("python:my_models:make_cnn", "imagenet", "a model of your own"),
    ],
)
def test_what_cannot_be_had_is_an_error_with_the_remedy(my_models, name, weights, problem):
    with pytest.raises(errors.InputError, match=problem):
        make_backbone(name, weights=weights)
