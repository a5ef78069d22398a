"""The encoders of keras_nlp (BERT and its kin) as graphs of kft. No other file imports keras_nlp."""

import dataclasses
import functools
import json
import os
import pathlib
from collections.abc import Callable, Mapping
from typing import Any

import keras

from kft import errors
from kft.models import layer_ops, transformer_layer
from kft.models.tokenizer import read_json

FILE = "text_backbone.json"
ACTIVATIONS = ("gelu", "gelu_tanh", "relu", "silu")
MOST_VARIABLES = 2**33  # numbers in a model; a file that claims more is not believed


@dataclasses.dataclass(frozen=True)
class Family:
    """What differs between the families.

    Args:
      model: class of keras_nlp.models.
      layer: pattern of the variables of layer {}.
      count: the argument that says how many of these layers there are.
      pooler: whether the first token goes through a dense layer.
      vocabulary: the constructor's argument for the vocabulary's size.
      double: whether two separators stand between the texts of a pair.
      activation, epsilon: what keras_nlp has for its own presets, of the hidden layers and the layer norms.
    """

    model: str
    layer: str = r"transformer_layer_{}/.*"
    count: str = "num_layers"
    pooler: bool = False
    vocabulary: str = "vocabulary_size"
    double: bool = False
    activation: str = "gelu_tanh"
    epsilon: float = 1e-12


# ALBERT's layers share their weights: each group is one block, however often it is called.
FAMILIES = {
    "albert": Family("AlbertBackbone", r"group_{}_inner_layer_\d+/.*", count="num_groups", pooler=True),
    "bert": Family("BertBackbone", pooler=True),
    "deberta_v3": Family(
        "DebertaV3Backbone", r"disentangled_attention_encoder_layer_{}/.*", activation="gelu", epsilon=1e-7
    ),
    "distil_bert": Family("DistilBertBackbone", activation="gelu"),
    "electra": Family("ElectraBackbone", pooler=True, vocabulary="vocab_size"),
    "f_net": Family("FNetBackbone", r"f_net_layer_{}/.*", pooler=True),
    "roberta": Family("RobertaBackbone", double=True, activation="gelu", epsilon=1e-5),
    "xlm_roberta": Family("XLMRobertaBackbone", double=True, activation="gelu", epsilon=1e-5),
}
EMBEDDINGS = r"(\w*embeddings?(_projection|_layer_norm)?)/.*"
POOLER = r"pooled_dense/.*"


@dataclasses.dataclass(frozen=True)
class TextConfig:
    """The architecture of an encoder.

    Args:
      family: key of FAMILIES.
      arguments: of the class in keras_nlp; the vocabulary's size is vocabulary_size for all.
      activation: of the hidden layers: "gelu" by the error function, "gelu_tanh" by its approximation.
      layer_norm_epsilon: of every layer norm.
      attention_dropout: share of the attention's weights that is dropped while training.
      pooler: whether there is a trained pooler.
    """

    family: str
    arguments: Mapping[str, int | float]
    activation: str
    layer_norm_epsilon: float
    attention_dropout: float
    pooler: bool

    def save(self, folder: pathlib.Path) -> None:
        """Writes it into a folder."""
        text = json.dumps(dataclasses.asdict(self), indent=2)
        (folder / FILE).write_text(text + "\n", encoding="utf-8")

    @staticmethod
    def load(folder: pathlib.Path) -> "TextConfig":
        """What `save` wrote; InputError if it is none."""
        content = read_json(folder / FILE)
        try:
            config = TextConfig(**content)
            numbers = [config.layer_norm_epsilon, config.attention_dropout, *config.arguments.values()]
            good = all(type(number) in (int, float) and 0 <= number < 2**31 for number in numbers)
        except (TypeError, AttributeError):
            good = False
        if not good or config.family not in FAMILIES or config.activation not in ACTIVATIONS:
            raise errors.InputError(
                f"Got {str(folder / FILE)!r} with {content!r}. Expected what `save` wrote. Use an intact copy."
            )
        return config


