"""What the header of an image file tells, and what is wrong with a file that does not decode."""

import io
import warnings
from typing import NamedTuple

from kft.data.source import Finding

ENDINGS = (".jpg", ".jpeg", ".png", ".bmp", ".gif")
_FORMATS = ("JPEG", "PNG", "BMP", "GIF")
_EXIF_ORIENTATION = 0x0112
_JPEG_START = b"\xff\xd8\xff"


class Header(NamedTuple):
    """Height and width as stored, before any rotation; EXIF orientation 1 to 8. All 0 where there is no header."""

    height: int
    width: int
    is_jpeg: bool
    orientation: int


def read_header(path: str) -> Header:
    """Reads only the header of an image file; a file that is no image gets zeros and is found by the pre-flight.

    In a PNG the orientation counts where it stands before the pixels.
    """
    from PIL import Image

    try:
        with open(path, "rb") as file, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            is_jpeg = file.read(len(_JPEG_START)) == _JPEG_START
            file.seek(0)
            image = Image.open(file, formats=_FORMATS)
            orientation = image.getexif().get(_EXIF_ORIENTATION, 1) if "exif" in image.info else 1
            width, height = image.size
    except (
        Exception
    ):  # Pillow raises many kinds for broken files; the pre-flight decodes the file and says what is wrong
        return Header(0, 0, False, 1)
    return Header(height, width, is_jpeg, orientation if orientation in range(1, 9) else 1)


def inspect(path: str, content: bytes) -> Finding | None:
    """Decodes a file as training will and says what is wrong with it, or None.

    Args:
      path: for the message.
      content: of the file.
    """
    import tensorflow as tf

    if not content:
        return Finding("zero bytes", path, "Got an empty file. Expected an image.", "Copy it again, or remove it.")
    try:
        if content.startswith(_JPEG_START):
            tf.io.decode_jpeg(content, ratio=8)
        else:
            tf.io.decode_image(content, expand_animations=False)
    except (tf.errors.OpError, ValueError):
        return _diagnose(path, content)
    return None


def _diagnose(path: str, content: bytes) -> Finding:
    """Pillow's words for what TensorFlow could not decode."""
    from PIL import Image, UnidentifiedImageError

    expected = "Expected a JPEG, PNG, BMP or GIF."
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image = Image.open(io.BytesIO(content))
            image.load()
    except UnidentifiedImageError:
        if content.startswith(_JPEG_START):
            return Finding("truncated", path, "Got a JPEG that ends in its header.", "Copy it again, or remove it.")
        start = content[:16]
        return Finding("not an image", path, f"Got a file that starts {start!r}. {expected}", "Convert or remove it.")
    except Exception as error:
        reason = f"Got an image that does not decode: {error}. Expected a whole one."
        kind = "truncated" if "truncated" in str(error) else "corrupt"
        return Finding(kind, path, reason, "Copy it again, or remove it.")
    return Finding(
        "not decodable",
        path,
        f"Got a {image.format} of mode {image.mode}, which TensorFlow does not decode. {expected}",
        "Convert it to JPEG or PNG.",
    )
