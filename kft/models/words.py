"""The user's own model of words: Keras' TextVectorization in front of a functional model."""

import hashlib
import json
import pathlib
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from kft import errors
from kft.models.backbone import Features
from kft.models.token_pooling import POOLINGS, pool
from kft.models.tokenizer import CHUNK, Encoded, read_json

FILE = "words.json"
MANY = 2**31 - 1  # as the model has no table of positions
NUM_ADDED = 2  # padding "" and "[UNK]", before the words
MODES = ("int", "multi_hot", "count")
NOT_KEPT = (
    "Expected settings by name, such as standardize='lower_and_strip_punctuation', as they are kept with the model."
)


class WordTokenizer:
    """One token for each word, by the rules and the vocabulary of a TextVectorization; no special tokens.

    Args:
      layer: `keras.layers.TextVectorization`, with a vocabulary or to be adapted.

    Raises: InputError for rules that are functions, or n-grams.
    """

    pad_id, unk_id = 0, 1
    max_length = MANY

    def __init__(self, layer: keras.layers.TextVectorization):
        config = layer.get_config()
        self._settings = {name: config[name] for name in ("standardize", "split", "encoding")}
        if not all(isinstance(value, str | None) for value in self._settings.values()) or config["ngrams"]:
            raise errors.InputError(
                f"Got TextVectorization {layer.name!r} with {self._settings!r} and ngrams={config['ngrams']!r}. "
                f"{NOT_KEPT} N-grams are not taken. Change them."
            )
        self.max_tokens = config["max_tokens"]
        if config["output_mode"] == "int":
            self.max_length = config["output_sequence_length"] or MANY
        elif self.max_tokens is not None:
            self.max_tokens += 1  # there padding has no place of its own
        self._set(layer.get_vocabulary(include_special_tokens=False))

    def _set(self, words: Sequence[str]) -> None:
        self.words = tuple(map(str, words))
        self.vocabulary_size = len(self.words) + NUM_ADDED
        self._layer = None
        if self.words:
            self._layer = keras.layers.TextVectorization(ragged=True, vocabulary=list(self.words), **self._settings)

    @property
    def needs_texts(self) -> bool:
        """Whether `adapt` has to be called with the training texts first."""
        return not self.words

    def adapt(self, texts: Sequence[str]) -> None:
        """Takes the most frequent words of the training texts as vocabulary, as Keras' `adapt` does.

        Raises: InputError if there is no word in them.
        """
        layer = keras.layers.TextVectorization(max_tokens=self.max_tokens, **self._settings)
        batches = [np.asarray(texts[start : start + CHUNK], dtype=object) for start in range(0, len(texts), CHUNK)]
        with tf.device("CPU:0"):
            layer.adapt(
                tf.data.Dataset.from_generator(lambda: batches, output_signature=tf.TensorSpec((None,), "string"))
            )
        words = layer.get_vocabulary(include_special_tokens=False)
        if not words:
            raise errors.InputError(
                f"Got {len(texts)} training texts without a word. Expected words to learn the vocabulary from. "
                "Check the text column."
            )
        self._set(words)

    def num_special_tokens(self, pair: bool) -> int:
        """0."""
        return 0

    def encode(self, texts: Sequence[str], *, spans: bool = True) -> Encoded:
        """Word ids; spans are None, as the rules do not tell them."""
        if self._layer is None:
            raise errors.InputError(
                "Got texts before the vocabulary. Expected the training texts first. Call `tokenizer.adapt(texts)`."
            )
        ids, lengths = [np.zeros(0, "int32")], [np.zeros(0, "int64")]
        for start in range(0, len(texts), CHUNK):
            chunk = tf.constant(list(texts[start : start + CHUNK]), "string")
            ragged = self._layer(chunk)
            ids.append(ragged.flat_values.numpy().astype("int32"))
            lengths.append(ragged.row_lengths().numpy())
        offsets = np.concatenate([np.zeros(1, "int64"), np.cumsum(np.concatenate(lengths))]).astype("int64")
        return Encoded(np.concatenate(ids), offsets)

    def encode_words(self, sentences: Sequence[Sequence[str]]) -> Encoded:
        """The same for sentences that are split already; a word may have no token, or several."""
        flat = [word for words in sentences for word in words]
        encoded = self.encode(flat)
        counts = np.diff(encoded.offsets)
        num_words = np.fromiter(map(len, sentences), "int64", len(sentences))
        first = np.concatenate([np.zeros(1, "int64"), np.cumsum(num_words)])
        places = np.concatenate([np.arange(n, dtype="int32") for n in num_words] or [np.zeros(0, "int32")])
        spans = np.array([(0, len(word)) for word in flat], "int32").reshape(-1, 2)
        return Encoded(
            encoded.token_ids, encoded.offsets[first], np.repeat(spans, counts, axis=0), np.repeat(places, counts)
        )

    def pack(self, first: np.ndarray, second: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """The ids of one text, or of two after each other; segments 0 and 1."""
        second = np.zeros(0, "int32") if second is None else second
        segments = np.repeat(np.array([0, 1], "int32"), [len(first), len(second)])
        return np.concatenate([first, second]).astype("int32"), segments

    def token(self, token_id: int) -> str:
        """The word of an id."""
        return ("", "[UNK]", *self.words)[int(token_id)]

    def digest(self) -> str:
        """SHA-256 of the rules and the vocabulary."""
        return hashlib.sha256(self._text().encode()).hexdigest()

    def save(self, folder: str | pathlib.Path) -> None:
        """Writes rules and vocabulary into a folder."""
        folder = pathlib.Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / FILE).write_text(self._text() + "\n", encoding="utf-8")

    def load(self, folder: str | pathlib.Path) -> None:
        """Takes the vocabulary that `save` wrote.

        Raises: InputError if it is not there, or of other rules.
        """
        content = read_json(pathlib.Path(folder) / FILE)
        words = content.pop("words", None)
        if content != self._settings or not isinstance(words, list) or not all(isinstance(word, str) for word in words):
            raise errors.InputError(
                f"Got {str(pathlib.Path(folder) / FILE)!r} of other rules than {self._settings!r}. Expected those of "
                "the model. Use an intact copy, and the function that made the model."
            )
        self._set(words)

    def _text(self) -> str:
        return json.dumps({**self._settings, "words": list(self.words)}, ensure_ascii=False)


