"""A preset of keras_nlp gives what keras_nlp gives, and one that cannot be had says what to do."""

import json
import pathlib

import numpy as np
import pytest

from kft import errors
from kft.models import make_backbone
from kft.models.presets import _handles
from kft.models.sentence_piece import sentence_pieces

HERE = pathlib.Path(__file__).parent

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "cafe", "##s", "a"]
PAIRS = {"<s>": 0, "<pad>": 1, "</s>": 2, "<unk>": 3, "<mask>": 4, "a": 5, "b": 6, "ab": 7}
NUMBERS = {"num_layers": 2, "num_heads": 2, "hidden_dim": 8, "intermediate_dim": 16, "max_sequence_length": 12}


@pytest.fixture(params=["Bert", "DistilBert", "Electra", "Roberta"])
def preset(request, tmp_path):
    """A folder, and what was saved there."""
    from keras_nlp import models

    vocabulary = PAIRS if request.param == "Roberta" else WORDS
    size = {"vocab_size" if request.param == "Electra" else "vocabulary_size": len(vocabulary)}
    more = {"embedding_dim": 6} if request.param == "Electra" else {}
    saved = getattr(models, f"{request.param}Backbone")(**NUMBERS, **size, **more)
    saved.save_to_preset(str(tmp_path))
    arguments = {"vocabulary": PAIRS, "merges": ["a b"]} if request.param == "Roberta" else {"vocabulary": WORDS}
    if request.param != "Roberta":
        arguments["lowercase"] = True
    getattr(models, f"{request.param}Tokenizer")(**arguments).save_to_preset(str(tmp_path))
    return tmp_path, saved


def test_a_local_preset_gives_what_keras_nlp_gives(preset):
    folder, saved = preset
    backbone = make_backbone(f"preset:{folder}")
    x = {"token_ids": np.array([[2, 5, 6, 3, 0], [2, 7, 3, 0, 0]], "int32")}
    x["padding_mask"] = (x["token_ids"] != 0).astype("int32")
    x["segment_ids"] = np.zeros_like(x["token_ids"])
    x = {name: x[name] for name in saved.input}
    expected = saved(x)
    expected = expected["sequence_output"] if isinstance(expected, dict) else expected
    np.testing.assert_allclose(backbone.model(x)["sequence_output"], expected, atol=1e-5)
    assert len(backbone.blocks) == 3 + ("pooled_dense" in {layer.name for layer in saved.layers})


def test_its_tokenizer_is_there(preset):
    tokenizer = make_backbone(f"preset:{preset[0]}").tokenizer
    if tokenizer.vocabulary_size == len(PAIRS):
        assert tokenizer.pack(tokenizer.encode(["abba"]).token_ids)[0].tolist() == [0, 7, 6, 5, 2]
        assert tokenizer.pad_id == 1
    else:  # an uncased vocabulary expects text without accents
        assert tokenizer.pack(tokenizer.encode(["The CAFÉs"]).token_ids)[0].tolist() == [2, 5, 6, 7, 3]
    assert tokenizer.max_length == 12


def test_random_weights_and_files_that_do_not_fit(preset):
    folder, saved = preset
    random = make_backbone(f"preset:{folder}", weights="none")
    kernels = [v for v in random.model.weights if v.path.endswith("query/kernel")]
    by_path = {v.path: v for v in saved.weights}
    assert not any(np.array_equal(v, by_path[v.path]) for v in kernels)
    content = json.loads((folder / "config.json").read_text())
    content["config"]["hidden_dim"] = 16
    (folder / "config.json").write_text(json.dumps(content))
    with pytest.raises(errors.InputError, match="do not fit"):
        make_backbone(f"preset:{folder}")
    content["class_name"] = "Sequential"
    (folder / "config.json").write_text(json.dumps(content))
    with pytest.raises(errors.InputError, match="'BertBackbone'"):
        make_backbone(f"preset:{folder}")


def test_every_family_has_names_with_a_pinned_version():
    handles = _handles()
    assert {"bert_tiny_en_uncased", "roberta_base_en", "albert_base_en_uncased"} <= set(handles)
    assert all(handle.startswith("kaggle://") and handle.rpartition("/")[2].isdigit() for _, handle in handles.values())


def test_without_network_a_name_says_what_to_do(monkeypatch, tmp_path):
    monkeypatch.setenv("KAGGLEHUB_CACHE", str(tmp_path))
    with pytest.raises(errors.InputError, match=r"could not be downloaded.*'preset:FOLDER'"):
        make_backbone("preset:bert_tiny_en_uncased")
    with pytest.raises(errors.InputError, match="Did you mean 'bert_tiny_en_uncased'"):
        make_backbone("preset:bert_tiny_en_uncase")


@pytest.fixture(params=["Albert", "DebertaV3", "FNet", "XLMRoberta"])
def sentence_preset(request, tmp_path):
    """A folder with the pieces of make_sentence_pieces.py, and whether its ids are XLM-RoBERTa's."""
    from keras_nlp import models

    numbers = {name: value for name, value in NUMBERS.items() if request.param != "FNet" or name != "num_heads"}
    more = {"Albert": {"embedding_dim": 6}, "DebertaV3": {"bucket_size": 4}}.get(request.param, {})
    getattr(models, f"{request.param}Backbone")(vocabulary_size=202, **numbers, **more).save_to_preset(str(tmp_path))
    (tmp_path / "tokenizer.json").write_text('{"config": {}}')
    (tmp_path / "assets" / "tokenizer").mkdir(parents=True)
    (tmp_path / "assets" / "tokenizer" / "vocabulary.spm").write_bytes((HERE / "pieces.spm").read_bytes())
    return tmp_path, request.param == "XLMRoberta"


def test_sentence_pieces_are_those_of_sentencepiece(sentence_preset):
    folder, fairseq = sentence_preset
    tokenizer = make_backbone(f"preset:{folder}").tokenizer
    for text, expected in json.loads((HERE / "pieces.json").read_text(encoding="utf-8")).items():
        ids = tokenizer.encode([text]).token_ids.tolist()
        # <s>, <pad>, </s> and <unk> take the places of the first three pieces, of which one was unknown
        assert ids == ([3 if one == 1 else one + 1 for one in expected] if fairseq else expected), text
        packed = tokenizer.pack(np.array(ids, "int32"))[0].tolist()
        assert packed == ([0, *ids, 2] if fairseq else [2, *ids, 3])


@pytest.mark.parametrize(
    "content",
    [b"", b"\x0a", b"\x0a\xff\xff\xff\xff\x7f", b"\x80" * 30, b"\x0b\x01", b"text, no pieces", b"\x0a\x02\x0a\x00"],
)
def test_a_file_that_is_no_vocabulary_is_refused(content):
    with pytest.raises(errors.InputError, match=r"no SentencePiece vocabulary|unknown tokens"):
        sentence_pieces(content, what="'file'")
