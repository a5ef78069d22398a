"""Draws what training sees of some images: a row for each augmentation, and one for all of them together.

Example:
  python -m experiments.show_augmentation --train_data=folder:flowers/train --image_size=128 \
    --augmentation=flip,crop,randaugment --augmentation_options=magnitude=5 --mixup=0.2 --output=augmentation.png

Without train_data it draws two pictures that it makes itself, and without augmentation every operation there is.
"""

import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
from absl import flags as absl_flags

from experiments import flags

SETTINGS = ("train_data", "image_size", "augmentation", "augmentation_options", "mixup", "cutmix", "seed", "data_root")
SETTINGS += ("image_column", "label_column", "task", "multi_label")
COLUMNS, SIDE = 8, 128


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit code."""
    return flags.app_run(_run, description=__doc__, names=SETTINGS, define=_define, argv=argv)


def _define(flag_values):
    absl_flags.DEFINE_string("output", "augmentation.png", "The file to write.", flag_values=flag_values)
    absl_flags.DEFINE_integer("example", 0, "Index of the example to show.", 0, flag_values=flag_values)


def _run(config, flag_values):
    from kft import data, errors
    from kft.run import parse_options, setup, validate

    validate(config)
    if config.data.train_data:
        source = setup.load_data(config, config.data.train_data)
    else:
        source = data.from_arrays(np.stack([scene(0), scene(1)]), [0, 1])
    if source.load is None or flag_values.example >= source.num_examples:
        raise errors.InputError(
            f"Got example {flag_values.example} of {source.name!r}. Expected one of {source.num_examples} images. "
            "Correct --train_data, or --example."
        )
    rows = ways(config.data, parse_options(config.data.augmentation_options, what="augmentation_options"))
    if not flag_values["augmentation"].present:
        rows = ways(config.data, {}, names=[name for name in data.AUGMENTATIONS if name != "none"])
    size = (config.data.image_size or SIDE,) * 2
    pictures = {
        name: views(source, flag_values.example, size=size, seed=config.run.seed, **way) for name, way in rows.items()
    }
    draw(pictures, flag_values.output)
    print(flag_values.output)


def ways(settings: Any, options: dict[str, float], names: Sequence[str] | None = None) -> dict[str, dict[str, Any]]:
    """The rows: each operation alone, each kind of mixing, and everything together.

    Args:
      settings: `config.data`.
      options: of the augmentation.
      names: of the operations; those of the settings if None.
    """
    from kft import data

    names = list(settings.augmentation if names is None else names)
    rows = {"none": {"augmentation": "none"}}
    for name in names:
        own = {option: value for option, value in options.items() if data.AUGMENTATION_OPTIONS[option][0] == name}
        rows[name] = {"augmentation": name, "options": own}
    mixing = {way: getattr(settings, way) for way in ("mixup", "cutmix") if getattr(settings, way)}
    for way, alpha in mixing.items():
        rows[f"{way} {alpha:g}"] = {"augmentation": "none", "mixing": data.Mixing(**{way: alpha})}
    together = {"augmentation": ",".join(names) or "none", "options": options, "mixing": data.Mixing(**mixing)}
    return rows | ({"together": together} if len(rows) > 2 else {})


def views(source, example, *, size, seed, augmentation, options=None, mixing=None) -> list[np.ndarray]:
    """An example as it is in the first epochs."""
    from kft import data

    encode = data.image_encoder(image_size=size, augmentation=augmentation, augmentation_options=options)
    dataset = data.batches(
        source, encode=encode, preprocess=lambda x: x, global_batch_size=1, seed=seed, mixing=mixing or None
    )
    indices = np.array([example])
    one_in_each = dataset.examples([(indices, epoch) for epoch in range(COLUMNS)])
    return [np.clip(np.rint(x.numpy()[0]), 0, 255).astype(np.uint8) for x, *_ in one_in_each]


def draw(pictures: dict[str, list[np.ndarray]], output: str) -> None:
    """Writes a PNG file with a named row of pictures for each way."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(COLUMNS * 1.05 + 1.2, len(pictures) * 1.05), layout="constrained")
    for row, (name, images) in enumerate(pictures.items()):
        for column, image in enumerate(images):
            axes = figure.add_subplot(len(pictures), COLUMNS, row * COLUMNS + column + 1)
            axes.imshow(image)
            axes.set(xticks=[], yticks=[])
            if column == 0:
                axes.set_ylabel(name, rotation=0, ha="right", va="center")
    figure.savefig(output, format="png", dpi=80)


def scene(kind: int, side: int = 160) -> np.ndarray:
    """A picture to try augmentation on: a house on a hill under the sun, or a boat at night.

    Returns: (side, side, 3) uint8.
    """
    rows, columns = np.mgrid[0:side, 0:side] / side
    day = kind == 0
    sky = (np.array([120, 180, 240]) if day else np.array([20, 20, 60])) + rows[..., None] * 60
    image = np.where((rows > 0.7 + 0.05 * np.sin(6 * columns))[..., None], [70, 150, 60] if day else [30, 60, 120], sky)
    image[np.hypot(rows - 0.2, columns - 0.78) < 0.1] = [250, 220, 60] if day else [230, 230, 220]
    if day:
        image[(abs(columns - 0.35) < 0.15) & (abs(rows - 0.62) < 0.13)] = [200, 80, 60]
        image[(rows < 0.49) & (rows > 0.3 + 1.05 * abs(columns - 0.35))] = [110, 60, 40]
        image[(abs(columns - 0.33) < 0.04) & (abs(rows - 0.69) < 0.06)] = [80, 50, 30]
    else:
        image[(rows > 0.66) & (rows < 0.76) & (abs(columns - 0.4) < 0.38 - 1.7 * (rows - 0.6))] = [150, 90, 50]
        image[(rows < 0.64) & (rows > 0.25 + 1.5 * abs(columns - 0.42)) & (columns > 0.42)] = [240, 240, 235]
    return np.clip(image, 0, 255).astype(np.uint8)


if __name__ == "__main__":
    sys.exit(main())
