"""A local folder as Hugging Face writes it: config.json, model.safetensors and the tokenizer's files."""

import math
import pathlib
import re
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
import safetensors

from kft import errors
from kft.models import weights as weights_files
from kft.models.bert import TextConfig
from kft.models.hugging_face_names import ACTIVATIONS, NAMES, Names
from kft.models.sentence_piece import sentence_pieces
from kft.models.tokenizer import Tokenizer, read_json, read_tokenizer
from kft.models.vocabularies import byte_pairs, word_pieces

WEIGHTS = "model.safetensors"
PICKLED = ("pytorch_model.bin", "model.bin", "flax_model.msgpack", "tf_model.h5")
SENTENCE_PIECES = {"deberta_v3": "spm.model", "xlm_roberta": "sentencepiece.bpe.model"}
DTYPES = ("F32", "F16", "BF16", "F64")
# The heads of a checkpoint, which a backbone leaves out, and counters that are no weights.
NOT_OURS = re.compile(
    r"(cls|lm_head|classifier|pre_classifier|qa_outputs|vocab_\w+|predictions|sop_classifier|mask_predictions"
    r"|discriminator_predictions|generator_\w+)\..*|(.*\.)?embeddings\.(position_ids|token_type_ids)|(.*\.)?pooler\..*"
)


def read_config(folder: pathlib.Path, arrays: "Arrays") -> TextConfig:
    """The architecture that config.json describes.

    Args:
      folder: with config.json.
      arrays: of the weights, for what config.json does not say: whether there is a pooler.

    Raises: InputError for a family that kft does not have, or numbers that are missing.
    """
    raw = read_json(folder / "config.json")
    names = names_of(folder)

    def number(name: str, kinds: tuple = (int,), default: Any = None) -> Any:
        value = raw.get(name, default)
        if type(value) not in kinds or not 0 <= value < 2**31:
            raise errors.InputError(
                f"Got {str(folder / 'config.json')!r} with {name}={value!r}. Expected a number of at least 0. "
                "Use an intact copy."
            )
        return value

    for name, allowed in names.required.items():
        if raw.get(name) not in allowed:
            raise errors.InputError(
                f"Got {str(folder / 'config.json')!r} with {name}={raw.get(name)!r}. Expected {allowed[0]!r}, as "
                "nothing else is implemented. Use another model."
            )
    activation = raw.get(names.activation, "gelu")
    if activation not in ACTIVATIONS:
        raise errors.unknown_name(f"{names.activation} in config.json", str(activation), ACTIVATIONS)
    arguments = {ours: number(theirs) for ours, theirs in names.arguments.items()}
    arguments["dropout"] = number(names.dropout, (int, float), 0.1)
    if names.offset:
        arguments["max_sequence_length"] -= number("pad_token_id") + 1
    pooler = names.variables.get("pooled_dense")
    return TextConfig(
        family=names.family,
        arguments=arguments,
        activation=ACTIVATIONS[activation],
        layer_norm_epsilon=number("layer_norm_eps", (int, float), names.epsilon),
        attention_dropout=number(names.attention_dropout, (int, float), 0.1) if "num_heads" in arguments else 0.0,
        pooler=pooler is not None and f"{arrays.prefix(names)}{pooler}.weight" in arrays.shapes,
    )


def names_of(folder: pathlib.Path) -> Names:
    """The names of a folder's family."""
    kind = read_json(folder / "config.json").get("model_type")
    if kind not in NAMES:
        raise errors.InputError(
            f"Got {str(folder)!r} with model_type {kind!r}. Expected one of: {', '.join(map(repr, sorted(NAMES)))}. "
            "Use a folder of one of these families."
        )
    return NAMES[kind]


