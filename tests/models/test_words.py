"""The user's own model behind TextVectorization gives the same, and is kept with its vocabulary."""

import sys
import types

import keras
import numpy as np
import pytest
import tensorflow as tf

from kft import errors, tasks, training
from kft.models import custom_backbone, kept_backbone, make_backbone

TEXTS = ["The cat, the DOG!", "a bird", "", "the unknown émigré\tand the cat", "the cat the cat the cat the cat"]


def vectorization(mode="int", words=("the", "cat", "dog", "bird"), **arguments):
    return keras.layers.TextVectorization(output_mode=mode, vocabulary=words and list(words), name="words", **arguments)


def mlp(mode="multi_hot", words=("the", "cat", "dog", "bird"), **arguments):
    text = keras.Input((), dtype="string")
    x = vectorization(mode, words, **arguments)(text)
    x = keras.layers.Dense(6, activation="relu", name="hidden")(x)
    return keras.Model(text, keras.layers.Dense(3, name="old")(x), name="mlp")


def sequence_model(length=None, words=("the", "cat", "dog", "bird"), max_tokens=20):
    text = keras.Input((1,), dtype="string")
    x = vectorization("int", words, output_sequence_length=length, max_tokens=None if words else max_tokens)(text)
    x = keras.layers.Embedding(20, 4, name="embedding")(x)
    x = keras.layers.Flatten()(x) if length else keras.layers.Conv1D(5, 3, padding="same", name="conv")(x)
    return keras.Model(text, keras.layers.Dense(3, name="top")(x), name="words_model")


def batch(tokenizer, texts=TEXTS):
    encoded = tokenizer.encode(texts)
    rows = [encoded.token_ids[a:b] for a, b in zip(encoded.offsets, encoded.offsets[1:])]
    x = np.zeros((len(rows), max(map(len, rows))), "int32")
    for index, row in enumerate(rows):
        x[index, : len(row)] = row
    return {"token_ids": x, "padding_mask": (x > 0).astype("int32")}


@pytest.mark.parametrize("mode", ["multi_hot", "count"])
def test_a_bag_of_words_gives_what_keras_gives(mode):
    model = mlp(mode)
    backbone = custom_backbone(model)
    assert backbone.blocks == ("hidden/.*", "old/.*")
    expected = model(tf.constant(TEXTS))
    np.testing.assert_allclose(backbone.model(batch(backbone.tokenizer)), expected, atol=1e-6)


def test_word_ids_give_what_keras_gives():
    for length in (None, 6):
        model = sequence_model(length)
        backbone = custom_backbone(model)
        expected = model(tf.constant(TEXTS)[:, None])
        np.testing.assert_allclose(backbone.model(batch(backbone.tokenizer)), expected, atol=1e-6)
        assert backbone.tokenizer.max_length == (length or 2**31 - 1)


def test_sequences_are_pooled_without_padding():
    backbone = custom_backbone(sequence_model(), pooling="mean")
    features = backbone.features(backbone.model.output)
    model = keras.Model(backbone.model.input, [features.pooled, features.sequence])
    x = batch(backbone.tokenizer, TEXTS[:2])
    pooled, sequence = model(x)
    mask = x["padding_mask"][..., None]
    np.testing.assert_allclose(pooled, (sequence * mask).numpy().sum(1) / mask.sum(1), atol=1e-6)


def test_a_vocabulary_is_adapted_as_keras_does_and_kept(tmp_path):
    keras.utils.set_random_seed(0)
    backbone = custom_backbone(sequence_model(words=None))
    tokenizer = backbone.tokenizer
    assert tokenizer.needs_texts
    with pytest.raises(errors.InputError, match="adapt"):
        tokenizer.encode(TEXTS)
    tokenizer.adapt(TEXTS)
    expected = keras.layers.TextVectorization(max_tokens=20)
    expected.adapt(TEXTS)
    assert [tokenizer.token(index) for index in range(tokenizer.vocabulary_size)] == expected.get_vocabulary()
    found = tokenizer.encode(TEXTS)
    np.testing.assert_array_equal(found.token_ids, [i for row in expected(TEXTS).numpy() for i in row if i])
    backbone.save(tmp_path)
    again = custom_backbone(sequence_model(words=None)).tokenizer
    again.load(tmp_path)
    assert again.digest() == tokenizer.digest()
    assert not again.needs_texts


def test_an_adapted_bag_of_words_has_a_column_for_each_word_that_keras_would_count():
    layer = keras.layers.TextVectorization(output_mode="multi_hot", max_tokens=4, pad_to_max_tokens=True)
    text = keras.Input((), dtype="string")
    model = keras.Model(text, keras.layers.Dense(2, name="dense")(layer(text)))
    backbone = custom_backbone(model)
    backbone.tokenizer.adapt(TEXTS)
    layer.adapt(TEXTS)
    np.testing.assert_allclose(backbone.model(batch(backbone.tokenizer)), model(tf.constant(TEXTS)), atol=1e-6)


def test_words_of_sentences_keep_their_numbers():
    tokenizer = custom_backbone(mlp()).tokenizer
    encoded = tokenizer.encode_words([["The", "!", "cat"], [], ["bird"]])
    assert encoded.token_ids.tolist() == [2, 3, 5]
    assert encoded.words.tolist() == [0, 2, 0]
    assert encoded.offsets.tolist() == [0, 2, 2, 3]
    ids, segments = tokenizer.pack(np.array([2, 3]), np.array([5]))
    assert (ids.tolist(), segments.tolist()) == ([2, 3, 5], [0, 0, 1])


def test_by_name_cut_trained_and_kept(monkeypatch, tmp_path):
    module = types.ModuleType("own_words")
    module.make = mlp
    monkeypatch.setitem(sys.modules, "own_words", module)
    name = "python:own_words:make@hidden"
    backbone = make_backbone(name)
    model = training.build_model(backbone, tasks.make_task("image_classification", label_names=["a", "b"]))
    assert model.blocks[:-1] == ("hidden/.*",)
    model.compile("sgd", loss="sparse_categorical_crossentropy")
    model.fit(batch(backbone.tokenizer), np.array([0, 1, 0, 1, 0]), epochs=1, verbose=0)
    backbone.save(tmp_path / "kept")
    kept = kept_backbone(name, tmp_path / "kept")
    assert kept.tokenizer.digest() == backbone.tokenizer.digest()
    text = make_backbone("bert_tiny_random")
    text.save(tmp_path / "text")
    kept = kept_backbone("hf:gone", tmp_path / "text")
    assert kept.name == "hf:gone"
    assert kept.blocks == text.blocks


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: sequence_model(words=None, max_tokens=None), "without max_tokens"),
        (lambda: mlp(mode="tf_idf", idf_weights=[1.0, 1.0, 1.0, 1.0]), "tf_idf"),
        (lambda: mlp(standardize=lambda text: text), "by name"),
        (lambda: mlp(ngrams=2), "N-grams"),
    ],
)
def test_what_cannot_be_kept_is_refused(make, message):
    with pytest.raises(errors.InputError, match=message):
        custom_backbone(make())
