"""What kft takes to fine-tune a BERT, and how well that does, beside Hugging Face Trainer and KerasHub.

Example:
  python -m experiments.benchmarks.text_fit --flagfile=experiments/recipes/trec_minilm.flags \
    --train_data=lines:trec/raw_TREC.train --eval_data=lines:trec/raw_TREC.test --backbone=hf:MINILM \
    --peer_python=/path/to/python --libraries=kft,trainer --runs=3 --output=text_fit.jsonl

kft does what the recipe says. The others have the same weights, data, epochs, batch size, rate, warm-up, decay and
clipping, each at its best: Trainer on tokens made before, padded to the longest of a batch, grouped by length;
KerasHub, for texts with one label, with --sequence_length=32, as its default of 512 is 16 times as long. Trainer runs
in the Python that --peer_python names, which has torch, transformers and accelerate; labels of texts, tags of words
and answers to questions are scored here, by the same code as kft's own.

Each measurement is a process of its own; those of one round follow each other, in turn from both ends. Each round has
the next seed, beginning with --seed.

    train_seconds  from the begin of training, so tracing and the first batch are in it, to the last update;
                   validation between epochs is in it, that of the last epoch is not. Of kft, checkpoints are in it
    wall_seconds   from the start of Python's imports to the end; of kft with pre-flight, scoring and saving
    score          on the evaluation data after the last epoch: accuracy, or F1 of entities or answers

It appends a line of JSON for each measurement to --output, and prints a table of all that stand there.
"""

import dataclasses
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from typing import Any

BEGAN = time.perf_counter()

from absl import flags as absl_flags  # noqa: E402  what is imported is measured

from experiments import flags  # noqa: E402
from kft import errors, inspection  # noqa: E402

