"""What the header of an image file tells, and what is wrong with a file that does not decode."""

import io
import warnings
from typing import BinaryIO, NamedTuple

from kft.data.source import Finding

ENDINGS = (".jpg", ".jpeg", ".png", ".bmp", ".gif")
_FORMATS = ("JPEG", "PNG", "BMP", "GIF")
_EXIF_ORIENTATION = 0x0112
_JPEG_START = b"\xff\xd8\xff"
_STARTS = (_JPEG_START, b"\x89PNG", b"BM", b"GIF8")


class Header(NamedTuple):
    """Height and width as stored, before any rotation; EXIF orientation 1 to 8. All 0 where there is no header."""

    height: int
    width: int
    is_jpeg: bool
    orientation: int


NO_HEADER = Header(0, 0, False, 1)


def read_header(path: str) -> Header:
    """Reads only the header of an image file; a file that is no image gets zeros and is found by the pre-flight.

    In a PNG the orientation counts where it stands before the pixels.
    """
    try:
        with open(path, "rb") as file:
            return header_of(file)
    except OSError:
        return NO_HEADER


def header_of(file: BinaryIO) -> Header:
    """The header of an image file that is open at its start; see `read_header`."""
    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            is_jpeg = file.read(len(_JPEG_START)) == _JPEG_START
            file.seek(0)
            image = Image.open(file, formats=_FORMATS)
            orientation = image.getexif().get(_EXIF_ORIENTATION, 1) if "exif" in image.info else 1
            width, height = image.size
    except (
        Exception
    ):  # Pillow raises many kinds for broken files; the pre-flight decodes the file and says what is wrong
        return NO_HEADER
    return Header(height, width, is_jpeg, orientation if orientation in range(1, 9) else 1)


def inspect(path: str, content: bytes, header: Header) -> Finding | None:
    """Decodes a file as training will and says what is wrong with it, or None.

    Args:
      path: for the message.
      content: of the file.
      header: of the file, as it was read when the source was made.
    """
    import tensorflow as tf
    from PIL import Image

    if not content:
        return Finding("zero bytes", path, "Got an empty file. Expected an image.", "Copy it again, or remove it.")
    try:
        if header.is_jpeg:
            # At 1/8 of the size every bit is still read, so that a missing end is found, in about half the time.
            shape = tf.io.decode_jpeg(content, channels=3, ratio=8).shape
            wanted = (-(-header.height // 8), -(-header.width // 8))
        else:
            shape = tf.io.decode_image(content, expand_animations=False).shape
            wanted = header[:2]
    except (tf.errors.OpError, ValueError):
        return _diagnose(path, content)
    if tuple(shape[:2]) != wanted:
        return _diagnose(path, content)
    if content.startswith(b"BM") and Image.open(io.BytesIO(content)).mode == "P":
        return _diagnose(path, content)  # TensorFlow takes the numbers of the palette's colours for grey
    return None


def _diagnose(path: str, content: bytes) -> Finding:
    """Pillow's words for what TensorFlow could not decode."""
    from PIL import Image, UnidentifiedImageError

    whole = "Expected a whole JPEG, PNG, BMP or GIF."
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image = Image.open(io.BytesIO(content))
            image.load()
    except UnidentifiedImageError:
        if content.startswith(_STARTS):
            reason = f"Got a file that starts like an image and ends after {len(content)} bytes. {whole}"
            return Finding("truncated", path, reason, "Copy it again, or remove it.")
        reason = f"Got a file that starts with {content[:16]!r}. {whole}"
        return Finding("not an image", path, reason, "Remove it, or convert what it is.")
    except Exception as error:  # of many kinds; the text is what helps
        kind = "truncated" if "truncated" in str(error).lower() else "corrupt"
        return Finding(
            kind, path, f"Got an image that does not decode: {error}. {whole}", "Copy it again, or remove it."
        )
    reason = f"Got a {image.format} of mode {image.mode} that TensorFlow does not decode, or not to its end. {whole}"
    return Finding("not decodable", path, reason, "Convert it to JPEG or PNG.")
