"""The seconds that kft takes for what plain Keras does too: the same model, batch, epochs and rule, on photos.

Example:
  python -m experiments.benchmarks.image_fit --mode=probe --photos=flowers --image_size=128 \
    --backbone_weights=FILE.h5

The folder has train/ and val/, each with a folder of images for each class. Both train MobileNetV2 with Adam, validate
after each epoch and cache nothing. Keras does it as its guides say: `image_dataset_from_directory` with prefetching,
the scaling inside the model, `fit`. kft has `kft.data.batches` and `FineTuneModel.fit`.

With --mode=full, --batchnorm=train is the same work in both. With --batchnorm=frozen, where kft still trains scale and
offset, Keras leaves the whole layer as it is, which is less work.

Each measurement is a process of its own. They come in pairs, the first one of a pair being now Keras, now kft:

    train_seconds  from the call of fit, so tracing and the first batch read are in it, to the last update;
                   validation between epochs is in it, that of the last epoch is not
    wall_seconds   from the start of Python's imports to the end of fit; of kft with the pre-flight over all files

It prints a line of JSON for each measurement, then a table of the pairs and the medians.
"""

import json
import os
import pathlib
import statistics
import sys
import time
from collections.abc import Sequence
from typing import Any

BEGAN = time.perf_counter()

from absl import flags as absl_flags  # noqa: E402  what is imported is measured

from experiments import flags  # noqa: E402
from experiments.benchmarks import processes  # noqa: E402
from kft import errors, inspection  # noqa: E402

MODULE = "experiments.benchmarks.image_fit"

LIBRARIES = ("keras", "kft")
SETTINGS = ("backbone_weights", "image_size", "global_batch_size", "batchnorm")


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the benchmark; returns its exit code."""
    return flags.app_run(_run, description=__doc__, names=SETTINGS, define=_define, argv=argv)


def _define(flag_values):
    define = {"flag_values": flag_values}
    absl_flags.DEFINE_enum("mode", "probe", ("probe", "full"), "What trains: the head, or everything.", **define)
    absl_flags.DEFINE_string("photos", "", "Folder with train/ and val/.", **define)
    absl_flags.DEFINE_float("alpha", 0.35, "Width of MobileNetV2, one of those that Keras has.", **define)
    absl_flags.DEFINE_integer("epochs", 5, "Of each measurement.", 1, **define)
    absl_flags.DEFINE_integer("runs", 5, "Pairs of measurements.", 1, **define)
    absl_flags.DEFINE_enum("only", None, LIBRARIES, "Measure this one once, in this process.", **define)


def _run(config, flag_values):
    photos = pathlib.Path(flag_values.photos)
    if not ((photos / "train").is_dir() and (photos / "val").is_dir()):
        raise errors.InputError(
            f"Got photos={flag_values.photos!r}. Expected a folder with train/ and val/ in it. Give --photos=DIR."
        )
    if flag_values.only:
        print(json.dumps(measure(flag_values.only, flag_values)))
        return
    pairs = []
    for number in range(flag_values.runs):
        order = LIBRARIES if number % 2 == 0 else LIBRARIES[::-1]
        pairs.append({library: processes.measure_in_new_process(MODULE, library, flag_values) for library in order})
    print(f"\n{report(pairs)}")


def measure(library: str, settings: Any) -> dict[str, Any]:
    """Trains once.

    Args:
      library: "keras" or "kft".
      settings: with the flags as attributes.

    Returns: library, mode, train_seconds, wall_seconds and val_accuracy.
    """
    import keras

    class Stopwatch(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            self.last_update = time.perf_counter()

    keras.utils.set_random_seed(0)
    model, train, validation = {"keras": _with_keras, "kft": _with_kft}[library](settings)
    stopwatch, began = Stopwatch(), time.perf_counter()
    history = model.fit(
        train, validation_data=validation, epochs=settings.epochs, verbose=0, callbacks=[stopwatch]
    ).history
    return {
        "library": library,
        "mode": settings.mode,
        "train_seconds": round(stopwatch.last_update - began, 3),
        "wall_seconds": round(time.perf_counter() - BEGAN, 3),
        "val_accuracy": round(history["val_accuracy"][-1], 4),
    }


def _with_keras(settings: Any) -> tuple[Any, Any, Any]:
    """Model, training data and validation data as Keras' guides make them."""
    import keras
    import tensorflow as tf

    size = (settings.image_size or 224,) * 2

    def load(part: str, **arguments: Any) -> tf.data.Dataset:
        return keras.utils.image_dataset_from_directory(
            os.path.join(settings.photos, part),
            image_size=size,
            batch_size=settings.global_batch_size,
            verbose=False,
            **arguments,
        )

    train, validation = load("train", seed=0), load("val", shuffle=False)
    num_classes = len(train.class_names)
    weights = None if settings.backbone_weights == "none" else settings.backbone_weights
    base = keras.applications.MobileNetV2(
        input_shape=(*size, 3), alpha=settings.alpha, include_top=False, weights=weights
    )
    base.trainable = settings.mode == "full"
    if settings.mode == "full" and settings.batchnorm == "frozen":
        for layer in base.layers:
            if isinstance(layer, keras.layers.BatchNormalization):
                layer.trainable = False
    inputs = keras.Input((*size, 3))
    outputs = base(keras.applications.mobilenet_v2.preprocess_input(inputs))
    outputs = keras.layers.Dense(num_classes)(keras.layers.GlobalAveragePooling2D()(outputs))
    model = keras.Model(inputs, outputs)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(_learning_rate(settings)), loss, metrics=["accuracy"])
    return model, train.prefetch(tf.data.AUTOTUNE), validation.prefetch(tf.data.AUTOTUNE)