def encoder(config: TextConfig, *, load: Callable[[Any], None] | None = None) -> tuple[keras.Model, tuple[str, ...]]:
    """The model and its blocks, bottom to top, with random weights.

    The model takes {"token_ids", "segment_ids", "padding_mask"}, (batch, length) int32 each, the second only where the
    family has segments. It gives {"sequence_output": (batch, length, channels), "first_output" and "pooled_output":
    (batch, channels)}: the first token, for which the last layer is computed alone, and the same through the pooler,
    where there is one. A model that is made of some of the outputs computes no others. FNet mixes all positions, those
    of padding too: its outputs depend on the length.

    Args:
      config: the architecture.
      load: gets the model of keras_nlp, to load weights in its layout.

    Raises: InputError if keras_nlp is not there or refuses the numbers.
    """
    family = FAMILIES[config.family]
    make = getattr(keras_nlp().models, family.model)
    _check_size(config)
    arguments = dict(config.arguments)
    arguments[family.vocabulary] = arguments.pop("vocabulary_size", None)
    try:
        made = make(**arguments)
    except (TypeError, ValueError, ZeroDivisionError) as error:
        raise errors.InputError(
            f"Got {dict(config.arguments)!r} for {family.model}, which it refuses: {error} Expected the numbers of the "
            "pretrained model. Use an intact folder."
        ) from error
    _be_faithful(made, config)
    _take_fewer_passes(made)
    if load is not None:
        load(made)
    sequence = made.output["sequence_output"] if isinstance(made.output, dict) else made.output
    outputs = {"sequence_output": sequence, "first_output": _first_token(sequence, made.input.get("padding_mask"))}
    if config.pooler:
        outputs["pooled_output"] = made.get_layer("pooled_dense")(outputs["first_output"])
    inputs = dict(made.input)
    if "padding_mask" not in inputs:
        inputs["padding_mask"] = keras.Input((None,), dtype="int32", name="padding_mask")
    blocks = [EMBEDDINGS]
    blocks += [family.layer.replace("{}", str(index)) for index in range(int(config.arguments.get(family.count, 1)))]
    blocks += [POOLER] if config.pooler else []
    return keras.Model(inputs, outputs, name=config.family), tuple(blocks)


def _first_token(sequence: keras.KerasTensor, padding_mask: keras.KerasTensor | None) -> keras.KerasTensor:
    """The first token of a sequence; where a plain transformer layer made it, without the others' share of it."""
    layer, node, _ = sequence._keras_history
    if type(layer) is not _layers().encoder:
        return sequence[:, 0, :]
    return _first_token_layer(layer)(layer._inbound_nodes[node].input_tensors[0], padding_mask=padding_mask)


def _first_token_layer(layer: Any) -> keras.layers.Layer:
    """A layer with the variables of a transformer layer, that attends to all tokens and computes the first alone."""
    first = _layers().first_token.from_config({**layer.get_config(), "name": f"{layer.name}_first"})
    for name in (
        "_self_attention_layer",
        "_self_attention_dropout",
        "_self_attention_layer_norm",
        "_feedforward_layer_norm",
        "_feedforward_intermediate_dense",
        "_feedforward_output_dense",
        "_feedforward_dropout",
    ):  # in the order in which the layer builds them
        setattr(first, name, getattr(layer, name))
    first._build_shapes_dict = layer._build_shapes_dict
    first.built = True
    return first


@dataclasses.dataclass(frozen=True)
class _Layers:
    """The layers of Keras and keras_nlp that are computed here in another way -> that way."""

    encoder: type
    first_token: type
    norm: type
    dropout: type