class Arrays:
    """The safetensors of a folder, one file or several, whose headers were read and nothing more.

    Args:
      folder: with model.safetensors, or with model.safetensors.index.json and the files that it names.

    Raises: InputError if there is none, only one that can run code when it is read, or one that is named is missing.
    """

    def __init__(self, folder: pathlib.Path):
        self.file = folder / WEIGHTS
        files = [self.file] if self.file.is_file() else _files_of_index(folder)
        if not files:
            there = [name for name in PICKLED if (folder / name).exists()]
            raise errors.InputError(
                f"Got {str(folder)!r} without {WEIGHTS}{f', with {there[0]}' if there else ''}. Expected weights as "
                "arrays: a pickled file can run code when it is read. Take the model's safetensors, or convert it once "
                "where you trust it: save_pretrained(..., safe_serialization=True)."
            )
        self._streams: dict[str, Any] = {}
        self.shapes, self.dtypes = {}, {}
        for file in files:
            try:
                stream = safetensors.safe_open(str(file), framework="numpy")
                slices = {name: stream.get_slice(name) for name in stream.keys()}  # noqa: SIM118  no mapping
            except (OSError, safetensors.SafetensorError) as error:
                raise errors.InputError(
                    f"Got {str(file)!r}, which cannot be read: {error}. Expected a whole safetensors file. "
                    "Download it again."
                ) from error
            self._streams |= dict.fromkeys(slices, stream)
            self.shapes |= {name: tuple(part.get_shape()) for name, part in slices.items()}
            self.dtypes |= {name: part.get_dtype() for name, part in slices.items()}

    def prefix(self, names: Names) -> str:
        """What stands before every name: nothing, or the family where the checkpoint also has a head."""
        name = f"{_tokens(names)}.weight"
        found = [full.removesuffix(name) for full in self.shapes if full == name or full.endswith(f".{name}")]
        if len(found) != 1:
            raise errors.InputError(
                f"Got {str(self.file)!r} with {len(found)} arrays {name!r}. Expected one. Use a folder of a "
                f"{names.family} model."
            )
        return found[0]

    def read(self, name: str) -> np.ndarray:
        """One array, as float32."""
        return np.asarray(self._streams[name].get_tensor(name)).astype("float32")


def _files_of_index(folder: pathlib.Path) -> list[pathlib.Path]:
    """The files of weights that are in several; none without an index."""
    index = folder / f"{WEIGHTS}.index.json"
    if not index.is_file():
        return []
    names = read_json(index).get("weight_map")
    names = sorted(set(map(str, names.values()))) if isinstance(names, dict) else []
    for name in names:
        if pathlib.PurePath(name).name != name or not name.endswith(".safetensors"):
            raise errors.InputError(
                f"Got {str(index)!r}, which names {name!r}. Expected safetensors files in the same folder. "
                "Do not use this folder unless you know who made it."
            )
    return [folder / name for name in names]


def check_sizes(config: TextConfig, names: Names, arrays: Arrays) -> None:
    """Raises InputError, before a model is built, unless the widths in config.json are those of the arrays."""
    prefix, n = arrays.prefix(names), config.arguments
    layer = next(theirs for ours, theirs in names.variables.items() if ours.endswith("intermediate_dense"))
    pattern = re.compile(re.escape(f"{prefix}{layer}.weight").replace(r"\{\}", r"(\d+)"))
    found = {match.groups(): match[0] for match in map(pattern.fullmatch, arrays.shapes) if match}
    count = n["num_groups"] * n["num_inner_repetitions"] if config.family == "albert" else n["num_layers"]
    expected = {f"{prefix}{_tokens(names)}.weight": (n["vocabulary_size"], n.get("embedding_dim", n["hidden_dim"]))}
    expected |= dict.fromkeys(found.values(), (n["intermediate_dim"], n["hidden_dim"]))
    problems = [
        f"{name} has shape {arrays.shapes.get(name)}, config.json says {shape}"
        for name, shape in expected.items()
        if arrays.shapes.get(name) != shape
    ]
    if len(found) != count:
        problems.append(f"there are {len(found)} layers, config.json says {count}")
    if problems:
        raise _does_not_fit(arrays, problems)


def load(model: keras.Model, names: Names, arrays: Arrays) -> None:
    """Loads all weights or none.

    Args:
      model: of `kft.models.bert.encoder`.
      names: of its family.
      arrays: of the folder.

    Raises: InputError, with the arrays, if one is missing, extra, of another shape or type, or not finite.
    """
    prefix = arrays.prefix(names)
    places = {weight.path: _place(weight, names, prefix, arrays) for weight in model.weights}
    segment = f"{prefix}embeddings.token_type_embeddings.weight"
    segment = segment if names.offset and segment in arrays.shapes else None
    problems = []
    for weight in model.weights:
        name, shape = places[weight.path], _their_shape(weight)
        got = arrays.shapes.get(name)
        if names.offset and got and "position_embedding" in weight.path:
            got = (min(got[0], shape[0]), *got[1:])  # a few rows more stand at the begin
        if name not in arrays.shapes:
            problems.append(f"missing: {name}")
        elif got != shape or arrays.dtypes[name] not in DTYPES:
            problems.append(f"{name} is {arrays.dtypes[name]} {arrays.shapes[name]} instead of F32 {shape}")
    used = {*places.values(), segment}
    problems += [f"extra: {name}" for name in arrays.shapes if name not in used and not NOT_OURS.fullmatch(name)]
    if problems:
        raise _does_not_fit(arrays, problems)
    values = {weight.path: arrays.read(places[weight.path]) for weight in model.weights}
    weights_files.check_finite(values, what=str(arrays.file))
    for weight in model.weights:
        value = values.pop(weight.path)
        if names.offset and "position_embedding" in weight.path:
            value = value[len(value) - weight.shape[0] :] + (arrays.read(segment)[0] if segment else 0)
        value = value.T if weight.path.endswith("/kernel") else value
        weight.assign(value.reshape(weight.shape))


