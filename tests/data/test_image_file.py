import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageEnhance

from kft.data import image_file


def header(content):
    return image_file.header_of(io.BytesIO(content))


def png_that_claims(width, height):
    def chunk(name, content):
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    size = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + size + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    "mode, form, remarks",
    [
        ("RGB", "JPEG", ()),
        ("L", "JPEG", ()),
        ("CMYK", "JPEG", (image_file.CMYK,)),
        ("RGBA", "PNG", (image_file.ALPHA,)),
        ("LA", "PNG", (image_file.ALPHA,)),
        ("I;16", "PNG", (image_file.DEEP,)),
        ("P", "PNG", ()),
        ("L", "GIF", ()),
    ],
)
def test_the_header_tells_what_is_converted(noise, encoded, mode, form, remarks):
    content = encoded(noise(8, 12).convert(mode), form)
    assert header(content) == (8, 12, form == "JPEG", 1, remarks)
    assert image_file.examine("x", content, header(content)).remarks == remarks


def test_colours_of_16_bits(noise, encoded):
    content = bytearray(encoded(noise(8, 12), "PNG"))
    content[24] = 16
    content[29:33] = struct.pack(">I", zlib.crc32(content[12:29]))
    assert header(bytes(content)).remarks == (image_file.DEEP,)


@pytest.mark.parametrize("width, height", [(8_000, 7_000), (2**30, 2**30)])
def test_an_image_of_too_many_pixels_is_told_by_its_header_alone(width, height):
    content = png_that_claims(width, height)
    found = image_file.examine("big.png", content, header(content))
    assert found.bad.kind == "too many pixels" and f"{width} x {height}" in found.bad.reason
    assert "max_megapixels" in found.bad.remedy
    raised = image_file.examine("big.png", content, header(content), most_pixels=2**62)
    assert raised.bad.kind in ("truncated", "corrupt", "not decodable")


def test_equal_pixels_of_other_bytes_are_told_from_other_pixels(noise, encoded):
    image = noise(20, 30)
    png, smaller, bmp, other = (
        encoded(image, "PNG"),
        encoded(image, "PNG", compress_level=1),
        encoded(image, "BMP"),
        encoded(noise(20, 30, 1), "PNG"),
    )
    found = [image_file.examine("x", content, header(content)) for content in (png, smaller, bmp, other)]
    assert len({one.content for one in found}) == 4
    assert found[0].pixels == found[1].pixels == found[2].pixels != found[3].pixels


def test_the_same_pixels_turned_are_other_pixels(noise, encoded):
    exif = (image := noise(20, 20)).getexif()
    exif[0x0112] = 3
    straight, turned = encoded(image, "PNG"), encoded(image, "PNG", exif=exif)
    first, second = (image_file.examine("x", content, header(content)) for content in (straight, turned))
    assert first.pixels != second.pixels


def differing(first, second):
    return sum(bin(a ^ b).count("1") for a, b in zip(first, second, strict=True))


def test_looks_stay_near_under_small_changes_and_far_between_others():
    def photo(seed):
        blocks = np.random.default_rng(seed).integers(0, 256, (7, 5, 3), np.uint8)
        return Image.fromarray(blocks).resize((160, 120), Image.Resampling.BICUBIC)

    image = photo(0)
    look = image_file.look_of(np.asarray(image))
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=30)
    again = Image.open(buffer).convert("RGB")
    brighter = ImageEnhance.Brightness(image).enhance(0.9)
    for other in (again, brighter, image.resize((320, 240)), image.resize((81, 61))):
        assert differing(look, image_file.look_of(np.asarray(other))) <= 7
    far = [differing(look, image_file.look_of(np.asarray(photo(seed)))) for seed in range(1, 40)]
    assert min(far) > 20


@pytest.mark.parametrize("pixels", [np.full((40, 40, 3), 9, np.uint8), np.zeros((8, 40, 3), np.uint8)])
def test_what_shows_nothing_has_no_look(pixels):
    assert image_file.look_of(pixels) == bytes(16)
