"""A backbone again, from its name and the folder that `Backbone.save` wrote."""

import dataclasses
import pathlib
from collections.abc import Sequence

from kft.models import bert, make_backbone, words
from kft.models.backbone import Backbone


def kept_backbone(
    name: str,
    folder: str | pathlib.Path,
    *,
    image_size: int | Sequence[int] | None = None,
    image_channels: int | None = None,
    pooling: str = "auto",
) -> Backbone:
    """The backbone that was saved, without its weights, which are kept with those of the head.

    Args:
      name: as it was made by; what a folder or a preset named need not be there any more.
      folder: that `Backbone.save` wrote, if it did.
      image_size, image_channels, pooling: as it was made with.

    Raises: InputError if a file cannot be read, or the user's own function cannot be had.
    """
    folder = pathlib.Path(folder)
    if (folder / bert.FILE).is_file():
        return dataclasses.replace(make_backbone(f"hf:{folder}", weights="none", pooling=pooling), name=name)
    images = {"image_size": image_size, "image_channels": image_channels}
    backbone = make_backbone(name, **images, weights="none", pooling=pooling)
    if (folder / words.FILE).is_file():
        backbone.tokenizer.load(folder)
    return backbone
