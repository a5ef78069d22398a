"""Text backbones: from a local folder, with a tokenizer and features of tokens."""

import functools
import pathlib
from collections.abc import Callable
from typing import Any

import keras

from kft import errors
from kft.models import bert, hugging_face
from kft.models.backbone import Backbone, Features
from kft.models.token_pooling import POOLINGS, pool
from kft.models.tokenizer import Tokenizer


def hugging_face_backbone(
    name: str,
    *,
    image_size: Any = None,
    image_channels: Any = None,
    weights: str = "pretrained",
    pooling: str = "auto",
) -> Backbone:
    """An encoder from a folder as Hugging Face writes it, or as `Backbone.save` does.

    Args:
      name: "hf:DIR".
      image_size, image_channels: None.
      weights: "pretrained" for those of the folder, "none" for random ones.
      pooling: see `kft.models.make_backbone`.

    Raises: InputError if the folder is not there, is of another family, or its files do not fit each other.
    """
    folder = pathlib.Path(name.removeprefix("hf:"))
    check_arguments(name, image_size=image_size, image_channels=image_channels, weights=weights, pooling=pooling)
    if not folder.is_dir():
        raise errors.InputError(
            f"Got backbone {name!r}, and {str(folder)!r} is no folder. Expected one with config.json, "
            "model.safetensors and tokenizer.json. Check the path; nothing is downloaded."
        )
    if (folder / bert.FILE).is_file():
        return _saved(folder, name=name, weights=weights, pooling=pooling)
    arrays = hugging_face.Arrays(folder)
    config, names = hugging_face.read_config(folder, arrays), hugging_face.names_of(folder)
    hugging_face.check_sizes(config, names, arrays)
    tokenizer = hugging_face.make_tokenizer(folder, config)
    model, blocks = bert.encoder(config)
    if weights == "pretrained":
        hugging_face.load(model, names, arrays)
    return text_backbone(name, config, model, blocks, tokenizer, pooling)


def _saved(folder: pathlib.Path, *, name: str, weights: str, pooling: str) -> Backbone:
    if weights != "none":
        raise errors.InputError(
            f"Got backbone {name!r}, a folder of a kept model, with weights={weights!r}. Expected 'none', as its "
            "weights are those of the whole model. Use the folder of the pretrained model."
        )
    config = bert.TextConfig.load(folder)
    tokenizer = Tokenizer.load(folder)
    model, blocks = bert.encoder(config)
    return text_backbone(name, config, model, blocks, tokenizer, pooling)


def text_backbone(
    name: str, config: bert.TextConfig, model: keras.Model, blocks: tuple[str, ...], tokenizer: Tokenizer, pooling: str
) -> Backbone:
    """What an encoder and a tokenizer make together.

    Args:
      name: of the backbone.
      config, model, blocks: of `kft.models.bert.encoder`.
      tokenizer: the model's.
      pooling: see `kft.models.make_backbone`.
    """
    return Backbone(
        name=name,
        model=model,
        blocks=blocks,
        preprocess=lambda batch: batch,
        features=_features(name, model, config, pooling),
        image_size=None,
        tokenizer=tokenizer,
        save=functools.partial(_save, config, tokenizer),
    )


def _save(config: bert.TextConfig, tokenizer: Tokenizer, folder: str | pathlib.Path) -> None:
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(folder)
    config.save(folder)


def _features(name: str, model: keras.Model, config: bert.TextConfig, pooling: str) -> Callable[[Any], Features]:
    if pooling == "auto":
        pooling = "cls" if config.pooler else "cls_bare"
    if pooling == "cls" and not config.pooler:
        raise errors.InputError(
            f"Got pooling='cls' for {name!r}, which has no pooler. Expected one of: 'cls_bare', 'mean', 'max', "
            "'attention'. Use 'cls_bare' for the first token as it is."
        )
    mask = model.input["padding_mask"]

    def features(outputs: Any) -> Features:
        sequence = outputs["sequence_output"]
        if pooling == "cls":
            return Features(outputs["pooled_output"], sequence, mask)
        if pooling == "cls_bare":
            return Features(outputs["first_output"], sequence, mask)
        return Features(pool(sequence, mask, pooling), sequence, mask)

    return features


def check_arguments(name: str, *, image_size: Any, image_channels: Any, weights: str, pooling: str) -> None:
    """Raises InputError for an argument that is one of images."""
    for argument, value in (("image_size", image_size), ("image_channels", image_channels)):
        if value is not None:
            raise errors.InputError(
                f"Got {argument}={value!r} for {name!r}, which reads text. Expected none. Leave it out."
            )
    if weights not in ("pretrained", "none"):
        raise errors.InputError(
            f"Got weights={weights!r} for {name!r}. Expected 'pretrained', the folder's own, or 'none', random ones. "
            "Put the weights into the folder as model.safetensors."
        )
    if pooling not in ("auto", "cls", "cls_bare", *POOLINGS):
        raise errors.unknown_name("pooling of text", pooling, ("auto", "cls", "cls_bare", *POOLINGS))
