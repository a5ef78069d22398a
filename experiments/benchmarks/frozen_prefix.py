"""The seconds that a frozen part costs: plain Keras, which computes it in every epoch, and kft, which does so once.

Example:
  python -m experiments.benchmarks.frozen_prefix --photos=flowers --image_size=128 --backbone_weights=FILE.h5 \
    --top_blocks=0 --epochs=10 --results=frozen.jsonl
  python -m experiments.benchmarks.frozen_prefix --results=frozen.jsonl --report

Photos have train/ and val/, each with a folder of images for each class; all train the head and the top blocks of
MobileNetV2 with Adam, decode the photos themselves and validate after each epoch. Questions (--questions) have
raw_TREC.train and raw_TREC.test, for the encoder of --text_backbone; they are tokenised before. What is compared, by
--kinds:

    keras   as its guides do: `trainable=False`, `fit`
    kft     `fine_tune` with --cache, exact if that is off
    off     `fine_tune` without a cache
    arrays  what is above the cut alone, on random arrays in memory

Each measurement is a process of its own; they are interleaved, the first one of each round being another one:

    train_seconds  from the call of fit or fine_tune to its end: tracing, decoding and validation are in it
    epoch_seconds  training part of an epoch, the median of all but the first

It adds a line of JSON for each measurement to --results; --report tabulates the medians of what is there, so that a
long comparison can be made in several calls.
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

MODULE = "experiments.benchmarks.frozen_prefix"

KINDS = ("keras", "kft", "off", "arrays")
SETTINGS = ("backbone_weights", "image_size", "global_batch_size", "cache", "cache_budget")
MEASURED = ("train_seconds", "epoch_seconds", "peak_memory_mb", "val_accuracy")


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the benchmark; returns its exit code."""
    return flags.app_run(_run, description=__doc__, names=SETTINGS, define=_define, argv=argv)


def _define(flag_values):
    define = {"flag_values": flag_values}
    absl_flags.DEFINE_string("photos", "", "Folder with train/ and val/.", **define)
    absl_flags.DEFINE_string("questions", "", "Folder with raw_TREC.train and raw_TREC.test.", **define)
    absl_flags.DEFINE_string("text_backbone", "", "hf:DIR, for the questions.", **define)
    absl_flags.DEFINE_float("alpha", 0.35, "Width of MobileNetV2, one of those that Keras has.", **define)
    absl_flags.DEFINE_integer("top_blocks", 0, "Blocks below the head that train too.", 0, **define)
    absl_flags.DEFINE_integer("epochs", 10, "Of each measurement.", 2, **define)
    absl_flags.DEFINE_integer("rounds", 1, "Of measurements.", 1, **define)
    absl_flags.DEFINE_integer("first_round", 0, "Says which measurement comes first.", 0, **define)
    absl_flags.DEFINE_multi_enum("kinds", ["keras", "kft", "arrays"], KINDS, "What is measured.", **define)
    absl_flags.DEFINE_enum("only", None, KINDS, "Measure this one once, in this process.", **define)
    absl_flags.DEFINE_string("results", "", "File that each measurement is added to.", **define)
    absl_flags.DEFINE_boolean("report", False, "Measure nothing, tabulate --results.", **define)


def _run(config, flag_values):
    if flag_values.report:
        print(report([json.loads(line) for line in pathlib.Path(flag_values.results).read_text().splitlines()]))
        return
    photos, questions = pathlib.Path(flag_values.photos), pathlib.Path(flag_values.questions)
    if not (((photos / "train").is_dir() and (photos / "val").is_dir()) or (questions / "raw_TREC.train").is_file()):
        raise errors.InputError(
            f"Got photos={flag_values.photos!r} and questions={flag_values.questions!r}. Expected a folder with train/ "
            "and val/, or one with raw_TREC.train. Give --photos=DIR or --questions=DIR."
        )
    if flag_values.only:
        print(json.dumps(measure(flag_values.only, flag_values)))
        return
    kinds, lines = flag_values.kinds, []
    for number in range(flag_values.first_round, flag_values.first_round + flag_values.rounds):
        for place in range(len(kinds)):
            lines.append(processes.measure_in_new_process(MODULE, kinds[(number + place) % len(kinds)], flag_values))
            if flag_values.results:
                with open(flag_values.results, "a", encoding="utf-8") as file:
                    file.write(json.dumps(lines[-1]) + "\n")
    print(f"\n{report(lines)}")


def measure(kind: str, settings: Any) -> dict[str, Any]:
    """Trains once.

    Args:
      kind: one of KINDS.
      settings: with the flags as attributes.

    Returns: kind, what was trained, and MEASURED.
    """
    import keras

    from experiments.benchmarks import frozen_prefix_trainings as trainings

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

    trainings.set_up()
    stopwatch = Stopwatch()
    cache = settings.cache if settings.cache in ("exact", "fast") else "exact"
    train = {
        "keras": trainings.with_keras,
        "kft": lambda settings: trainings.with_kft(settings, cache),
        "off": lambda settings: trainings.with_kft(settings, "off"),
        "arrays": trainings.on_arrays,
    }[kind](settings)
    began = time.perf_counter()
    history = train(epochs=settings.epochs, verbose=0, callbacks=[stopwatch]).history
    budget = f", budget {settings.cache_budget >> 20} MiB" if settings.cache_budget else ""
    data = "photos" if settings.photos else "questions"
    return {
        "what": f"{data}, {settings.top_blocks} blocks, {settings.epochs} epochs{budget}",
        "kind": f"kft {cache}" if kind == "kft" else kind,
        "train_seconds": round(time.perf_counter() - began, 3),
        "epoch_seconds": round(statistics.median(stopwatch.seconds[1:]), 3),
        "peak_memory_mb": trainings.peak_memory_mb(),
        "val_accuracy": round(history.get("val_accuracy", [0.0])[-1], 4),
    }


def report(lines: Sequence[dict[str, Any]]) -> str:
    """The table of the medians, and how they compare with those of Keras and of arrays.

    Args:
      lines: what `measure` returned.

    Example:
      >>> one = {"what": "x", "train_seconds": 40.0, "epoch_seconds": 4.0, "peak_memory_mb": 900, "val_accuracy": 0.8}
      >>> other = one | {"train_seconds": 8.0, "epoch_seconds": 0.2}
      >>> lines = [one | {"kind": "keras"}, other | {"kind": "kft exact"}, other | {"kind": "arrays"}]
      >>> [row.split()[-2:] for row in report(lines).splitlines()[-3:]]
      [['5.0', '1.00'], ['1.0', '20.00'], ['5.0', '1.00']]
    """
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for line in lines:
        groups.setdefault((line["what"], line["kind"]), []).append(line)
    medians = {
        key: {name: statistics.median(line[name] for line in group) for name in MEASURED}
        for key, group in sorted(groups.items())
    }
    rows = []
    for (what, kind), median in medians.items():
        row: dict[str, Any] = {"median of": what, "kind": kind, "runs": len(groups[what, kind]), **median}
        keras, arrays = medians.get((what, "keras")), medians.get((what, "arrays"))
        row["times faster"] = f"{keras['train_seconds'] / median['train_seconds']:.1f}" if keras else None
        row["epoch / arrays"] = f"{median['epoch_seconds'] / arrays['epoch_seconds']:.2f}" if arrays else None
        rows.append(row)
    return inspection.table(rows)


if __name__ == "__main__":
    sys.exit(main())
