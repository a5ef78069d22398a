"""How a file of images, or of paths to them, is read: its columns, and what its labels are."""

import dataclasses
import os

from kft import errors
from kft.data.text_format import LABEL_KINDS, check_encoding


@dataclasses.dataclass(frozen=True)
class ImageFormat:
    """What a file of images does not tell about itself.

    Args:
      image_column: name of the column with the images, or with paths to them; "" for "image".
      label_column: name of the column with the label; "" for "label".
      data_root: the folder that paths in the file are relative to and may not leave; "" for that of the file.
      encoding: of text files.
      labels: "classes", one name or number each; "sets", any number of names each, as a list or with commas between;
        "numbers", for regression.
      cache: a folder that keeps where the records of files are, so that the next start does not read them all; None:
        they are read.

    Raises: InputError for a value that cannot be used.
    """

    image_column: str = ""
    label_column: str = ""
    data_root: str = ""
    encoding: str = "utf-8"
    labels: str = "classes"
    cache: str | os.PathLike | None = None

    def __post_init__(self):
        if self.labels not in LABEL_KINDS:
            raise errors.unknown_name("kind of labels", self.labels, LABEL_KINDS)
        check_encoding(self.encoding)

    @property
    def image(self) -> str:
        """The column with the images."""
        return self.image_column or "image"

    @property
    def label(self) -> str:
        """The column with the label."""
        return self.label_column or "label"

    @property
    def optional(self) -> tuple[str, ...]:
        """The column with the label, if it may be missing."""
        return () if self.label_column else (self.label,)

    @property
    def required(self) -> dict[str, tuple[str, ...]]:
        """The columns that may not be missing, by the setting that names them."""
        return {"image_column": (self.image,), "label_column": (self.label,) * bool(self.label_column)}
