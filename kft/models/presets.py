"""Presets of keras_nlp: a local folder as `save_to_preset` writes it, or a name, whose files are downloaded."""

import pathlib
from collections.abc import Mapping
from typing import Any

from kft import errors
from kft.models import bert, text
from kft.models import weights as weights_files
from kft.models.backbone import Backbone
from kft.models.sentence_piece import sentence_pieces
from kft.models.tokenizer import Tokenizer, read_json
from kft.models.vocabularies import byte_pairs, word_pieces

CONFIG, TOKENIZER, WEIGHTS = "config.json", "tokenizer.json", "model.weights.h5"
ASSETS = "assets/tokenizer"
# The files of a vocabulary, and who has which.
WORD_PIECES, BYTE_PAIRS, SENTENCE_PIECES = ("vocabulary.txt",), ("vocabulary.json", "merges.txt"), ("vocabulary.spm",)
VOCABULARIES = {
    "albert": SENTENCE_PIECES,
    "bert": WORD_PIECES,
    "deberta_v3": SENTENCE_PIECES,
    "distil_bert": WORD_PIECES,
    "electra": WORD_PIECES,
    "f_net": SENTENCE_PIECES,
    "roberta": BYTE_PAIRS,
    "xlm_roberta": SENTENCE_PIECES,
}


def preset_backbone(
    name: str,
    *,
    image_size: Any = None,
    image_channels: Any = None,
    weights: str = "pretrained",
    pooling: str = "auto",
) -> Backbone:
    """An encoder of keras_nlp by preset.

    Args:
      name: "preset:DIR" for a local folder, or "preset:NAME" for a name in keras_nlp's own list, which is downloaded to
        Kaggle's cache at the version that the list gives.
      image_size, image_channels: None.
      weights: "pretrained" for those of the preset, "none" for random ones.
      pooling: see `kft.models.make_backbone`.

    Raises: InputError for an unknown preset, one that cannot be downloaded, or files that do not fit each other.
    """
    text.check_arguments(name, image_size=image_size, image_channels=image_channels, weights=weights, pooling=pooling)
    preset = name.removeprefix("preset:")
    folder = pathlib.Path(preset) if pathlib.Path(preset).is_dir() else _download(preset)
    config = _config(folder)
    tokenizer = _tokenizer(folder, config)

    def load(made: Any) -> None:
        if weights == "pretrained":
            weights_files.load(made, str(folder / WEIGHTS), what=f"backbone {name!r}")

    model, blocks = bert.encoder(config, load=load)
    return text.text_backbone(name, config, model, blocks, tokenizer, pooling)


def _config(folder: pathlib.Path) -> bert.TextConfig:
    raw = read_json(folder / CONFIG)
    families = {family.model: key for key, family in bert.FAMILIES.items()}
    made = raw.get("class_name")
    if made not in families:
        raise errors.unknown_name(f"class in {str(folder / CONFIG)!r}", str(made), families)
    key = families[made]
    family = bert.FAMILIES[key]
    inner = raw.get("config")
    numbers = {
        argument: value
        for argument, value in (inner.items() if isinstance(inner, dict) else ())
        if type(value) in (int, float) and 0 <= value < 2**31
    }
    if family.vocabulary in numbers:
        numbers["vocabulary_size"] = numbers.pop(family.vocabulary)
    missing = [argument for argument in ("vocabulary_size", "num_layers", "hidden_dim") if argument not in numbers]
    if missing:
        raise errors.InputError(
            f"Got {str(folder / CONFIG)!r} without {', '.join(missing)}. Expected the config of {made}. "
            "Use an intact copy."
        )
    dropout = numbers.get("dropout", 0.1)
    return bert.TextConfig(key, numbers, family.activation, family.epsilon, dropout, family.pooler)


def _tokenizer(folder: pathlib.Path, config: bert.TextConfig) -> Tokenizer:
    settings = read_json(folder / TOKENIZER).get("config")
    settings = settings if isinstance(settings, dict) else {}
    missing = [file for file in VOCABULARIES[config.family] if not (folder / ASSETS / file).is_file()]
    if missing:
        raise errors.InputError(
            f"Got preset {str(folder)!r} without {ASSETS}/{missing[0]}. Expected the tokenizer too. "
            "Save it there with tokenizer.save_to_preset."
        )
    if VOCABULARIES[config.family] == WORD_PIECES:
        words = (folder / ASSETS / "vocabulary.txt").read_text(encoding="utf-8").splitlines()
        rust = word_pieces(words, lowercase=bool(settings.get("lowercase")))
    elif VOCABULARIES[config.family] == SENTENCE_PIECES:
        file = folder / ASSETS / "vocabulary.spm"
        rust = sentence_pieces(file.read_bytes(), what=repr(str(file)), fairseq=config.family == "xlm_roberta")
    else:
        merges = (folder / ASSETS / "merges.txt").read_text(encoding="utf-8").split("\n")
        vocabulary = read_json(folder / ASSETS / "vocabulary.json")
        rust = byte_pairs(vocabulary, merges, add_prefix_space=bool(settings.get("add_prefix_space")))
    pad_id = next((found for token in ("[PAD]", "<pad>") if (found := rust.token_to_id(token)) is not None), 0)
    tokenizer = Tokenizer(rust, max_length=int(config.arguments.get("max_sequence_length", 512)), pad_id=pad_id)
    if tokenizer.vocabulary_size > config.arguments["vocabulary_size"]:
        raise errors.InputError(
            f"Got preset {str(folder)!r} with {tokenizer.vocabulary_size} tokens in its tokenizer and "
            f"{config.arguments['vocabulary_size']} in the model. Expected the same vocabulary. "
            "Use the files of one model."
        )
    return tokenizer


def _download(preset: str) -> pathlib.Path:
    """The folder with the files of a preset in keras_nlp's list."""
    handles = _handles()
    if preset not in handles:
        raise errors.unknown_name("preset (and no such folder)", preset, handles)
    family, handle = handles[preset]
    files = (CONFIG, TOKENIZER, WEIGHTS, *(f"{ASSETS}/{file}" for file in VOCABULARIES[family]))
    try:
        import kagglehub

        places = [kagglehub.model_download(handle.removeprefix("kaggle://"), file) for file in files]
    except Exception as error:  # whatever the network and Kaggle's client raise
        raise errors.InputError(
            f"Got preset {preset!r}, and {handle} could not be downloaded: {error}. Expected the network, or the files "
            f"in Kaggle's cache. Download {', '.join(files)} on another machine into a folder, and give "
            "'preset:FOLDER'."
        ) from error
    return pathlib.Path(places[0]).parent


def _handles() -> Mapping[str, tuple[str, str]]:
    """Preset -> family and place, with its version."""
    found = {}
    for key, family in bert.FAMILIES.items():
        for name, entry in getattr(bert.keras_nlp().models, family.model).presets.items():
            found[name] = (key, entry.get("kaggle_handle", ""))
    return found