def make_tokenizer(folder: pathlib.Path, config: TextConfig) -> Tokenizer:
    """The tokenizer of a folder: tokenizer.json, or else vocab.txt, vocab.json and merges.txt, or SentencePiece's file.

    Raises: InputError if there is none, or its vocabulary is not the model's.
    """
    settings_file = folder / "tokenizer_config.json"
    settings = read_json(settings_file) if settings_file.is_file() else {}
    if (folder / "tokenizer.json").is_file():
        tokenizer = read_tokenizer(folder / "tokenizer.json")
    elif (folder / "vocab.txt").is_file():
        tokenizer = word_pieces(
            (folder / "vocab.txt").read_text(encoding="utf-8").splitlines(),
            lowercase=bool(settings.get("do_lower_case", True)),
            strip_accents=settings.get("strip_accents"),
            chinese=bool(settings.get("tokenize_chinese_chars", True)),
        )
    elif (folder / "vocab.json").is_file() and (folder / "merges.txt").is_file():
        tokenizer = byte_pairs(
            read_json(folder / "vocab.json"),
            (folder / "merges.txt").read_text(encoding="utf-8").split("\n"),
            add_prefix_space=bool(settings.get("add_prefix_space", False)),
        )
    elif (folder / SENTENCE_PIECES.get(config.family, "/")).is_file():
        file = folder / SENTENCE_PIECES[config.family]
        tokenizer = sentence_pieces(
            file.read_bytes(),
            what=repr(str(file)),
            fairseq=config.family == "xlm_roberta",
            lowercase=bool(settings.get("do_lower_case", False)),
        )
    else:
        files = ["tokenizer.json", "vocab.txt", "vocab.json and merges.txt", SENTENCE_PIECES.get(config.family)]
        raise errors.InputError(
            f"Got {str(folder)!r} without a tokenizer. Expected one of: {', '.join(filter(None, files))}. Download "
            "the model's."
        )
    positions = config.arguments["max_sequence_length"]
    limit = settings.get("model_max_length", positions)
    made = Tokenizer(
        tokenizer,
        max_length=min(positions, limit) if type(limit) is int and limit > 2 else positions,
        pad_id=_pad_id(folder, tokenizer, settings),
    )
    size = config.arguments["vocabulary_size"]
    if not 0.99 * size <= made.vocabulary_size <= size:  # some models have a few rows more, to a round number
        raise errors.InputError(
            f"Got {str(folder)!r} with {made.vocabulary_size} tokens in its tokenizer and {size} in the model. "
            "Expected the same vocabulary. Use the tokenizer's files of this very model."
        )
    return made


def _pad_id(folder: pathlib.Path, tokenizer: Any, settings: Mapping[str, Any]) -> int:
    token = settings.get("pad_token")
    token = token.get("content") if isinstance(token, dict) else token
    found = tokenizer.token_to_id(token) if isinstance(token, str) else None
    if found is None:
        found = read_json(folder / "config.json").get("pad_token_id", 0)
    return found if type(found) is int and found >= 0 else 0


def _tokens(names: Names) -> str:
    return next(theirs for ours, theirs in names.variables.items() if ours.endswith("token_embedding"))


def _does_not_fit(arrays: Arrays, problems: list[str]) -> errors.InputError:
    return errors.InputError(
        f"Got {str(arrays.file)!r}, which does not fit its config.json: {'; '.join(problems[:20])}. "
        "Expected files of one model. Download the folder again."
    )


def _place(weight: keras.Variable, names: Names, prefix: str, arrays: Arrays) -> str:
    """The name of a weight's array."""
    layer, _, last = weight.path.rpartition("/")
    numbers = re.findall(r"(?<=_)\d+", layer)
    name = prefix + names.variables[re.sub(r"(?<=_)\d+", "{}", layer)].format(*numbers)
    words = ("bias", "beta") if last in ("bias", "beta") else ("weight", "gamma")
    return next((f"{name}.{word}" for word in words if f"{name}.{word}" in arrays.shapes), f"{name}.{words[0]}")


def _their_shape(weight: keras.Variable) -> tuple[int, ...]:
    """Dense kernels are (out, in) there, and attention heads one axis."""
    shape = tuple(weight.shape)
    layer, _, last = weight.path.rpartition("/")
    if last == "bias":
        return (math.prod(shape),)
    if last != "kernel":
        return shape
    split = len(shape) - 1 if layer.endswith("attention_output") else 1
    return math.prod(shape[split:]), math.prod(shape[:split])
