"""Scikit-learn's digits as folders of PNG files, for runs that take seconds."""

import pathlib

import numpy as np
from PIL import Image

CLASSES = ("one", "seven", "three", "two", "zero")
DIGITS = {"zero": 0, "one": 1, "two": 2, "three": 3, "seven": 7}


def write(folder: pathlib.Path, *, first: int, count: int) -> pathlib.Path:
    """Writes `count` photos of each class, from the one of number `first` on; returns the folder."""
    from sklearn import datasets

    loaded = datasets.load_digits()
    for name in CLASSES:
        (folder / name).mkdir(parents=True)
        for index in np.flatnonzero(loaded.target == DIGITS[name])[first : first + count]:
            pixels = np.rint(loaded.images[index] * (255 / 16)).astype(np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{index:04}.png")
    return folder


def write_parts(folder: pathlib.Path) -> dict[str, str]:
    """Training, evaluation and test data of 18, 9 and 7 photos a class; returns their settings."""
    parts = {"train_data": (0, 18), "eval_data": (18, 9), "test_data": (27, 7)}
    return {role: f"folder:{write(folder / role, first=first, count=count)}" for role, (first, count) in parts.items()}
