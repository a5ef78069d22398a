"""A real encoder gives what PyTorch gives: tokens, outputs; and what does not fit is refused.

The expected numbers were made by make_minilm_reference.py with transformers.
"""

import functools
import json
import os
import pathlib
import shutil

import keras
import numpy as np
import pytest
import safetensors.numpy

from kft import errors, tasks, training
from kft.models import Tokenizer, make_backbone

HERE = pathlib.Path(__file__).parent
NUM_LAYERS = 6


@functools.cache
def backbone(folder):
    return make_backbone(f"hf:{folder}")


@functools.cache
def reference():
    return dict(np.load(HERE / "minilm_reference.npz"))


@functools.cache
def hard():
    return json.loads((HERE / "hard_texts.json").read_text(encoding="utf-8"))


def inputs():
    return {name: reference()[name] for name in ("token_ids", "segment_ids", "padding_mask")}


def parts(encoded):
    return [encoded.token_ids[a:b] for a, b in zip(encoded.offsets, encoded.offsets[1:])]


def copy_of(folder, to, *, without=(), config=None):
    """A folder with links to the files, but for some of them, and with changed entries of config.json."""
    to.mkdir()
    for file in folder.iterdir():
        if file.name not in without and file.is_file():
            os.symlink(file, to / file.name)
    if config is not None:
        content = json.loads((folder / "config.json").read_text()) | config
        (to / "config.json").unlink()
        (to / "config.json").write_text(json.dumps(content))
    return to


@pytest.fixture(params=["tokenizer.json", "vocab.txt", "saved"])
def tokenizer(request, minilm, tmp_path):
    """The tokenizer by each of the ways to it."""
    if request.param == "saved":
        backbone(minilm).tokenizer.save(tmp_path)
        return Tokenizer.load(tmp_path)
    from kft.models import hugging_face

    other = {"tokenizer.json": "vocab.txt", "vocab.txt": "tokenizer.json"}[request.param]
    folder = copy_of(minilm, tmp_path / "folder", without=(other,))
    config = hugging_face.read_config(folder, hugging_face.Arrays(folder))
    return hugging_face.make_tokenizer(folder, config)


def test_outputs_are_those_of_pytorch(minilm):
    outputs = backbone(minilm).model(inputs())
    mask = reference()["padding_mask"][..., None]
    np.testing.assert_allclose(outputs["sequence_output"] * mask, reference()["sequence"], atol=1e-5)
    np.testing.assert_allclose(outputs["pooled_output"], reference()["pooled"], atol=1e-5)


def test_the_other_activation_is_not_what_it_was_trained_with(minilm, tmp_path):
    """So config.json is heeded: by the tanh the outputs differ by more than 1e-4."""
    folder = copy_of(minilm, tmp_path / "tanh", config={"hidden_act": "gelu_new"})
    outputs = make_backbone(f"hf:{folder}").model(inputs())
    mask = reference()["padding_mask"][..., None]
    assert np.abs(outputs["sequence_output"] * mask - reference()["sequence"]).max() > 3e-4


def test_token_ids_of_hard_texts_are_those_of_transformers(tokenizer):
    found = [tokenizer.pack(ids)[0].tolist() for ids in parts(tokenizer.encode(hard()["texts"]))]
    assert dict(zip(hard()["texts"], found)) == dict(zip(hard()["texts"], hard()["token_ids"]))


def test_pairs_are_packed_as_transformers_does(tokenizer):
    first, second = (parts(tokenizer.encode([pair[i] for pair in hard()["pairs"]])) for i in (0, 1))
    packed = [tokenizer.pack(a, b) for a, b in zip(first, second)]
    assert [ids.tolist() for ids, _ in packed] == hard()["pair_token_ids"]
    assert [segments.tolist() for _, segments in packed] == hard()["pair_segment_ids"]
    assert (tokenizer.num_special_tokens(pair=False), tokenizer.num_special_tokens(pair=True)) == (2, 3)


def test_tokenizer_tells_its_size_and_limits(tokenizer):
    assert (tokenizer.vocabulary_size, tokenizer.max_length, tokenizer.pad_id, tokenizer.unk_id) == (30522, 512, 0, 100)


def test_spans_are_characters_of_the_text(tokenizer):
    text = "Das Café 中文 👍 unbelievable"
    encoded = tokenizer.encode(["", text])
    words = [text[a:b] for a, b in encoded.spans]
    assert words[:5] == ["Das", "Café", "中", "文", "👍"]
    assert "".join(words[5:]) == "unbelievable"
    assert tokenizer.encode(["", text], spans=False).spans is None
    np.testing.assert_array_equal(tokenizer.encode(["", text], spans=False).token_ids, encoded.token_ids)


