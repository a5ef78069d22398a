"""The seconds that a frozen part costs: plain Keras, which computes it in every epoch, and kft, which does so once.

Example:
  python -m experiments.benchmarks.frozen_prefix --photos=flowers --image_size=128 --backbone_weights=FILE.h5 \
    --top_blocks=0 --epochs=10

The folder has train/ and val/, each with a folder of images for each class. Both train the head and the top blocks of
MobileNetV2 with Adam, decode the photos themselves and validate after each epoch. Keras does it as its guides say:
`image_dataset_from_directory` with prefetching, the scaling inside the model, `trainable=False`, `fit`. kft has
`fine_tune` with --cache. A third measurement trains what is above the cut alone, on random arrays in memory: the least
that an epoch can take.

Each measurement is a process of its own; they are interleaved, the first one of each round being another one:

    train_seconds  from the call of fit or fine_tune to its end: tracing, decoding and validation are in it
    epoch_seconds  training part of an epoch, the median of all but the first

It prints a line of JSON for each measurement, then a table of the medians.
"""

import glob
import json
import os
import pathlib
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Any

from absl import flags as absl_flags

from experiments import flags
from kft import errors, inspection

KINDS = ("keras", "kft", "arrays")
SETTINGS = ("backbone_weights", "image_size", "global_batch_size", "cache", "cache_budget")


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the benchmark; returns its exit code."""
    return flags.app_run(_run, description=__doc__, names=SETTINGS, define=_define, argv=argv)


def _define(flag_values):
    define = {"flag_values": flag_values}
    absl_flags.DEFINE_string("photos", "", "Folder with train/ and val/.", **define)
    absl_flags.DEFINE_float("alpha", 0.35, "Width of MobileNetV2, one of those that Keras has.", **define)
    absl_flags.DEFINE_integer("top_blocks", 0, "Blocks below the head that train too.", 0, **define)
    absl_flags.DEFINE_integer("epochs", 10, "Of each measurement.", 2, **define)
    absl_flags.DEFINE_integer("runs", 3, "Rounds of measurements.", 1, **define)
    absl_flags.DEFINE_enum("only", None, KINDS, "Measure this one once, in this process.", **define)


def _run(config, flag_values):
    photos = pathlib.Path(flag_values.photos)
    if not ((photos / "train").is_dir() and (photos / "val").is_dir()):
        raise errors.InputError(
            f"Got photos={flag_values.photos!r}. Expected a folder with train/ and val/ in it. Give --photos=DIR."
        )
    if flag_values.only:
        print(json.dumps(measure(flag_values.only, flag_values)))
        return
    rounds = []
    for number in range(flag_values.runs):
        order = [KINDS[(number + place) % len(KINDS)] for place in range(len(KINDS))]
        rounds.append({kind: _in_new_process(kind, flag_values) for kind in order})
    print(f"\n{report(rounds)}")


def _in_new_process(kind: str, flag_values: absl_flags.FlagValues) -> dict[str, Any]:
    given = [flag_values[name].serialize() for name in flag_values if flag_values[name].present]
    command = [sys.executable, "-m", "experiments.benchmarks.frozen_prefix", *given, f"--only={kind}"]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, env={"TF_CPP_MIN_LOG_LEVEL": "3", **os.environ})
    if done.returncode:
        raise RuntimeError(f"The measurement of {kind} ended with exit code {done.returncode}; its error is above.")
    line = done.stdout.splitlines()[-1]
    print(line, flush=True)
    return json.loads(line)


def measure(kind: str, settings: Any) -> dict[str, Any]:
    """Trains once.

    Args:
      kind: one of KINDS.
      settings: with the flags as attributes.

    Returns: kind, train_seconds, epoch_seconds, peak_memory_mb and val_accuracy.
    """
    import resource

    import keras

    class Stopwatch(keras.callbacks.Callback):
        seconds: list[float] = []  # noqa: RUF012  one object of it

        def on_epoch_begin(self, epoch, logs=None):
            self.began = time.perf_counter()
            self.open = True

        def on_test_begin(self, logs=None):
            self.on_epoch_end(0)

        def on_epoch_end(self, epoch, logs=None):
            if self.open:
                self.seconds.append(time.perf_counter() - self.began)
                self.open = False

    keras.utils.set_random_seed(0)
    stopwatch = Stopwatch()
    train = {"keras": _with_keras, "kft": _with_kft, "arrays": _on_arrays}[kind](settings)
    began = time.perf_counter()
    history = train(epochs=settings.epochs, verbose=0, callbacks=[stopwatch]).history
    return {
        "kind": kind,
        "train_seconds": round(time.perf_counter() - began, 3),
        "epoch_seconds": round(statistics.median(stopwatch.seconds[1:]), 3),
        "peak_memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        "val_accuracy": round(history.get("val_accuracy", [0.0])[-1], 4),
    }


def _with_keras(settings: Any) -> Any:
    """The function that trains as Keras' guides do."""
    import functools

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
    model, backbone, *_ = _kft_parts(settings)
    base = backbone.model
    trained = {variable.path for variable in model.trainable_variables}
    for layer in base.layers:
        layer.trainable = any(weight.path in trained for weight in layer.weights) and not isinstance(
            layer, keras.layers.BatchNormalization
        )
    inputs = keras.Input((*size, 3))
    outputs = base(keras.applications.mobilenet_v2.preprocess_input(inputs))
    outputs = keras.layers.Dense(num_classes)(keras.layers.GlobalAveragePooling2D()(outputs))
    model = keras.Model(inputs, outputs)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(1e-3), loss, metrics=["accuracy"])
    return functools.partial(
        model.fit, train.prefetch(tf.data.AUTOTUNE), validation_data=validation.prefetch(tf.data.AUTOTUNE)
    )