LIBRARIES = ("kft", "trainer", "keras_hub")
KERAS_HUB_LENGTH = 32
# What the predictions of a task are called, and which of its scores stands in the table.
PREDICTED = {"text_classification": "label", "token_classification": "tags", "question_answering": "answer"}
SCORED = {"text_classification": "accuracy", "token_classification": "f1", "question_answering": "f1"}


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the benchmark; returns its exit code."""
    return flags.app_run(_run, description=__doc__, define=_define, argv=argv)


def _define(flag_values):
    define = {"flag_values": flag_values}
    absl_flags.DEFINE_multi_enum("only", None, LIBRARIES, "Measure this one once, in this process.", **define)
    absl_flags.DEFINE_list("libraries", list(LIBRARIES), "Which ones, between commas.", **define)
    absl_flags.DEFINE_string("peer_python", "", "The Python that has torch and transformers.", **define)
    absl_flags.DEFINE_integer("runs", 1, "Rounds of measurements.", 1, **define)
    absl_flags.DEFINE_string("output", "", "File that a line for each measurement is appended to.", **define)


def _run(config, flag_values):
    from kft.run import validate

    validate(config, required=("train_data", "eval_data"))
    if config.data.task not in SCORED:
        raise errors.unknown_name("task to compare", config.data.task, tuple(SCORED))
    if flag_values.only:
        print(json.dumps(measure(flag_values.only[0], config)))
        return
    for library in flag_values.libraries:
        if library not in LIBRARIES:
            raise errors.unknown_name("library", library, LIBRARIES)
    if "trainer" in flag_values.libraries and not flag_values.peer_python:
        raise errors.InputError("Got no peer_python. Expected a Python with transformers. Give --peer_python=FILE.")
    rows = []
    for number in range(flag_values.runs):
        of_seed = dataclasses.replace(config, run=dataclasses.replace(config.run, seed=config.run.seed + number))
        for library in flag_values.libraries if number % 2 == 0 else flag_values.libraries[::-1]:
            rows.append(_in_new_process(library, of_seed, flag_values))
            print(json.dumps(rows[-1]), flush=True)
            if flag_values.output:
                with open(flag_values.output, "a", encoding="utf-8") as stream:
                    stream.write(json.dumps(rows[-1]) + "\n")
    if flag_values.output:
        rows = [json.loads(line) for line in pathlib.Path(flag_values.output).read_text().splitlines()]
    print(f"\n{report(rows)}")


def _in_new_process(library: str, config: Any, flag_values: absl_flags.FlagValues) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        if library == "trainer":
            file = pathlib.Path(folder, "given.json")
            file.write_text(json.dumps(_given(config)), encoding="utf-8")
            command = [flag_values.peer_python, str(pathlib.Path(__file__).with_name("text_fit_trainer.py")), str(file)]
        else:
            given = [flag_values[name].serialize() for name in flag_values if flag_values[name].present]
            given = [line for text in given for line in text.splitlines() if not line.startswith("--flagfile")]
            command = [sys.executable, "-m", "experiments.benchmarks.text_fit", *given]
            command += [f"--only={library}", f"--seed={config.run.seed}"]
        environment = {"TF_CPP_MIN_LOG_LEVEL": "3", "KERAS_BACKEND": "tensorflow", **os.environ}
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, env=environment)
    if done.returncode:
        raise RuntimeError(f"The measurement of {library} ended with exit code {done.returncode}; its error is above.")
    row = json.loads(done.stdout.splitlines()[-1])
    if library == "trainer":
        row |= _scores(config, row.pop("predicted"))
    row["score"] = row["scores"][SCORED[config.data.task]]
    return {"library": library, "precision": config.execution.precision, "seed": config.run.seed, **row}


def measure(library: str, config: Any) -> dict[str, Any]:
    """Trains once with kft or KerasHub: train_seconds, wall_seconds and scores."""
    return {"kft": _with_kft, "keras_hub": _with_keras_hub}[library](config)


def _with_kft(config: Any) -> dict[str, Any]:
    from kft.run import train_and_evaluate

    with tempfile.TemporaryDirectory() as folder:
        result = train_and_evaluate(config, pathlib.Path(folder, "run"), verbose=0)
    return {
        "train_seconds": round(result["train_seconds"], 2),
        "wall_seconds": round(time.perf_counter() - BEGAN, 2),
        "scores": result["metrics"],
        "test_scores": result["test_metrics"],
        "peak_memory_bytes": result["peak_memory_bytes"],
    }


def _with_keras_hub(config: Any) -> dict[str, Any]:
    import keras
    import keras_nlp

    class Stopwatch(keras.callbacks.Callback):
        def on_train_begin(self, logs=None):
            self.began = time.perf_counter()

        def on_train_batch_end(self, batch, logs=None):
            self.last_update = time.perf_counter()

    given = _given(config)

    def texts_and_labels(part):
        return [row["text"] for row in given[part]], [given["label_names"].index(row["label"]) for row in given[part]]

    if given["precision"] != "float32":
        keras.config.set_dtype_policy(given["precision"])
    keras.utils.set_random_seed(given["seed"])
    tokenizer = keras_nlp.models.BertTokenizer.from_preset(given["model"])
    model = keras_nlp.models.BertTextClassifier(
        keras_nlp.models.BertBackbone.from_preset(given["model"]),
        num_classes=len(given["label_names"]),
        preprocessor=keras_nlp.models.BertTextClassifierPreprocessor(tokenizer, sequence_length=KERAS_HUB_LENGTH),
    )
    steps = given["epochs"] * -(-len(given["train"]) // given["batch_size"])
    rate = keras.optimizers.schedules.PolynomialDecay(given["learning_rate"], steps, 0.0)
    optimizer = keras.optimizers.AdamW(rate, weight_decay=given["weight_decay"], global_clipnorm=1.0)
    optimizer.exclude_from_weight_decay(var_names=["bias", "layer_norm"])
    model.compile(
        optimizer, keras.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"], jit_compile=False
    )
    stopwatch = Stopwatch()
    history = model.fit(
        *texts_and_labels("train"),
        validation_data=texts_and_labels("evaluation"),
        epochs=given["epochs"],
        batch_size=given["batch_size"],
        verbose=0,
        callbacks=[stopwatch],
    ).history
    return {
        "train_seconds": round(stopwatch.last_update - stopwatch.began, 2),
        "wall_seconds": round(time.perf_counter() - BEGAN, 2),
        "scores": {"accuracy": round(history["val_accuracy"][-1], 4)},
    }


def _sources(config: Any) -> dict[str, Any]:
    from kft import data
    from kft.run.text import text_format

    how, settings = text_format(config), config.data
    train = data.load(settings.train_data, text_format=how)
    places = {"evaluation": settings.eval_data, "test": settings.test_data}
    others = {
        part: data.load(place, text_format=how, label_names=train.label_names) if place else None
        for part, place in places.items()
    }
    return {"train": train, **others}


def _given(config: Any) -> dict[str, Any]:
    """What the peers are given, from the same settings."""
    sources = _sources(config)
    batch_size, epochs = config.run.global_batch_size, int(float(config.run.length.split()[0]))
    steps = epochs * -(-sources["train"].num_examples // batch_size)
    return {
        "task": config.data.task,
        "model": config.models.backbone.removeprefix("hf:"),
        "label_names": sources["train"].label_names,
        "epochs": epochs,
        "batch_size": batch_size,
        "learning_rate": config.optimizers.learning_rate,
        "weight_decay": config.optimizers.weight_decay,
        "warmup": round(steps * float(config.schedules.warmup.split()[0]) / 100),
        "precision": config.execution.precision,
        "seed": config.run.seed,
        "threads": os.cpu_count(),
        "length": config.data.sequence_length,
        "overlap": config.data.window_overlap or 128,
        "answer_length": config.data.max_answer_length,
        **{part: _rows(config.data.task, source) for part, source in sources.items()},
    }


def _rows(task: str, source: Any) -> list[dict[str, Any]] | None:
    """The examples of a source, as plain data."""
    if source is None:
        return None
    records = [source.records[index] for index in range(source.num_examples)]
    if task == "text_classification":
        labels = [source.label_names[label] for label in source.labels]
        return [{"text": record["texts"][0], "label": label} for record, label in zip(records, labels, strict=True)]
    names = ("words", "tags") if task == "token_classification" else ("id", "question", "context", "answers")
    return [{name: record[name] for name in names} for record in records]


def _scores(config: Any, predicted: dict[str, list[Any]]) -> dict[str, Any]:
    """Scores of what a peer predicts for evaluation and test data."""
    from kft.run import task_settings

    sources = _sources(config)
    task = task_settings.make_task(config, sources["train"].label_names)
    own = {
        part: task.corpus_scores(
            [{PREDICTED[config.data.task]: value} for value in values], task.references(sources[part])
        )
        for part, values in predicted.items()
    }
    return {"scores": own["evaluation"], "test_scores": own.get("test")}


def report(rows: Sequence[dict[str, Any]]) -> str:
    """A table of the libraries: medians of seconds, means of scores, and kft's seconds over theirs.

    Example:
      >>> seconds = {"kft": 60.0, "trainer": 100.0}
      >>> rows = [{"library": name, "precision": "float32", "train_seconds": s} for name, s in seconds.items()]
      >>> print(report([row | {"wall_seconds": 120.0, "score": 0.97} for row in rows]))
      library  precision  runs  train_seconds  wall_seconds  score  kft's share of train_seconds
      kft      float32       1             60           120   0.97                             1
      trainer  float32       1            100           120   0.97                           0.6
    """
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault((row["library"], row["precision"]), []).append(row)
    lines = []
    for (library, precision), own in groups.items():
        medians = {name: statistics.median(row[name] for row in own) for name in ("train_seconds", "wall_seconds")}
        score = statistics.mean(row["score"] for row in own)
        ours = [row["train_seconds"] for row in groups.get(("kft", precision), ())]
        share = statistics.median(ours) / medians["train_seconds"] if ours else None
        lines.append(
            {"library": library, "precision": precision, "runs": len(own), **medians, "score": score}
            | {"kft's share of train_seconds": share}
        )
    return inspection.table(lines)


if __name__ == "__main__":
    sys.exit(main())