def test_words_keep_their_numbers_and_a_word_may_have_no_token(tokenizer):
    encoded = tokenizer.encode_words([["unbelievable", "\u200b", "U.N."], [], ["x"]])
    assert sorted(set(encoded.words[: encoded.offsets[1]].tolist())) == [0, 2]
    assert encoded.offsets.tolist()[1:] == [encoded.offsets[1], encoded.offsets[1], encoded.offsets[1] + 1]
    first = (encoded.words == 0) & (np.arange(len(encoded.words)) < encoded.offsets[1])
    np.testing.assert_array_equal(encoded.token_ids[first], tokenizer.encode(["unbelievable"]).token_ids)
    pieces = ["unbelievable"[a:b] for a, b in encoded.spans[first]]
    assert "".join(pieces) == "unbelievable"


def test_digest_changes_with_the_vocabulary_alone(minilm, tmp_path):
    tokenizer = backbone(minilm).tokenizer
    tokenizer.save(tmp_path)
    assert Tokenizer.load(tmp_path).digest() == tokenizer.digest()
    file = tmp_path / "tokenizer.json"
    file.write_text(file.read_text(encoding="utf-8").replace('"yugoslavia"', '"yugoslavie"'), encoding="utf-8")
    assert Tokenizer.load(tmp_path).digest() != tokenizer.digest()


def test_blocks_go_from_the_embeddings_to_the_pooler(minilm):
    blocks = backbone(minilm).blocks
    assert len(blocks) == NUM_LAYERS + 2
    assert [block.split("/")[0] for block in blocks[1:]] == [f"transformer_layer_{i}" for i in range(6)] + [
        "pooled_dense"
    ]


@pytest.mark.parametrize("pooling", ["cls", "cls_bare", "mean", "max", "attention"])
def test_poolings_leave_padding_out(minilm, pooling):
    made = make_backbone(f"hf:{minilm}", pooling=pooling)
    model = keras.Model(made.model.input, made.features(made.model.output).pooled)
    mask = reference()["padding_mask"][..., None]
    sequence = reference()["sequence"]
    expected = {
        "cls": reference()["pooled"],
        "cls_bare": sequence[:, 0],
        "mean": sequence.sum(1) / mask.sum(1),
        "max": np.where(mask > 0, sequence, -np.inf).max(1),
        "attention": sequence.sum(1) / mask.sum(1),  # with kernel and bias of zeros, as it begins
    }[pooling]
    np.testing.assert_allclose(model(inputs()), expected, atol=1e-5)


def test_saved_folder_makes_the_same_model_without_the_weights(minilm, tmp_path):
    made = backbone(minilm)
    made.save(tmp_path)
    assert sum(file.stat().st_size for file in tmp_path.iterdir()) < 2_000_000
    again = make_backbone(f"hf:{tmp_path}", weights="none")
    assert [v.path for v in again.model.weights] == [v.path for v in made.model.weights]
    assert again.tokenizer.digest() == made.tokenizer.digest()
    for weight, value in zip(again.model.weights, made.model.weights):
        weight.assign(value)
    outputs = again.model(inputs())["sequence_output"] * reference()["padding_mask"][..., None]
    np.testing.assert_allclose(outputs, reference()["sequence"], atol=1e-5)  # the activation is kept, too
    with pytest.raises(errors.InputError, match="kept model"):
        make_backbone(f"hf:{tmp_path}")


def changed(folder, to, change):
    """A copy whose arrays were changed."""
    copy = copy_of(folder, to, without=("model.safetensors",))
    arrays = safetensors.numpy.load_file(folder / "model.safetensors")
    change(arrays)
    safetensors.numpy.save_file(arrays, copy / "model.safetensors")
    return copy


def nan(arrays):
    arrays["pooler.dense.bias"][0] = np.nan