def _with_kft(settings: Any) -> tuple[Any, Any, Any]:
    """The same with kft, the pre-flight included."""
    from kft import data, models, optimizers, tasks, training

    train = data.load(f"folder:{settings.photos}/train")
    validation = data.load(f"folder:{settings.photos}/val", label_names=train.label_names)
    data.check(train, validation).raise_if_bad()
    task = tasks.make_task("image_classification", label_names=train.label_names)
    backbone = models.make_backbone(
        f"mobilenet_v2_{settings.alpha}",
        image_size=settings.image_size or None,
        weights=settings.backbone_weights,
    )
    model = training.build_model(backbone, task, batchnorm=settings.batchnorm)
    if settings.mode == "probe":
        model.set_trainable([models.HEAD_BLOCK])
    optimizer = optimizers.make_optimizer("adam", learning_rate=_learning_rate(settings))
    model.compile(optimizer, loss=task.loss, metrics=task.metrics())
    batch = {
        "encode": data.image_encoder(image_size=backbone.image_size),
        "preprocess": backbone.preprocess,
        "global_batch_size": settings.global_batch_size,
    }
    return model, data.batches(train, shuffle=True, **batch), data.batches(validation, **batch)


def _learning_rate(settings: Any) -> float:
    return 1e-3 if settings.mode == "probe" else 1e-4


def report(pairs: Sequence[dict[str, dict[str, Any]]]) -> str:
    """The table of the pairs and the medians.

    Args:
      pairs: library -> what `measure` returns, for each pair.

    Example:
      >>> seconds = [{"train_seconds": 10.0, "wall_seconds": 16.0}, {"train_seconds": 9.0, "wall_seconds": 20.0}]
      >>> print(report([dict(zip(LIBRARIES, seconds))]))
      pair    keras train  kft train  kft/keras train  keras wall  kft wall  kft/keras wall
      1                10          9              0.9          16        20            1.25
      median           10          9              0.9          16        20            1.25
    """
    rows = []
    for number, pair in enumerate(pairs, 1):
        row = {"pair": str(number)}
        for clock in ("train", "wall"):
            keras, kft = (pair[library][f"{clock}_seconds"] for library in LIBRARIES)
            row |= {f"keras {clock}": keras, f"kft {clock}": kft, f"kft/keras {clock}": kft / keras}
        rows.append(row)
    columns = list(rows[0])[1:]
    rows.append({"pair": "median"} | {name: statistics.median(row[name] for row in rows) for name in columns})
    return inspection.table(rows)


if __name__ == "__main__":
    sys.exit(main())