def has_words(model: keras.Model) -> bool:
    """Whether a model takes strings and begins with a TextVectorization."""
    first = [layer for layer in model.layers if isinstance(layer, keras.layers.TextVectorization)]
    return len(model.inputs) == 1 and model.inputs[0].dtype == "string" and len(first) == 1


def ids_model(model: keras.Model, run: Callable[[keras.Model, list], list]) -> tuple[keras.Model, WordTokenizer]:
    """The part of a model behind its TextVectorization, as a model of word ids, and the tokenizer in front of it.

    Args:
      model: see `has_words`; the vectorization is called once, on the input.
      run: calls the layers of a model again on new inputs.

    Raises: InputError for another place of the vectorization, an output mode that is not taken, or a vocabulary that
      is to be adapted, without max_tokens.
    """
    layer = next(layer for layer in model.layers if isinstance(layer, keras.layers.TextVectorization))
    config = layer.get_config()
    if config["output_mode"] not in MODES or config["ragged"] or config["sparse"]:
        raise errors.InputError(
            f"Got TextVectorization {layer.name!r} with output_mode={config['output_mode']!r}, "
            f"ragged={config['ragged']}, sparse={config['sparse']}. Expected one of {', '.join(map(repr, MODES))}, "
            "dense. Change it."
        )
    vector = layer._inbound_nodes[0].outputs[0]
    if len(layer._inbound_nodes) != 1 or layer._inbound_nodes[0].input_tensors[0] is not model.inputs[0]:
        raise errors.InputError(
            f"Got TextVectorization {layer.name!r} behind other layers, or called twice. Expected it first, on the "
            "input of strings. Move it there."
        )
    tokenizer = WordTokenizer(layer)
    if tokenizer.needs_texts and config["max_tokens"] is None:
        raise errors.InputError(
            f"Got TextVectorization {layer.name!r} without vocabulary and without max_tokens. Expected one of them, as "
            "the layer above has a size. Give max_tokens, or adapt it in your function."
        )
    token_ids = keras.Input((None,), dtype="int32", name="token_ids")
    mask = keras.Input((None,), dtype="int32", name="padding_mask")
    if config["output_mode"] == "int":
        length = config["output_sequence_length"]
        words = PadTo(length, name="pad_words")(token_ids) if length else token_ids
    else:
        words = BagOfWords(vector.shape[-1], config["output_mode"], name="bag_of_words")([token_ids, mask])
    outputs = run(keras.Model(vector, model.outputs), [words])
    return keras.Model({"token_ids": token_ids, "padding_mask": mask}, outputs, name=model.name), tokenizer


