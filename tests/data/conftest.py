"""Images to test with, made on the spot."""

import io
import pathlib

import numpy as np
import pytest
from PIL import Image


@pytest.fixture
def noise():
    """A function from (height, width, seed) to an RGB image in which every pixel differs."""

    def make(height: int, width: int, seed: int = 0) -> Image.Image:
        return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8))

    return make


@pytest.fixture
def encoded():
    """A function from an image, a format and options to the bytes of a file."""

    def encode(image: Image.Image, form: str, **options) -> bytes:
        file = io.BytesIO()
        image.save(file, form, **options)
        return file.getvalue()

    return encode


@pytest.fixture
def photos(tmp_path, noise, encoded) -> pathlib.Path:
    """A folder with two classes of three good images each, in all formats."""
    names = {"cat": ("1.jpg", "2.JPEG", "3.png"), "dog": ("1.PNG", "2.bmp", "deep/3.gif")}
    forms = {"jpg": "JPEG", "jpeg": "JPEG", "png": "PNG", "bmp": "BMP", "gif": "GIF"}
    for label, files in names.items():
        for seed, name in enumerate(files):
            path = tmp_path / "photos" / label / name
            path.parent.mkdir(parents=True, exist_ok=True)
            form = forms[path.suffix[1:].lower()]
            path.write_bytes(encoded(noise(20, 30, seed + 10 * (label == "dog")), form))
    return tmp_path / "photos"
