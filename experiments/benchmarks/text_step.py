"""The time of one training step of a text encoder, for each length of a batch, and where it goes.

Example:
  python -m experiments.benchmarks.text_step --backbone=hf:MINILM --lengths=8,16,24,32 --profile=16

A classifier of 6 classes on random tokens, AdamW with clipping, without XLA, in --precision, in these ways:

    first_token        as kft does it: the last layer is computed for the first token alone
    all_tokens         the last layer is computed for all tokens, of which the head looks at the first
    frozen_embeddings  as first_token, and the embeddings do not train

With --peer_python, a Python that has torch and transformers, the same step of PyTorch (its fused AdamW, clipping) is
measured too. Each way is a process of its own, one after the other. --profile prints the milliseconds that each kind of
operation takes at that length in first_token; they add up to more than the step, as several threads work.
"""

import dataclasses
import itertools
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Any

from absl import flags as absl_flags

from experiments import flags
from kft import inspection

WAYS = ("first_token", "all_tokens", "frozen_embeddings")
SETTINGS = ("backbone", "global_batch_size", "precision")
NUM_LABELS = 6
WARM_UP = 3
TORCH = """
import json, statistics, sys, time
import torch, transformers
folder, lengths, batch, steps, warm_up = json.loads(sys.argv[1])
model = transformers.AutoModelForSequenceClassification.from_pretrained(folder, num_labels=6).train()
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, weight_decay=0.01, fused=True)
row = {}
for length in lengths:
    ids, labels, seconds = torch.randint(1000, 20000, (batch, length)), torch.randint(0, 6, (batch,)), []
    for _ in range(warm_up + steps):
        begin = time.perf_counter()
        model(input_ids=ids, attention_mask=torch.ones_like(ids), labels=labels).loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        seconds.append(time.perf_counter() - begin)
    row[f"ms at {length}"] = round(1e3 * statistics.median(seconds[warm_up:]), 1)
print(json.dumps(row))
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the benchmark; returns its exit code."""
    return flags.app_run(_run, description=__doc__, names=SETTINGS, define=_define, argv=argv)


def _define(flag_values):
    define = {"flag_values": flag_values}
    absl_flags.DEFINE_list("lengths", ["8", "16", "24", "32"], "Tokens of each text in a batch.", **define)
    absl_flags.DEFINE_integer("steps", 9, "Steps at each length, of which the median counts.", 1, **define)
    absl_flags.DEFINE_integer("profile", 0, "Length to profile at; 0 for no profile.", 0, **define)
    absl_flags.DEFINE_string("peer_python", "", "Python with torch and transformers; empty: without PyTorch.", **define)
    absl_flags.DEFINE_enum("only", None, WAYS, "Measure this one in this process.", **define)


def _run(config, flag_values):
    lengths = [int(length) for length in flag_values.lengths]
    if flag_values.only:
        print(json.dumps(measure(config, flag_values.only, lengths, flag_values)))
        return
    rows = []
    for way in WAYS:
        command = [sys.executable, "-m", "experiments.benchmarks.text_step", *sys.argv[1:], f"--only={way}"]
        rows.append({"way": way, **_last_line(command)})
    if flag_values.peer_python:
        numbers = [config.models.backbone.removeprefix("hf:"), lengths, config.run.global_batch_size]
        numbers += [flag_values.steps, WARM_UP]
        rows.append({"way": "PyTorch", **_last_line([flag_values.peer_python, "-c", TORCH, json.dumps(numbers)])})
    print(inspection.table(rows))


def _last_line(command: Sequence[str]) -> dict[str, Any]:
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    *before, last = done.stdout.strip().splitlines()
    print("\n".join(before), end="\n" if before else "")
    return json.loads(last)


def measure(config: Any, way: str, lengths: Sequence[int], settings: Any) -> dict[str, float]:
    """Seconds of the first step, and milliseconds of one step at each length."""
    import keras

    from kft import training

    keras.utils.set_random_seed(0)
    precision = "float32" if config.execution.precision == "auto" else config.execution.precision
    with training.precision_scope(precision):
        return _measure(config, way, lengths, settings)