def make_features(pooling: str) -> Callable[..., Features]:
    """The `features` of a model of words with one output: (batch, channels) as it is, (batch, time, channels) pooled.

    Args:
      pooling: "mean", which "auto" is, "max" or "attention".
    """
    if pooling not in ("auto", *POOLINGS):
        raise errors.unknown_name("pooling of words", pooling, ("auto", *POOLINGS))

    def features(outputs: keras.KerasTensor, *, padding_mask: keras.KerasTensor) -> Features:
        rank = len(getattr(outputs, "shape", ()))
        if rank == 2:
            return Features(outputs, padding_mask=padding_mask)
        if rank != 3:
            raise errors.InputError(
                f"Got a backbone of words that gives {outputs!r}. Expected one tensor of rank 2 or 3. Cut the model at "
                "a layer that gives one: '@layer_name', or cut_at in user code."
            )
        pooled = pool(outputs, padding_mask, "mean" if pooling == "auto" else pooling)
        return Features(pooled, outputs, padding_mask)

    return features


@keras.saving.register_keras_serializable(package="kft")
class BagOfWords(keras.layers.Layer):
    """How often each word is in a text ("count"), or whether it is ("multi_hot"); word 0 is [UNK].

    Shapes: token ids and mask (batch, length); the result (batch, size).
    """

    def __init__(self, size: int, mode: str, **arguments: Any):
        super().__init__(**arguments)
        self.size, self.mode = size, mode

    def call(self, inputs):
        ids, mask = inputs
        rows = ops.shape(ids)[0]
        counted = ops.cast(ops.logical_and(mask > 0, ids > 0), "float32")
        places = ops.expand_dims(ops.arange(rows, dtype="int32"), 1) * self.size + ops.clip(ids - 1, 0, self.size - 1)
        counts = tf.math.unsorted_segment_sum(counted, places, rows * self.size)
        counts = ops.reshape(counts, (-1, self.size))
        return ops.cast(ops.minimum(counts, 1.0) if self.mode == "multi_hot" else counts, self.compute_dtype)

    def compute_output_shape(self, shapes):
        return (shapes[0][0], self.size)

    def get_config(self):
        return {**super().get_config(), "size": self.size, "mode": self.mode}


@keras.saving.register_keras_serializable(package="kft")
class PadTo(keras.layers.Layer):
    """Word ids with zeros up to a length, or cut there."""

    def __init__(self, length: int, **arguments: Any):
        super().__init__(**arguments)
        self.length = length

    def call(self, ids):
        ids = ids[:, : self.length]
        padded = tf.pad(ids, [[0, 0], [0, self.length - tf.shape(ids)[1]]])
        return ops.reshape(padded, (-1, self.length))

    def compute_output_shape(self, shape):
        return (shape[0], self.length)

    def get_config(self):
        return {**super().get_config(), "length": self.length}