CHANGES = {
    "missing": (
        lambda arrays: arrays.pop("encoder.layer.3.output.dense.bias"),
        "missing: encoder.layer.3.output.dense",
    ),
    "extra": (lambda arrays: arrays.update({"encoder.extra": np.zeros(2)}), "extra: encoder.extra"),
    "a layer less": (
        lambda arrays: [arrays.pop(name) for name in list(arrays) if "layer.5." in name],
        "there are 5 layers, config.json says 6",
    ),
    "another shape": (lambda arrays: arrays.update({"pooler.dense.bias": np.zeros(3, "float32")}), r"\(3,\)"),
    "another type": (
        lambda arrays: arrays.update({"pooler.dense.bias": np.zeros(384, "int32")}),
        r"pooler.dense.bias is I32",
    ),
    "not finite": (nan, "NaN"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_arrays_that_do_not_fit_are_refused_by_name(minilm, tmp_path, name):
    change, message = CHANGES[name]
    with pytest.raises(errors.InputError, match=message):
        make_backbone(f"hf:{changed(minilm, tmp_path / 'changed', change)}")


def test_heads_of_a_checkpoint_are_left_out(minilm, tmp_path):
    def with_head(arrays):
        for name in list(arrays):
            arrays[f"bert.{name}"] = arrays.pop(name)
        arrays["cls.predictions.bias"] = np.zeros(30522, "float32")
        arrays["classifier.weight"] = np.zeros((2, 384), "float32")

    made = make_backbone(f"hf:{changed(minilm, tmp_path / 'head', with_head)}")
    for weight, value in zip(made.model.weights, backbone(minilm).model.weights):
        np.testing.assert_array_equal(weight.numpy(), value.numpy())


def test_half_precision_weights_become_float32(minilm, tmp_path):
    def half(arrays):
        arrays.update({name: value.astype("float16") for name, value in arrays.items() if value.dtype == "float32"})

    made = make_backbone(f"hf:{changed(minilm, tmp_path / 'half', half)}")
    weight, expected = made.model.weights[0], backbone(minilm).model.weights[0]
    assert weight.dtype == "float32"
    np.testing.assert_array_equal(weight.numpy(), expected.numpy().astype("float16").astype("float32"))


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"vocab_size": 10**12}, "vocab_size"),
        ({"vocab_size": 10**9}, "does not fit its config.json"),
        ({"num_hidden_layers": 4}, "there are 6 layers, config.json says 4"),
        ({"hidden_size": "384"}, "hidden_size='384'"),
        ({"model_type": "gpt2"}, "model_type 'gpt2'"),
        ({"hidden_act": "gelu_old"}, "gelu_old"),
        ({"position_embedding_type": "relative_key"}, "relative_key"),
        ({"num_attention_heads": 7}, "self.query.weight is F32"),
    ],
)
def test_config_that_does_not_fit_is_refused_before_anything_is_built(minilm, tmp_path, config, message):
    with pytest.raises(errors.InputError, match=message):
        make_backbone(f"hf:{copy_of(minilm, tmp_path / 'folder', config=config)}")


def test_pickled_weights_are_refused_with_the_remedy(minilm, tmp_path):
    folder = copy_of(minilm, tmp_path / "pickled", without=("model.safetensors",))
    (folder / "pytorch_model.bin").write_bytes(b"cos\nsystem\n(S'false'\ntR.")
    with pytest.raises(errors.InputError, match=r"pytorch_model.bin.*can run code.*safe_serialization"):
        make_backbone(f"hf:{folder}")


def test_truncated_weights_and_missing_files_are_refused(minilm, tmp_path):
    folder = copy_of(minilm, tmp_path / "folder", without=("model.safetensors",))
    content = (minilm / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(content[: len(content) // 2])
    with pytest.raises(errors.InputError, match="cannot be read"):
        make_backbone(f"hf:{folder}")
    no_words = copy_of(minilm, tmp_path / "words", without=("tokenizer.json", "vocab.txt"))
    with pytest.raises(errors.InputError, match="without a tokenizer"):
        make_backbone(f"hf:{no_words}")
    with pytest.raises(errors.InputError, match="is no folder"):
        make_backbone(f"hf:{tmp_path / 'nowhere'}")
    shutil.rmtree(folder)


def test_vocabulary_of_another_size_is_refused(minilm, tmp_path):
    folder = copy_of(minilm, tmp_path / "folder", without=("tokenizer.json", "vocab.txt"))
    lines = (minilm / "vocab.txt").read_text(encoding="utf-8").splitlines()
    (folder / "vocab.txt").write_text("\n".join([*lines, "one", "two"]), encoding="utf-8")
    with pytest.raises(errors.InputError, match="30524 tokens in its tokenizer and 30522 in the model"):
        make_backbone(f"hf:{folder}")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"weights": "imagenet"}, "'pretrained'"),
        ({"pooling": "avg"}, "pooling of text 'avg'"),
        ({"image_size": 32}, "reads text"),
    ],
)
def test_arguments_of_images_are_refused(minilm, arguments, message):
    with pytest.raises(errors.InputError, match=message):
        make_backbone(f"hf:{minilm}", **arguments)


def test_frozen_encoder_drops_nothing_and_the_pooler_goes_where_it_is_not_used(minilm):
    task = tasks.make_task("image_classification", label_names=["a", "b"])
    model = training.build_model(make_backbone(f"hf:{minilm}", pooling="mean"), task)
    assert len(model.blocks) == NUM_LAYERS + 2  # the head has taken the pooler's place
    assert not any("pooled_dense" in variable.path for variable in model.weights)
    model.set_trainable(["head.*"])
    model._inference = model.inference_operations()
    first, second = (model(inputs(), training=True).numpy() for _ in range(2))
    np.testing.assert_array_equal(first, second)
    model.set_trainable([".*"])
    model._inference = model.inference_operations()
    assert np.abs(model(inputs(), training=True).numpy() - first).max() > 1e-3
