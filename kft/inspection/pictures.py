"""Pictures for TensorBoard, drawn with Pillow: a confusion matrix, calibration, a grid of examples."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

_BACK, _INK, _DIM, _BLUE = (255, 255, 255), (27, 31, 36), (120, 128, 140), (31, 95, 191)
_LARGEST = 1000


def confusion(matrix: np.ndarray, names: Sequence[str]) -> np.ndarray:
    """A confusion matrix, rows the truth, coloured by the share of the row; numbers where there is room.

    Args:
      matrix: (K, K) int.
      names: of the classes.

    Returns: (height, width, 3) uint8.
    """
    cell = max(6, min(64, _LARGEST // max(len(names), 1)))
    shares = matrix / np.maximum(matrix.sum(1, keepdims=True), 1)
    with_text = cell >= 18
    left, top = (130, 30) if with_text else (6, 6)
    side = cell * len(names)
    picture, draw = _paper(left + side + 6, top + side + (110 if with_text else 6))
    font = _font(13 if cell >= 32 else 9)
    for i, name in enumerate(names):
        for j in range(len(names)):
            box = (left + j * cell, top + i * cell, left + (j + 1) * cell - 1, top + (i + 1) * cell - 1)
            share = float(shares[i, j])
            draw.rectangle(box, fill=_mix(_BACK, _BLUE, share * 0.9), outline=(225, 229, 235))
            if with_text and matrix[i, j]:
                colour = _BACK if share > 0.55 else _INK
                draw.text(_middle(box), str(int(matrix[i, j])), fill=colour, font=font, anchor="mm")
        if with_text:
            draw.text((left - 6, top + (i + 0.5) * cell), _short(name, 18), fill=_INK, font=font, anchor="rm")
            words = Image.new("RGB", (100, 16), _BACK)
            ImageDraw.Draw(words).text((100, 8), _short(name, 14), fill=_INK, font=font, anchor="rm")
            picture.paste(words.rotate(90, expand=True), (int(left + (i + 0.5) * cell - 8), top + side + 4))
    if with_text:
        draw.text((left, 8), "truth: rows, predicted: columns", fill=_DIM, font=_font(13))
    return np.asarray(picture)


def reliability(bins: Sequence[dict[str, float]], error: float) -> np.ndarray:
    """Accuracy over confidence, a bar for each bin, and the line where both are equal."""
    side, left, top = 300, 44, 30
    picture, draw = _paper(left + side + 16, top + side + 40)
    most = max((row["examples"] for row in bins), default=1)
    for tick in (0.0, 0.25, 0.5, 0.75, 1.0):
        y = top + side * (1 - tick)
        draw.line((left, y, left + side, y), fill=(225, 229, 235))
        draw.text((left - 6, y), f"{tick:g}", fill=_DIM, font=_font(12), anchor="rm")
        draw.text((left + side * tick, top + side + 12), f"{tick:g}", fill=_DIM, font=_font(12), anchor="mm")
    for row in bins:
        box = (
            left + side * row["low"] + 1,
            top + side * (1 - row["accuracy"]),
            left + side * row["high"] - 1,
            top + side,
        )
        draw.rectangle(box, fill=_mix(_BACK, _BLUE, 0.3 + 0.7 * row["examples"] / most))
    draw.line((left, top + side, left + side, top), fill=_DIM, width=2)
    draw.text((left, 8), f"accuracy over confidence, expected error {error:.3f}", fill=_INK, font=_font(13))
    return np.asarray(picture)


def grid(
    images: Sequence[np.ndarray], captions: Sequence[Sequence[tuple[str, bool]]], *, columns: int = 8
) -> np.ndarray:
    """Images side by side with lines below each.

    Args:
      images: (height, width, 1 or 3) uint8.
      captions: for each image its lines: the text, and whether it is one to look at.
      columns: most images in a row.
    """
    side, line = 112, 14
    height = side + 4 + line * max((len(lines) for lines in captions), default=0) + 6
    columns = min(columns, len(images))
    picture, draw = _paper(columns * (side + 8) + 8, -(-len(images) // columns) * height + 8)
    for place, (image, lines) in enumerate(zip(images, captions, strict=True)):
        x, y = 8 + place % columns * (side + 8), 8 + place // columns * height
        small = Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image).convert("RGB")
        how = Image.Resampling.NEAREST if max(small.size) < 48 else Image.Resampling.BILINEAR
        scale = side / max(small.size)
        small = small.resize((max(1, round(small.width * scale)), max(1, round(small.height * scale))), how)
        picture.paste(small, (x, y))
        for number, (text, marked) in enumerate(lines):
            colour = (180, 35, 24) if marked else _INK
            draw.text((x, y + side + 3 + number * line), _short(text, 19), fill=colour, font=_font(11))
    return np.asarray(picture)


def sprite(images: Sequence[np.ndarray], *, side: int = 48) -> np.ndarray:
    """All images as squares of one size in a square, as the projector takes them."""
    columns = int(np.ceil(np.sqrt(len(images))))
    picture = Image.new("RGB", (columns * side, columns * side), _BACK)
    for place, image in enumerate(images):
        small = Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image).convert("RGB").resize((side, side))
        picture.paste(small, (place % columns * side, place // columns * side))
    return np.asarray(picture)


def _paper(width: int, height: int) -> tuple[Image.Image, Any]:
    picture = Image.new("RGB", (int(width), int(height)), _BACK)
    return picture, ImageDraw.Draw(picture)


def _font(size: int) -> Any:
    return ImageFont.load_default(size)


def _mix(first: tuple[int, ...], second: tuple[int, ...], share: float) -> tuple[int, ...]:
    return tuple(round(a + (b - a) * min(max(share, 0.0), 1.0)) for a, b in zip(first, second, strict=True))


def _middle(box: tuple[float, ...]) -> tuple[float, float]:
    return (box[0] + box[2]) / 2, (box[1] + box[3]) / 2


def _short(text: str, most: int) -> str:
    text = "".join(character if character.isprintable() else "?" for character in str(text))
    return text if len(text) <= most else text[: most - 1] + "…"
