"""What it costs to look on: training with TensorBoard's callback and the live line, and bare.

Example:
  python -m experiments.benchmarks.inspection --flagfile=experiments/recipes/flowers_mobilenet_v2.flags \\
    --trainable=all --train_data=folder:flowers/train --eval_data=folder:flowers/val --backbone_weights=FILE

Two models of a run with these flags are made, one of them watched as the run would be. After an epoch each for tracing,
pairs of epochs follow, the first one of a pair being now the bare one, now the watched one:

    epoch seconds   from the begin of an epoch to the end of its last callback, its evaluation included
    in hooks        of those of the watched one, what the training thread spends in the methods of the callbacks
    once            what is not of an epoch: embeddings before and after

It prints the pairs, their medians, and what that is of a run of --epochs: by the difference of epochs, which other work
on the machine blurs, and by the hooks, in which what is written beside the training is not counted.
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


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the benchmark; returns its exit code."""
    return flags.app_run(_run, description=__doc__, define=_define, argv=argv)


def _define(flag_values):
    define = {"flag_values": flag_values}
    absl_flags.DEFINE_integer("epochs", 25, "Of the run that what is not of an epoch is divided by.", 1, **define)
    absl_flags.DEFINE_integer("pairs", 10, "Pairs of epochs.", 1, **define)


def _run(config, flag_values):
    import keras

    from kft import inspection
    from kft.run import setup, watching

    class Clock(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            self.began = time.perf_counter()

        def on_epoch_end(self, epoch, logs=None):
            self.seconds = time.perf_counter() - self.began

    keras.utils.set_random_seed(config.run.seed)
    sources = setup.load_sources(config)
    parts = {}
    for name in ("bare", "watched"):
        run = setup.make_setup(config, sources.train)
        parts[name] = (run, setup.make_batches(config, run.backbone, run.task)(sources.evaluation))
    callbacks: dict[str, list[Any]] = {"bare": [], "watched": []}
    with tempfile.TemporaryDirectory() as folder, open(os.devnull, "w") as nowhere:
        run, evaluation = parts["watched"]
        board = watching.tensorboard(config, run, pathlib.Path(folder), sources, evaluation, pictures={})
        line = inspection.LiveLine(
            epochs=flag_values.pairs + 1,
            steps_per_epoch=run.batches.steps_per_epoch,
            num_examples=run.batches.num_examples,
            stream=nowhere,
            alive=True,
        )
        callbacks["watched"] = [board, line]
        once, hooks = [], []
        _timed(board, "_embed", once)
        _timed(board._evaluation, "add", hooks)
        for callback in callbacks["watched"]:
            for name in ("on_epoch_begin", "on_test_begin", "on_epoch_end", "_after_step"):
                _timed(callback, name, hooks)
        rows = []
        for number in range(flag_values.pairs + 1):
            names = ("bare", "watched") if number % 2 else ("watched", "bare")
            row = {}
            for name in names:
                clock = Clock()
                run, evaluation = parts[name]
                run.model.fit(
                    run.batches,
                    validation_data=evaluation,
                    initial_epoch=number,
                    epochs=number + 1,
                    verbose=0,
                    callbacks=[*callbacks[name], clock],
                )
                row[name] = clock.seconds
                if name == "watched":
                    row["in hooks"] = sum(hooks)
                hooks.clear()
            rows.append({"pair": str(number), **row, "watched / bare": row["watched"] / row["bare"]})
            print(rows[-1], flush=True)
        rows = rows[1:]
        columns = list(rows[0])[1:]
        medians = {name: statistics.median(row[name] for row in rows) for name in columns}
        print(f"\n{inspection.table([*rows, {'pair': 'median', **medians}])}\n")
        run = medians["bare"] * flag_values.epochs
        more = (medians["watched"] - medians["bare"]) * flag_values.epochs + sum(once)
        within = medians["in hooks"] * flag_values.epochs + sum(once)
        print(
            f"once: {sum(once):.2f} s. Of a run of {flag_values.epochs} epochs all of it is {more / run:.2%} by the "
            f"difference, {within / run:.2%} by the hooks."
        )


def _timed(thing: Any, name: str, seconds: list[float]) -> None:
    """Lets a method note its seconds."""
    method = getattr(thing, name)

    def timed(*args):
        began = time.perf_counter()
        method(*args)
        seconds.append(time.perf_counter() - began)

    setattr(thing, name, timed)


if __name__ == "__main__":
    sys.exit(main())
