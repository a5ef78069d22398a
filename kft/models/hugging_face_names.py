"""What each family is called in a Hugging Face folder: entries of config.json, and arrays of the weights."""

import dataclasses
from collections.abc import Mapping

# Our argument -> their entry.
ARGUMENTS = {
    "vocabulary_size": "vocab_size",
    "num_layers": "num_hidden_layers",
    "num_heads": "num_attention_heads",
    "hidden_dim": "hidden_size",
    "intermediate_dim": "intermediate_size",
    "max_sequence_length": "max_position_embeddings",
}
SEGMENTS = {"num_segments": "type_vocab_size"}

ACTIVATIONS = {
    "gelu": "gelu",
    "gelu_new": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "gelu_fast": "gelu_tanh",
    "relu": "relu",
    "silu": "silu",
    "swish": "silu",
}


@dataclasses.dataclass(frozen=True)
class Names:
    """The names of one family.

    Args:
      family: key of `kft.models.bert.FAMILIES`.
      variables: our variable -> their array, both without the last word (kernel, weight, ...); each {} is a number.
      arguments: our argument -> their entry in config.json.
      activation, dropout, attention_dropout: their entries.
      epsilon: of layer norms, where config.json says nothing.
      offset: whether positions are counted from pad_token_id + 1, and the one segment is added to all of them.
      required: entries that must have one of these values, as nothing else is implemented; None is an absent
        entry.
    """

    family: str
    variables: Mapping[str, str]
    arguments: Mapping[str, str]
    activation: str = "hidden_act"
    dropout: str = "hidden_dropout_prob"
    attention_dropout: str = "attention_probs_dropout_prob"
    epsilon: float = 1e-12
    offset: bool = False
    required: Mapping[str, tuple] = dataclasses.field(
        default_factory=lambda: {"position_embedding_type": ("absolute", None)}
    )


def _attention(ours: str, theirs: str, output: str, *parts: str) -> dict[str, str]:
    names = zip(("query", "key", "value"), parts)
    attention = {f"{ours}/self_attention_layer/{name}": f"{theirs}.{part}" for name, part in names}
    return attention | {f"{ours}/self_attention_layer/attention_output": f"{theirs}{output}"}


LAYER, BERT_LAYER = "transformer_layer_{}", "encoder.layer.{}"
FEEDFORWARD = {
    "self_attention_layer_norm": "attention.output.LayerNorm",
    "feedforward_intermediate_dense": "intermediate.dense",
    "feedforward_output_dense": "output.dense",
    "feedforward_layer_norm": "output.LayerNorm",
}
EMBEDDINGS = {
    "token_embedding": "embeddings.word_embeddings",
    "position_embedding": "embeddings.position_embeddings",
    "segment_embedding": "embeddings.token_type_embeddings",
    "embeddings_layer_norm": "embeddings.LayerNorm",
}
POOLER = {"pooled_dense": "pooler.dense"}
SELF = ("self.query", "self.key", "self.value")
BERT_LAYERS = _attention(LAYER, f"{BERT_LAYER}.attention", ".output.dense", *SELF) | {
    f"{LAYER}/{ours}": f"{BERT_LAYER}.{theirs}" for ours, theirs in FEEDFORWARD.items()
}
ROBERTA = {
    "embeddings/token_embedding": "embeddings.word_embeddings",
    "embeddings/position_embedding": "embeddings.position_embeddings",
    "embeddings_layer_norm": "embeddings.LayerNorm",
    **BERT_LAYERS,
}

DISTIL, DISTIL_LAYER = "token_and_position_embedding", "transformer.layer.{}"
DISTIL_BERT = {
    f"{DISTIL}/token_embedding": "embeddings.word_embeddings",
    f"{DISTIL}/position_embedding": "embeddings.position_embeddings",
    "embeddings_layer_norm": "embeddings.LayerNorm",
    **_attention(LAYER, f"{DISTIL_LAYER}.attention", ".out_lin", "q_lin", "k_lin", "v_lin"),
    f"{LAYER}/self_attention_layer_norm": f"{DISTIL_LAYER}.sa_layer_norm",
    f"{LAYER}/feedforward_intermediate_dense": f"{DISTIL_LAYER}.ffn.lin1",
    f"{LAYER}/feedforward_output_dense": f"{DISTIL_LAYER}.ffn.lin2",
    f"{LAYER}/feedforward_layer_norm": f"{DISTIL_LAYER}.output_layer_norm",
}

