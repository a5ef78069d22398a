"""Every family read from a folder gives what transformers gives, over tiny random models of make_tiny_reference.py."""

import functools
import json
import pathlib

import numpy as np
import pytest
import safetensors.numpy

from kft import errors
from kft.models import bert, hugging_face
from kft.models.hugging_face_names import NAMES

HERE = pathlib.Path(__file__).parent
POOLED = ("albert", "bert", "fnet")


@functools.cache
def reference():
    with np.load(HERE / "tiny_reference.npz") as file:
        return dict(file)


def folder_of(kind, folder, change=None, config=None):
    """The folder that transformers wrote."""
    prefix = f"{kind}/weights/"
    arrays = {name.removeprefix(prefix): value for name, value in reference().items() if name.startswith(prefix)}
    if change:
        change(arrays)
    safetensors.numpy.save_file(arrays, folder / "model.safetensors")
    content = json.loads(str(reference()[f"{kind}/config"])) | (config or {})
    (folder / "config.json").write_text(json.dumps(content), encoding="utf-8")
    return folder


def read(folder):
    arrays, names = hugging_face.Arrays(folder), hugging_face.names_of(folder)
    config = hugging_face.read_config(folder, arrays)
    hugging_face.check_sizes(config, names, arrays)
    model, _ = bert.encoder(config)
    hugging_face.load(model, names, arrays)
    return config, model


def outputs_of(model):
    return model({name: reference()[name] for name in model.input})


def test_every_family_is_there():
    assert {names.family for names in NAMES.values()} == set(bert.FAMILIES)


@pytest.mark.parametrize("kind", NAMES)
def test_outputs_are_those_of_transformers(kind, tmp_path):
    config, model = read(folder_of(kind, tmp_path))
    outputs = outputs_of(model)
    mask = reference()["padding_mask"][..., None] if kind != "fnet" else 1
    expected = reference()[f"{kind}/sequence"]
    np.testing.assert_allclose(outputs["sequence_output"] * mask, expected * mask, atol=2e-5)
    assert config.pooler == (kind in POOLED)
    if config.pooler:
        np.testing.assert_allclose(outputs["pooled_output"], reference()[f"{kind}/pooled"], atol=2e-5)


@pytest.mark.parametrize("kind", NAMES)
def test_a_checkpoint_with_a_head_gives_the_same(kind, tmp_path):
    def with_head(arrays):
        for name in list(arrays):
            arrays[f"{kind.replace('-', '_')}.{name}"] = arrays.pop(name)
        arrays["classifier.weight"] = np.zeros((2, 8), "float32")

    _, model = read(folder_of(kind, tmp_path, with_head))
    mask = reference()["padding_mask"][..., None] if kind != "fnet" else 1
    expected = reference()[f"{kind}/sequence"] * mask
    np.testing.assert_allclose(outputs_of(model)["sequence_output"] * mask, expected, atol=2e-5)


@pytest.mark.parametrize("kind", NAMES)
def test_a_missing_or_extra_array_is_named(kind, tmp_path):
    first = (f"{kind}/weights/encoder", f"{kind}/weights/transformer")
    name = next(name.split("/weights/")[1] for name in reference() if name.startswith(first))
    with pytest.raises(errors.InputError, match=f"missing: {name}|layers, config.json says|has shape None"):
        read(folder_of(kind, tmp_path, lambda arrays: arrays.pop(name)))
    with pytest.raises(errors.InputError, match="extra: encoder.more"):
        read(folder_of(kind, tmp_path, lambda arrays: arrays.update({"encoder.more": np.zeros(2, "float32")})))


@pytest.mark.parametrize(
    ("kind", "config"),
    [
        ("bert", {"position_embedding_type": "relative_key"}),
        ("deberta-v2", {"pos_att_type": ["c2p"]}),
        ("deberta-v2", {"share_att_key": False}),
        ("deberta-v2", {"conv_kernel_size": 3}),
        ("deberta-v2", {"position_biased_input": True}),
    ],
)
def test_variants_that_are_not_implemented_are_refused(kind, config, tmp_path):
    with pytest.raises(errors.InputError, match="nothing else is implemented"):
        read(folder_of(kind, tmp_path, config=config))


def test_epsilon_and_activation_are_those_of_the_config(tmp_path):
    """With others the outputs differ, so the test above sees them."""
    for config in ({"layer_norm_eps": 1e-12}, {"hidden_act": "gelu_new"}):
        _, model = read(folder_of("bert", tmp_path, config=config))
        difference = outputs_of(model)["sequence_output"] - reference()["bert/sequence"]
        assert np.abs(difference[:1]).max() > 1e-4


@pytest.mark.parametrize(("kind", "file"), [("deberta-v2", "spm.model"), ("xlm-roberta", "sentencepiece.bpe.model")])
def test_a_folder_with_sentence_pieces_alone_has_a_tokenizer(kind, file, tmp_path):
    folder = folder_of(kind, tmp_path, config={"vocab_size": 202 if kind == "xlm-roberta" else 200})
    (folder / file).write_bytes((HERE / "pieces.spm").read_bytes())
    config = hugging_face.read_config(folder, hugging_face.Arrays(folder))
    tokenizer = hugging_face.make_tokenizer(folder, config)
    expected = json.loads((HERE / "pieces.json").read_text(encoding="utf-8"))["the same model"]
    if kind == "xlm-roberta":
        expected = [one + 1 for one in expected]
    assert tokenizer.encode(["the same model"]).token_ids.tolist() == expected
    (folder / "tokenizer_config.json").write_text('{"do_lower_case": true}')
    lower = hugging_face.make_tokenizer(folder, config)
    assert lower.encode(["The SAME model"]).token_ids.tolist() == expected


def test_weights_in_several_files_are_those_in_one(tmp_path):
    folder = folder_of("bert", tmp_path)
    _, expected = read(folder)
    arrays = safetensors.numpy.load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    places = {name: f"model-0000{index % 2 + 1}-of-00002.safetensors" for index, name in enumerate(sorted(arrays))}
    for place in set(places.values()):
        part = {name: value for name, value in arrays.items() if places[name] == place}
        safetensors.numpy.save_file(part, folder / place)
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": places}))
    _, model = read(folder)
    for weight, value in zip(model.weights, expected.weights):
        np.testing.assert_array_equal(weight.numpy(), value.numpy())
    for name in ("../outside.safetensors", "/etc/passwd", "model.bin"):
        index.write_text(json.dumps({"weight_map": dict.fromkeys(places, name)}))
        with pytest.raises(errors.InputError, match="in the same folder"):
            read(folder)
    index.write_text(json.dumps({"weight_map": dict.fromkeys(places, "missing.safetensors")}))
    with pytest.raises(errors.InputError, match=r"missing.safetensors.*cannot be read"):
        read(folder)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
def test_other_precisions_become_float32(dtype, tmp_path):
    import ml_dtypes

    kind = ml_dtypes.bfloat16 if dtype == "bfloat16" else dtype

    def cast(arrays):
        arrays.update({name: value.astype(kind) for name, value in arrays.items() if value.dtype == "float32"})

    _, model = read(folder_of("bert", tmp_path, cast))
    weight = model.weights[0]
    expected = reference()["bert/weights/embeddings.word_embeddings.weight"].astype(kind).astype("float32")
    assert weight.dtype == "float32"
    np.testing.assert_array_equal(weight.numpy(), expected)
