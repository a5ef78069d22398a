"""What the header of an image file tells, what is wrong with a file that does not decode, and what it looks like."""

import functools
import io
import warnings
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from kft.data.source import NOTHING, Examined, Finding, fingerprint

ENDINGS = (".jpg", ".jpeg", ".png", ".bmp", ".gif")
MOST_PIXELS = 50_000_000
_EXIF_ORIENTATION = 0x0112
_JPEG, _PNG = b"\xff\xd8\xff", b"\x89PNG"
_STARTS = (_JPEG, _PNG, b"BM", b"GIF8")
_IHDR_DEPTH = 24  # the place of the bits of a channel in a PNG

EXIF, CMYK, ALPHA, DEEP = "EXIF rotation applied", "CMYK converted", "transparency", "16-bit converted"
NOISY = "corrupt JPEG data"
# What is remarkable about a file that decodes, each with what is done about it and what to do.
REMARKS = {
    EXIF: ("images that EXIF says to turn or mirror, which is done.", "Nothing has to be done."),
    CMYK: (
        "CMYK images, which are converted to RGB.",
        "Nothing has to be done; look at some, as inks have no one RGB.",
    ),
    ALPHA: (
        "images with transparency, which a model of three channels does not see.",
        "Put them on a background if what is below it is no picture, or take image_channels=4.",
    ),
    DEEP: ("images of 16 bits a channel, which are cut to 8.", "Nothing has to be done."),
    NOISY: ("JPEG files that decode, and whose data the decoder calls corrupt.", "Look at them, or save them again."),
}


class Header(NamedTuple):
    """Height and width as stored, before any rotation; EXIF orientation 1 to 8; and those of REMARKS that it tells.

    All 0 where there is no header.
    """

    height: int
    width: int
    is_jpeg: bool
    orientation: int
    remarks: tuple[str, ...] = ()


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
    """The header of an image file that is open at its start; see `read_header`. Nothing is decoded."""
    try:
        start = file.read(_IHDR_DEPTH + 1)
        file.seek(0)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image = _reader(start)(file)
            orientation = image.getexif().get(_EXIF_ORIENTATION, 1) if "exif" in image.info else 1
            width, height = image.size
    except Exception:  # Pillow raises many kinds for broken files; the pre-flight decodes the file and tells
        return NO_HEADER
    orientation = orientation if orientation in range(1, 9) else 1
    remarks = (
        (EXIF,) * (orientation != 1)
        + (CMYK,) * (image.mode == "CMYK")
        + (ALPHA,) * (image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info)
        + (DEEP,) * (start.startswith(_PNG) and start[_IHDR_DEPTH] == 16)
    )
    return Header(height, width, start.startswith(_JPEG), orientation, remarks)


@functools.cache
def _readers() -> dict[bytes, Any]:
    from PIL import BmpImagePlugin, GifImagePlugin, JpegImagePlugin, PngImagePlugin

    # Not Image.open, which refuses what is too large for it, and then tells no size.
    formats = (
        JpegImagePlugin.JpegImageFile,
        PngImagePlugin.PngImageFile,
        BmpImagePlugin.BmpImageFile,
        GifImagePlugin.GifImageFile,
    )
    return dict(zip(_STARTS, formats, strict=True))


def _reader(start: bytes) -> Any:
    return next(reader for magic, reader in _readers().items() if start.startswith(magic))


def examine(where: str, content: bytes, header: Header, *, most_pixels: int = MOST_PIXELS) -> Examined:
    """Decodes a file as training will, and says what is wrong with it, or what it is.

    Args:
      where: for the message.
      content: of the file.
      header: of the file.
      most_pixels: an image with more is not decoded but refused.
    """
    import tensorflow as tf
    from PIL import Image

    if not content:
        return NOTHING._replace(
            bad=Finding("zero bytes", where, "Got an empty file. Expected an image.", "Copy it again, or remove it.")
        )
    size = header.height * header.width
    if size > most_pixels:
        reason = (
            f"Got {header.width} x {header.height} pixels, {size / 1e6:.1f} million. Expected at most "
            f"{most_pixels / 1e6:g} million."
        )
        return NOTHING._replace(
            bad=Finding("too many pixels", where, reason, "Make it smaller, or raise max_megapixels.")
        )
    if not size:
        return NOTHING._replace(bad=_diagnose(where, content))
    try:
        if header.is_jpeg:
            pixels = tf.io.decode_jpeg(content, channels=3).numpy()
        else:
            pixels = tf.io.decode_image(content, expand_animations=False).numpy()
    except (tf.errors.OpError, ValueError):
        return NOTHING._replace(bad=_diagnose(where, content))
    palette = content.startswith(b"BM") and Image.open(io.BytesIO(content)).mode == "P"
    if pixels.shape[:2] != header[:2] or palette:  # TensorFlow takes the numbers of a BMP's colours for grey
        return NOTHING._replace(bad=_diagnose(where, content))
    shape = repr((pixels.shape, header.orientation)).encode()
    return Examined(None, fingerprint(content), fingerprint(shape, pixels), look_of(pixels), header.remarks)


def look_of(pixels: np.ndarray) -> bytes:
    """16 bytes of which few bits differ between images that look alike; zeros for one that shows nothing, or is tiny.

        grey = mean over channels and over the cells of a grid of 9 x 9
        bits = grey[:8, 1:] > grey[:8, :-1], grey[1:, :8] > grey[:-1, :8]

    Args:
      pixels: (height, width, channels) uint8.

    Reference: Krawetz 2013, "Kind of like that" (dHash), in both directions.
    """
    if min(pixels.shape[:2]) < 9:
        return bytes(16)
    steps = [max(side // 128, 1) for side in pixels.shape[:2]]
    grey = pixels[:: steps[0], :: steps[1]].mean(axis=-1, dtype=np.float32)
    for axis in (0, 1):
        side = grey.shape[axis]
        edges = np.minimum(np.arange(9) * side // 9, side - 1)
        counts = np.diff(np.append(edges, side))
        grey = np.add.reduceat(grey, edges, axis=axis) / counts.reshape((-1, 1) if axis == 0 else (1, -1))
    if np.ptp(grey) < 1:
        return bytes(16)
    bits = np.concatenate([(grey[:8, 1:] > grey[:8, :-1]).ravel(), (grey[1:, :8] > grey[:-1, :8]).ravel()])
    return np.packbits(bits).tobytes()


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
