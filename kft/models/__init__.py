"""Backbones and heads. This module imports no TensorFlow, so that names can be listed without it."""

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from kft import tables
from kft.models.application_table import APPLICATIONS

if TYPE_CHECKING:
    from kft.models.backbone import Backbone

BACKBONES = {
    **dict.fromkeys(APPLICATIONS, "kft.models.applications:application_backbone"),
    "albert_tiny_random": "kft.models.tiny_text:tiny_backbone",
    "bert_tiny_random": "kft.models.tiny_text:tiny_backbone",
    "deberta_v3_tiny_random": "kft.models.tiny_text:tiny_backbone",
    "distil_bert_tiny_random": "kft.models.tiny_text:tiny_backbone",
    "electra_tiny_random": "kft.models.tiny_text:tiny_backbone",
    "f_net_tiny_random": "kft.models.tiny_text:tiny_backbone",
    "roberta_tiny_random": "kft.models.tiny_text:tiny_backbone",
    "xlm_roberta_tiny_random": "kft.models.tiny_text:tiny_backbone",
}

# What begins so names a place of the user's, and is in no table.
PREFIXES = {
    "hf:": "kft.models.text:hugging_face_backbone",
    "preset:": "kft.models.presets:preset_backbone",
    "python:": "kft.models.custom:python_backbone",
}

__getattr__ = tables.lazy_attributes(
    __name__,
    {
        "HEAD_BLOCK": "kft.models.heads:HEAD_BLOCK",
        "Backbone": "kft.models.backbone:Backbone",
        "Features": "kft.models.backbone:Features",
        "custom_backbone": "kft.models.custom:custom_backbone",
        "Tokenizer": "kft.models.tokenizer:Tokenizer",
        "kept_backbone": "kft.models.kept:kept_backbone",
        "make_head": "kft.models.heads:make_head",
    },
)


def make_backbone(
    name: str,
    *,
    image_size: int | Sequence[int] | None = None,
    image_channels: int | None = None,
    weights: str | os.PathLike | None = None,
    pooling: str = "auto",
) -> "Backbone":
    """A pretrained model by name.

    Args:
      name: a key of BACKBONES, of which "..._tiny_random" are small text encoders to try things out; or
        "python:package.module:function" for a function without arguments that returns your functional model;
        "@layer_name" at its end cuts the model there; or "hf:DIR" for a text encoder in a local folder as Hugging Face
        writes it (config.json, model.safetensors, the tokenizer's files), or as `Backbone.save` does (then without
        weights), for which nothing is downloaded; or "preset:DIR" and "preset:NAME" for a preset of keras_nlp, in a
        local folder or downloaded.
      image_size: pixels, one number or (height, width); None for what the weights were trained at (224 for most, 299
        for Inception and Xception, up to 600 for EfficientNet), or for what your own model takes.
      image_channels: of the model's input; None for 3, red, green and blue, or for what your own model takes. For
        another number the first convolution is made anew, and pretrained weights of it are adapted by
        `kft.models.first_convolution.adapted_kernel`; the constants of preprocessing are `extended` by their mean.
      weights: "none" leaves them random (your own model's as your function made them); "pretrained" takes those of the
        folder, and for image models what "imagenet" does, which takes Keras' file from $KERAS_HOME/models or downloads
        it; else the path of a file, .weights.h5 or .h5 in Keras' layout, which must fit exactly. None is "pretrained"
        for a folder, else "none". MobileNet and MobileNetV2 have "imagenet" files for squares of 128, 160, 192 and
        224 pixels (V2 also 96); at other sizes it is the file for 224. The others have one file for all sizes.
      pooling: "avg" or "max", over height and width. Of text: "cls", the first token through the pretrained pooler;
        "cls_bare", as it is; "mean" or "max" over the tokens; "attention", a learned mean, which belongs to the head.
        "auto" is "avg", and for text "cls", without a pooler "cls_bare".

    The `preprocess` of an image model of three channels repeats one grey channel to three; other numbers than the
    model's own are refused.

    Raises: InputError for an unknown name or pooling, an image below the family's minimum (32 pixels, 71 of Xception,
      75 of Inception), channels that your own model does not take, weights that cannot be had or do not fit.

    Example:
      >>> backbone = make_backbone("mobilenet_v2_0.35", image_size=96)
      >>> backbone.model.output.shape, len(backbone.blocks)
      ((None, 3, 3, 1280), 9)
    """
    prefix = next((prefix for prefix in PREFIXES if name.startswith(prefix)), None)
    make = tables.load_place(PREFIXES[prefix]) if prefix else tables.lookup(BACKBONES, name, what="backbone")
    if weights is None:
        weights = "pretrained" if prefix else "none"
    images = {"image_size": image_size, "image_channels": image_channels}
    return make(name, **images, weights=os.fspath(weights), pooling=pooling)
