"""Small encoders with random weights, of each family, to try things out and for tests."""

import string

from kft import errors
from kft.models import bert
from kft.models.backbone import Backbone
from kft.models.text import check_arguments, text_backbone
from kft.models.tokenizer import Tokenizer
from kft.models.vocabularies import word_pieces

SUFFIX = "_tiny_random"
CHARACTERS = string.ascii_lowercase + string.digits + string.punctuation
MORE = {
    "albert": {"embedding_dim": 8, "num_groups": 1, "num_inner_repetitions": 1, "num_segments": 2},
    "bert": {"num_segments": 2},
    "deberta_v3": {"bucket_size": 16},
    "electra": {"embedding_dim": 8, "num_segments": 2},
    "f_net": {"num_segments": 4},
}


def tiny_backbone(
    name: str, *, image_size=None, image_channels=None, weights: str = "none", pooling: str = "auto"
) -> Backbone:
    """Two layers, 16 wide, 2 heads, 64 positions, random weights; every character is a token, in lower case.

    Args and Raises: see `kft.models.make_backbone`; weights is "none".
    """
    check_arguments(name, image_size=image_size, image_channels=image_channels, weights="none", pooling=pooling)
    if weights != "none":
        raise errors.InputError(
            f"Got weights={weights!r} for {name!r}, whose weights are random. Expected 'none'. Use "
            "weights 'none' (backbone_weights of a run), or the folder of a pretrained model: hf:DIR."
        )
    family = name.removesuffix(SUFFIX)
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *CHARACTERS, *(f"##{sign}" for sign in CHARACTERS)]
    arguments = {
        "vocabulary_size": len(vocabulary),
        "num_layers": 2,
        "num_heads": 2,
        "hidden_dim": 16,
        "intermediate_dim": 32,
        "max_sequence_length": 64,
        "dropout": 0.1,
        **MORE.get(family, {}),
    }
    if family == "f_net":
        del arguments["num_heads"]
    config = bert.TextConfig(
        family=family,
        arguments=arguments,
        activation=bert.FAMILIES[family].activation,
        layer_norm_epsilon=bert.FAMILIES[family].epsilon,
        attention_dropout=0.1,
        pooler=bert.FAMILIES[family].pooler,
    )
    rust = word_pieces(vocabulary, lowercase=True, double=bert.FAMILIES[family].double)
    return text_backbone(name, config, *bert.encoder(config), Tokenizer(rust, max_length=64, pad_id=0), pooling)