def _kft_parts(settings: Any) -> tuple[Any, ...]:
    """Model, backbone, training and validation batches, and what trains."""
    from kft import data, models, optimizers, tasks, trainable, training

    train = data.load(f"folder:{settings.photos}/train")
    validation = data.load(f"folder:{settings.photos}/val", label_names=train.label_names)
    task = tasks.make_task("image_classification", label_names=train.label_names)
    backbone = models.make_backbone(
        f"mobilenet_v2_{settings.alpha}",
        image_size=settings.image_size or None,
        weights=(glob.glob(settings.backbone_weights) or [settings.backbone_weights])[0],
    )
    model = training.build_model(backbone, task)
    schedule = trainable.make_trainable_schedule(f"top_blocks({settings.top_blocks})", model.blocks)
    model.set_trainable(schedule[0].trainable)
    model.compile(optimizers.make_optimizer("adam", learning_rate=1e-3), loss=task.loss, metrics=task.metrics())
    batch = {
        "encode": data.image_encoder(image_size=backbone.image_size),
        "preprocess": backbone.preprocess,
        "global_batch_size": settings.global_batch_size,
    }
    return model, backbone, data.batches(train, shuffle=True, **batch), data.batches(validation, **batch), schedule


def _with_kft(settings: Any) -> Any:
    """The function that trains with kft."""
    import functools

    from kft import training

    model, _, train, validation, schedule = _kft_parts(settings)
    return functools.partial(
        training.fine_tune,
        model,
        train,
        schedule,
        validation_data=validation,
        cache=settings.cache if settings.cache != "off" else "exact",
        cache_budget=settings.cache_budget,
    )


def _on_arrays(settings: Any) -> Any:
    """The function that trains what is above the cut, on random arrays."""
    import functools

    import keras
    import numpy as np

    from kft import training
    from kft.training import split_graph

    model, _, train, _, _ = _kft_parts(settings)
    _, suffix, crossing = split_graph.split_at_frozen_prefix(model, model.inference_operations())
    inputs = [keras.Input(tensor.shape[1:], dtype=tensor.dtype) for tensor in crossing]
    (outputs,) = suffix(tuple({"value": tensor} for tensor in inputs))
    alone = training.FineTuneModel(inputs, outputs["value"], blocks=model.blocks)
    alone.compile(model.optimizer, loss=model.loss, metrics=["accuracy"])
    random = np.random.default_rng(0)
    arrays = [random.random((train.num_examples, *tensor.shape[1:]), np.float32) for tensor in crossing]
    labels = train.source.labels
    return functools.partial(alone.fit, arrays, labels, batch_size=settings.global_batch_size)


def report(rounds: Sequence[dict[str, dict[str, Any]]]) -> str:
    """The table of the medians, and what they say.

    Args:
      rounds: kind -> what `measure` returns, for each round.

    Example:
      >>> one = {"train_seconds": 40.0, "epoch_seconds": 4.0, "peak_memory_mb": 900, "val_accuracy": 0.8}
      >>> other = {"train_seconds": 8.0, "epoch_seconds": 0.2, "peak_memory_mb": 900, "val_accuracy": 0.8}
      >>> print(report([{"keras": one, "kft": other, "arrays": other}]).splitlines()[-1])
      5.0 times as fast as Keras; an epoch after the first takes 1.00 of one on arrays in memory
    """
    names = ("train_seconds", "epoch_seconds", "peak_memory_mb", "val_accuracy")
    rows = [
        {"median of": kind} | {name: statistics.median(one[kind][name] for one in rounds) for name in names}
        for kind in KINDS
    ]
    keras, kft, arrays = rows
    faster = keras["train_seconds"] / kft["train_seconds"]
    epoch = kft["epoch_seconds"] / arrays["epoch_seconds"]
    return (
        f"{inspection.table(rows)}\n\n{faster:.1f} times as fast as Keras; an epoch after the first takes {epoch:.2f} "
        "of one on arrays in memory"
    )


if __name__ == "__main__":
    sys.exit(main())