def _measure(config: Any, way: str, lengths: Sequence[int], settings: Any) -> dict[str, float]:
    import tensorflow as tf

    from kft import models, optimizers, tasks, training

    backbone = models.make_backbone(config.models.backbone)
    if way == "all_tokens":
        pooled = lambda outputs: models.Features(outputs["sequence_output"][:, 0])  # noqa: E731
        backbone = dataclasses.replace(backbone, features=pooled)
    labels = [str(label) for label in range(NUM_LABELS)]
    task = tasks.make_task("text_classification", label_names=labels, head_dropout=0.1)
    model = training.build_model(backbone, task)
    if way == "frozen_embeddings":
        model.set_trainable(model.blocks[1:])
    optimizer = optimizers.make_optimizer("adamw", learning_rate=1e-4, weight_decay=0.01, clip_global_norm=1.0)
    model.compile(optimizer, loss=task.loss, metrics=task.metrics(), jit_compile=False)
    model.make_train_function()
    iterators = {length: _batches(backbone, config.run.global_batch_size, length) for length in lengths}
    begin = time.perf_counter()
    model.train_function(iterators[lengths[0]])
    row = {"seconds of the first": round(time.perf_counter() - begin, 1)}
    for length, iterator in iterators.items():
        seconds = []
        for _ in range(WARM_UP + settings.steps):
            begin = time.perf_counter()
            tf.nest.map_structure(lambda value: value.numpy(), model.train_function(iterator))
            seconds.append(time.perf_counter() - begin)
        row[f"ms at {length}"] = round(1e3 * statistics.median(seconds[WARM_UP:]), 1)
    if settings.profile and way == "first_token":
        iterator = _batches(backbone, config.run.global_batch_size, settings.profile)
        print(_profile(lambda: model.train_function(iterator)))
    return row


def _batches(backbone: Any, batch_size: int, length: int) -> Any:
    """An iterator over the same batch again and again, of open shape for TensorFlow."""
    import numpy as np
    import tensorflow as tf

    random = np.random.default_rng(0)
    x = {name: np.ones((batch_size, length), "int32") for name in backbone.model.input}
    x["token_ids"] = random.integers(5, backbone.tokenizer.vocabulary_size, (batch_size, length)).astype("int32")
    if "segment_ids" in x:
        x["segment_ids"] *= 0
    batch = (x, random.integers(0, NUM_LABELS, batch_size), np.ones(batch_size, "float32"))
    spec = tf.nest.map_structure(lambda value: tf.TensorSpec([None] * value.ndim, value.dtype.name), batch)
    return iter(tf.data.Dataset.from_generator(lambda: itertools.repeat(batch), output_signature=spec).prefetch(2))


def _profile(step: Any, steps: int = 4, most: int = 20) -> str:
    """The kinds of operations that take most, from TensorFlow's profiler."""
    import collections
    import pathlib
    import tempfile

    import tensorflow as tf
    from tensorflow.tsl.profiler.protobuf import xplane_pb2

    step()
    with tempfile.TemporaryDirectory() as folder:
        tf.profiler.experimental.start(folder)
        for _ in range(steps):
            step()
        tf.profiler.experimental.stop()
        space = xplane_pb2.XSpace()
        space.ParseFromString(next(pathlib.Path(folder).rglob("*.xplane.pb")).read_bytes())
    known = set(dir(tf.raw_ops))
    total, count = collections.Counter(), collections.Counter()
    for plane in space.planes:
        for event in (event for line in plane.lines for event in line.events):
            kind = plane.event_metadata[event.metadata_id].name.split(":")[-1]
            if kind in known or kind.removeprefix("_").startswith(("Mkl", "Fused", "UnaryOps")):
                total[kind] += event.duration_ps / 1e9 / steps
                count[kind] += 1 / steps
    rows = [
        {"operation": kind, "ms": round(ms, 1), "number": round(count[kind])} for kind, ms in total.most_common(most)
    ]
    return inspection.table(rows)


if __name__ == "__main__":
    sys.exit(main())
