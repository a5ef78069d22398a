"""What it costs to look on: full fine-tuning on photos with TensorBoard's callback and the live line, and bare.

Example:
  python -m experiments.benchmarks.inspection --photos=flowers --image_size=128 --backbone_weights=FILE.h5

The folder has train/ and val/. Two models of one kind are made, one of them watched with the defaults of a run. After
an epoch each for tracing, pairs of epochs follow, the first one of a pair being now the bare one, now the watched one:

    epoch seconds   from the begin of an epoch to the end of its last callback, its evaluation included
    once            what is not of an epoch: embeddings before and after

It prints the pairs, their medians, and what that is of a run of --epochs.
"""

import os
import pathlib
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from typing import Any

from absl import flags as absl_flags

from experiments import flags

SETTINGS = ("backbone", "backbone_weights", "image_size", "global_batch_size", "embeddings")


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the benchmark; returns its exit code."""
    return flags.app_run(_run, description=__doc__, names=SETTINGS, define=_define, argv=argv)


def _define(flag_values):
    define = {"flag_values": flag_values}
    absl_flags.DEFINE_string("photos", "", "Folder with train/ and val/.", **define)
    absl_flags.DEFINE_integer("epochs", 25, "Of the run that what is not of an epoch is divided by.", 1, **define)
    absl_flags.DEFINE_integer("pairs", 5, "Pairs of epochs.", 1, **define)
    absl_flags.DEFINE_integer("examples", 0, "Training examples, and a quarter to evaluate; 0: all.", 0, **define)


def _run(config, flag_values):
    import keras

    from kft import inspection

    class Clock(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            self.began = time.perf_counter()

        def on_epoch_end(self, epoch, logs=None):
            self.seconds = time.perf_counter() - self.began

    keras.utils.set_random_seed(0)
    parts = {name: _model(config, flag_values) for name in ("bare", "watched")}
    callbacks: dict[str, list[Any]] = {"bare": [], "watched": []}
    with tempfile.TemporaryDirectory() as folder, open(os.devnull, "w") as nowhere:
        model, train, evaluation = parts["watched"]
        sizes = {"steps_per_epoch": train.steps_per_epoch, "num_examples": train.num_examples}
        board = inspection.TensorBoard(
            folder, train_data=train, eval_data=evaluation, embeddings=config.run.embeddings, hparams={"seed": 0}
        )
        line = inspection.LiveLine(epochs=flag_values.pairs + 1, stream=nowhere, alive=True, **sizes)
        callbacks["watched"] = [board, line]
        once = _timed(board, "_embed")
        rows = []
        for number in range(flag_values.pairs + 1):
            names = ("bare", "watched") if number % 2 else ("watched", "bare")
            row = {}
            for name in names:
                clock = Clock()
                model, train, evaluation = parts[name]
                model.fit(
                    train,
                    validation_data=evaluation,
                    initial_epoch=number,
                    epochs=number + 1,
                    verbose=0,
                    callbacks=[*callbacks[name], clock],
                )
                row[name] = clock.seconds
            rows.append({"pair": str(number), **row, "watched / bare": row["watched"] / row["bare"]})
            print(rows[-1], flush=True)
        rows = rows[1:]
        columns = list(rows[0])[1:]
        medians = {name: statistics.median(row[name] for row in rows) for name in columns}
        print(f"\n{inspection.table([*rows, {'pair': 'median', **medians}])}\n")
        run = medians["bare"] * flag_values.epochs
        more = (medians["watched"] - medians["bare"]) * flag_values.epochs + sum(once)
        print(f"once: {sum(once):.2f} s. Of a run of {flag_values.epochs} epochs all of it is {more / run:.2%}.")


def _timed(thing: Any, name: str) -> list[float]:
    """Lets a method note its seconds."""
    method, seconds = getattr(thing, name), []

    def timed(*args):
        began = time.perf_counter()
        method(*args)
        seconds.append(time.perf_counter() - began)

    setattr(thing, name, timed)
    return seconds


def _model(config: Any, settings: Any) -> tuple[Any, Any, Any]:
    import numpy as np

    from kft import data, models, optimizers, tasks, training

    folder = pathlib.Path(settings.photos)
    train = data.load(f"folder:{folder / 'train'}")
    evaluation = data.load(f"folder:{folder / 'val'}", label_names=train.label_names)
    if settings.examples:
        chosen = np.random.default_rng(0).permutation(train.num_examples)[: settings.examples]
        train, evaluation = data.subset(train, chosen), data.subset(evaluation, np.arange(settings.examples // 4))
    task = tasks.make_task("image_classification", label_names=train.label_names)
    backbone = models.make_backbone(
        config.models.backbone, image_size=config.data.image_size or None, weights=config.models.backbone_weights
    )
    model = training.build_model(backbone, task)
    optimizer = optimizers.make_optimizer("adamw", learning_rate=1e-4, clip_global_norm=1.0)
    model.compile(optimizer, loss=task.loss, metrics=task.metrics())
    batch = {"preprocess": backbone.preprocess, "global_batch_size": config.run.global_batch_size}
    random, plain = (
        data.image_encoder(image_size=backbone.image_size, augmentation=augmentation)
        for augmentation in ("flip,crop", "none")
    )
    return (
        model,
        data.batches(train, shuffle=True, encode=random, **batch),
        data.batches(evaluation, encode=plain, **batch),
    )


if __name__ == "__main__":
    sys.exit(main())