@functools.cache
def _layers() -> _Layers:
    # Of the same names, as Keras' weight files name what they hold by the classes of the layers.
    class TransformerEncoder(keras_nlp().layers.TransformerEncoder):
        def call(self, inputs, padding_mask=None, attention_mask=None, training=None, return_attention_scores=False):
            if padding_mask is None or attention_mask is not None or return_attention_scores:
                return super().call(inputs, padding_mask, attention_mask, training, return_attention_scores)
            return transformer_layer.forward(self, inputs, inputs, padding_mask=padding_mask, training=training)

    class FirstToken(keras_nlp().layers.TransformerEncoder):
        def call(self, inputs, padding_mask=None, training=None):
            first = inputs[:, :1]
            return transformer_layer.forward(self, first, inputs, padding_mask=padding_mask, training=training)[:, 0]

        def compute_output_shape(self, inputs_shape):
            return (inputs_shape[0], inputs_shape[-1])

    class LayerNormalization(keras.layers.LayerNormalization):
        def call(self, inputs):
            return layer_ops.layer_norm(inputs, self.gamma.value, self.beta.value, self.epsilon)

    class Dropout(keras.layers.Dropout):
        def call(self, inputs, training=False):
            if not training or not 0 < self.rate < 1 or self.noise_shape is not None:
                return super().call(inputs, training=training)
            return layer_ops.dropout(inputs, self.rate, self.seed_generator.next())

    return _Layers(TransformerEncoder, FirstToken, LayerNormalization, Dropout)


def _take_fewer_passes(model: keras.Model) -> None:
    """Lets the layers compute what they compute in the way of `transformer_layer` and `layer_ops`."""
    for layer in model._flatten_layers():
        if type(layer) is keras_nlp().layers.TransformerEncoder and not layer.normalize_first:
            layer.__class__ = _layers().encoder
        elif (
            type(layer) is keras.layers.LayerNormalization
            and layer.axis in ([-1], [2])
            and layer.scale
            and layer.center
        ):
            layer.__class__ = _layers().norm
        elif type(layer) is keras.layers.Dropout:
            layer.__class__ = _layers().dropout


def _be_faithful(model: keras.Model, config: TextConfig) -> None:
    """Sets what keras_nlp fixes: the activation, the layer norms' epsilon, the attention's own dropout."""
    activation = {
        "gelu": layer_ops.gelu,
        "gelu_tanh": functools.partial(keras.activations.gelu, approximate=True),
        "relu": keras.activations.relu,
        "silu": keras.activations.silu,
    }[config.activation]
    for layer in model._flatten_layers():
        if isinstance(layer, keras.layers.LayerNormalization):
            layer.epsilon = config.layer_norm_epsilon
        elif isinstance(layer, keras.layers.Dense) and "intermediate" in layer.name:
            layer.activation = activation
        elif isinstance(layer, keras.layers.MultiHeadAttention):
            _set_attention_dropout(layer, config.attention_dropout)


def _set_attention_dropout(layer: keras.layers.MultiHeadAttention, rate: float) -> None:
    if rate == layer._dropout:
        return
    layer._dropout = rate
    if hasattr(layer, "_dropout_layer"):
        layer._dropout_layer.rate = rate
    else:
        layer._dropout_layer = keras.layers.Dropout(rate, dtype=layer.dtype_policy)


def _check_size(config: TextConfig) -> None:
    n = config.arguments
    width, vocabulary = n.get("hidden_dim", 0), n.get("vocabulary_size", 0)
    count = width * (vocabulary + n.get("max_sequence_length", 0))
    count += n.get("num_layers", 0) * width * (4 * width + 2 * n.get("intermediate_dim", 0))
    if count > MOST_VARIABLES:
        raise errors.InputError(
            f"Got an encoder of about {count:.2g} numbers, {dict(n)!r}. Expected at most {MOST_VARIABLES:.2g}. "
            "Use an intact folder."
        )


def keras_nlp() -> Any:
    """The package; InputError if it is not there."""
    try:
        os.environ.setdefault("KERAS_BACKEND", "tensorflow")
        import keras_nlp as package
    except ImportError as error:
        raise errors.InputError(
            "Got a text backbone, and the package keras-nlp is not there. Expected it. Run: "
            "pip install --use-pep517 'kft[text]'"
        ) from error
    return package
