"""Images per second that are decoded, augmented and batched, without a model: kft against Keras.

Example:
  python -m experiments.benchmarks.image_input --photos=flowers/train --image_size=128

The folder has a folder of images for each class. Three ways, each a process of its own, one after the other in an order
that changes from run to run:

    keras      keras.utils.image_dataset_from_directory, shuffled; RandomFlip and RandomZoom in a parallel map of
               batches; prefetched
    kft        kft.data.batches, shuffled, with the augmentation "flip,crop"
    in memory  the same, of `kft.data.in_memory`

RandomZoom shows between 35 and 100 % of the area, as kft's crop does, but always of the middle: Keras has no layer that
crops at random and resizes, and to move the image too would cost it a second layer. Measured is, for each epoch, the
time from asking for its first batch to having its last one; the first epoch has the tracing in it, and in memory the
decoding of all images before it.

    images_per_second  of the epochs after the first: the median
    first_epoch        seconds

It prints a line of JSON for each measurement, then the medians and how many times as many images Keras' are.
"""

import json
import pathlib
import statistics
import sys
import time
from collections.abc import Sequence
from typing import Any

from absl import flags as absl_flags

from experiments import flags
from experiments.benchmarks import processes
from kft import errors, inspection

MODULE = "experiments.benchmarks.image_input"

WAYS = ("keras", "kft", "in memory")
SETTINGS = ("image_size", "global_batch_size")


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the benchmark; returns its exit code."""
    return flags.app_run(_run, description=__doc__, names=SETTINGS, define=_define, argv=argv)


def _define(flag_values):
    define = {"flag_values": flag_values}
    absl_flags.DEFINE_string("photos", "", "Folder with a folder for each class.", **define)
    absl_flags.DEFINE_integer("epochs", 4, "Of each measurement.", 2, **define)
    absl_flags.DEFINE_integer("runs", 5, "Measurements of each way.", 1, **define)
    absl_flags.DEFINE_enum("only", None, WAYS, "Measure this one once, in this process.", **define)


def _run(config, flag_values):
    if not pathlib.Path(flag_values.photos).is_dir():
        raise errors.InputError(f"Got photos={flag_values.photos!r}. Expected a folder. Give --photos=DIR.")
    if flag_values.only:
        print(json.dumps(measure(flag_values.only, flag_values)))
        return
    rows = []
    for number in range(flag_values.runs):
        shift = number % len(WAYS)
        rows += [processes.measure_in_new_process(MODULE, way, flag_values) for way in (*WAYS[shift:], *WAYS[:shift])]
    print(f"\n{report(rows)}")


def measure(way: str, settings: Any) -> dict[str, Any]:
    """Reads some epochs.

    Args:
      way: one of WAYS.
      settings: with the flags as attributes.

    Returns: way, images_per_second and first_epoch.
    """
    began = time.perf_counter()
    make = _with_keras if way == "keras" else _with_kft
    dataset, num_images = make(settings, way)
    seconds = []
    for epoch in range(settings.epochs):
        begin = time.perf_counter() if epoch else began
        for batch in dataset:
            last = batch
        last[0].numpy()
        seconds.append(time.perf_counter() - begin)
    return {
        "way": way,
        "images_per_second": round(num_images / statistics.median(seconds[1:]), 1),
        "first_epoch": round(seconds[0], 2),
    }


def _with_keras(settings: Any, way: str) -> tuple[Any, int]:
    import keras
    import tensorflow as tf

    size = (settings.image_size or 224,) * 2
    dataset = keras.utils.image_dataset_from_directory(
        settings.photos, image_size=size, batch_size=settings.global_batch_size, seed=0, verbose=False
    )
    least = 0.35**0.5 - 1  # of each side, so 35 % of the area
    layers = [keras.layers.RandomFlip("horizontal", seed=0), keras.layers.RandomZoom((least, 0.0), seed=1)]

    def augment(images, labels):
        for layer in layers:
            images = layer(images, training=True)
        return images, labels

    num_images = len(dataset.file_paths)
    dataset = dataset.map(augment, num_parallel_calls=tf.data.AUTOTUNE)
    return dataset.prefetch(tf.data.AUTOTUNE), num_images


def _with_kft(settings: Any, way: str) -> tuple[Any, int]:
    from kft import data

    size = (settings.image_size or 224,) * 2
    source = data.load(f"folder:{settings.photos}")
    if way == "in memory":
        kept = data.in_memory(source, image_size=size, augmentation="flip,crop")
        if not kept.bytes:
            raise errors.InputError(f"Got images that are not kept: {kept.reason}. Expected some that fit. Use fewer.")
        source = kept.source
    dataset = data.batches(
        source,
        encode=data.image_encoder(image_size=size, augmentation="flip,crop"),
        preprocess=lambda images: images,
        global_batch_size=settings.global_batch_size,
        shuffle=True,
    )
    return dataset, source.num_examples


def report(rows: Sequence[dict[str, Any]]) -> str:
    """The medians of each way, and its images for each one of Keras'.

    Args:
      rows: what `measure` returns.

    Example:
      >>> rates = {"keras": 1000.0, "kft": 1500.0}
      >>> print(report([{"way": way, "images_per_second": rate, "first_epoch": 3} for way, rate in rates.items()]))
      way    runs  images a second  first epoch, s  times Keras'
      keras     1            1,000               3             1
      kft       1            1,500               3           1.5
    """
    ways = {way: [row for row in rows if row["way"] == way] for way in WAYS}
    rates = {way: statistics.median(row["images_per_second"] for row in own) for way, own in ways.items() if own}
    table = [
        {
            "way": way,
            "runs": len(ways[way]),
            "images a second": round(rate),
            "first epoch, s": statistics.median(row["first_epoch"] for row in ways[way]),
            "times Keras'": round(rate / rates["keras"], 2) if "keras" in rates else None,
        }
        for way, rate in rates.items()
    ]
    return inspection.table(table)


if __name__ == "__main__":
    sys.exit(main())