GROUP, ALBERT_LAYER = "group_{}_inner_layer_{}", "encoder.albert_layer_groups.{}.albert_layers.{}"
ALBERT = {
    **EMBEDDINGS,
    "embedding_projection": "encoder.embedding_hidden_mapping_in",
    **_attention(GROUP, f"{ALBERT_LAYER}.attention", ".dense", "query", "key", "value"),
    f"{GROUP}/self_attention_layer_norm": f"{ALBERT_LAYER}.attention.LayerNorm",
    f"{GROUP}/feedforward_intermediate_dense": f"{ALBERT_LAYER}.ffn",
    f"{GROUP}/feedforward_output_dense": f"{ALBERT_LAYER}.ffn_output",
    f"{GROUP}/feedforward_layer_norm": f"{ALBERT_LAYER}.full_layer_layer_norm",
    "pooled_dense": "pooler",
}

DEBERTA_LAYER = "disentangled_attention_encoder_layer_{}"
DEBERTA = {
    "token_embedding": "embeddings.word_embeddings",
    "embeddings_layer_norm": "embeddings.LayerNorm",
    "rel_embedding": "encoder.rel_embeddings",
    "rel_embedding/rel_embeddings_layer_norm": "encoder.LayerNorm",
    **_attention(
        DEBERTA_LAYER,
        f"{BERT_LAYER}.attention",
        ".output.dense",
        "self.query_proj",
        "self.key_proj",
        "self.value_proj",
    ),
    **{f"{DEBERTA_LAYER}/{ours}": f"{BERT_LAYER}.{theirs}" for ours, theirs in FEEDFORWARD.items()},
}

FNET_LAYER = "f_net_layer_{}"
FNET = {
    **EMBEDDINGS,
    "embedding_projection": "embeddings.projection",
    f"{FNET_LAYER}/mixing_layer_norm": f"{BERT_LAYER}.fourier.output.LayerNorm",
    f"{FNET_LAYER}/intermediate_dense": f"{BERT_LAYER}.intermediate.dense",
    f"{FNET_LAYER}/output_dense": f"{BERT_LAYER}.output.dense",
    f"{FNET_LAYER}/output_layer_norm": f"{BERT_LAYER}.output.LayerNorm",
    **POOLER,
}

# By model_type in config.json.
NAMES = {
    "albert": Names(
        "albert",
        ALBERT,
        {
            **ARGUMENTS,
            **SEGMENTS,
            "embedding_dim": "embedding_size",
            "num_groups": "num_hidden_groups",
            "num_inner_repetitions": "inner_group_num",
        },
    ),
    "bert": Names("bert", EMBEDDINGS | BERT_LAYERS | POOLER, ARGUMENTS | SEGMENTS),
    "deberta-v2": Names(
        "deberta_v3",
        DEBERTA,
        {**ARGUMENTS, "bucket_size": "position_buckets"},
        epsilon=1e-7,
        required={
            "relative_attention": (True,),
            "share_att_key": (True,),
            "norm_rel_ebd": ("layer_norm",),
            "pos_att_type": (["p2c", "c2p"], ["c2p", "p2c"], "p2c|c2p", "c2p|p2c"),
            "position_biased_input": (False,),
            "conv_kernel_size": (0, None),
            "type_vocab_size": (0,),
            "max_relative_positions": (-1, None),
        },
    ),
    "distilbert": Names(
        "distil_bert",
        DISTIL_BERT,
        {
            "vocabulary_size": "vocab_size",
            "num_layers": "n_layers",
            "num_heads": "n_heads",
            "hidden_dim": "dim",
            "intermediate_dim": "hidden_dim",
            "max_sequence_length": "max_position_embeddings",
        },
        activation="activation",
        dropout="dropout",
        attention_dropout="attention_dropout",
    ),
    "electra": Names(
        "electra",
        {**EMBEDDINGS, "embeddings_projection": "embeddings_project", **BERT_LAYERS},
        {**ARGUMENTS, **SEGMENTS, "embedding_dim": "embedding_size"},
    ),
    "fnet": Names(
        "f_net",
        FNET,
        {ours: theirs for ours, theirs in (ARGUMENTS | SEGMENTS).items() if ours != "num_heads"},
    ),
    "roberta": Names("roberta", ROBERTA, ARGUMENTS, epsilon=1e-5, offset=True),
    "xlm-roberta": Names("xlm_roberta", ROBERTA, ARGUMENTS, epsilon=1e-5, offset=True),
}
