"""How a step is computed, measured: what `auto` takes, Keras' own train function, replicas, memory.

Example:
  python -m experiments.benchmarks.execution --part=keras --model=mlp

Parts, each for one model on random data, so that each takes a few minutes; ways are measured in turn, and the median of
the rounds counts:

    auto      every precision with and without XLA, fixed; which of them `auto` takes, and how far that is from the best
    keras     time per step in `fit`: Keras' own train function and AdamW, and FineTuneModel with that and our AdamW
    replicas  one device, two logical CPUs, and two workers on this machine, with the same global batch
    memory    what `describe` plans for the head, the top blocks and everything, and the peak that a training takes

Models: mlp is 784-128-10; mobilenet_v2 takes photos of 160, resnet50 of 128 pixels; minilm texts of up to 32 tokens;
--size changes that.

The peak is the highest resident memory in one epoch, above that of the same process after it has trained mlp, when what
was free was given back; what loading the weights took is not in it. Linux alone tells it. Among the settings, precision
and those that follow are for this part.
"""

import csv
import ctypes
import dataclasses
import gc
import json
import pathlib
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import types
from collections.abc import Callable, Sequence
from typing import Any

from absl import flags as absl_flags

from experiments import flags
from kft import inspection

PARTS = ("auto", "keras", "replicas", "memory")
IMAGE_SIZES = {"mlp": 28, "mobilenet_v2": 160, "resnet50": 128}
MODELS = (*IMAGE_SIZES, "minilm")
NUM_LABELS, WORDS = 10, 32
SETTINGS = ("global_batch_size", "precision", "remat", "accumulate_steps", "ema", "slot_dtype")
TRAINED = {"head": "head", "top blocks": "top_blocks(2)", "everything": "all"}


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the benchmark; returns its exit code."""
    return flags.app_run(_run, description=__doc__, names=SETTINGS, define=_define, argv=argv)


def _define(flag_values):
    define = {"flag_values": flag_values}
    absl_flags.DEFINE_enum("part", "keras", PARTS, "What to measure.", **define)
    absl_flags.DEFINE_enum("model", "mlp", MODELS, "With which model.", **define)
    absl_flags.DEFINE_string("text_backbone", "", "Backbone of minilm, hf:FOLDER.", **define)
    absl_flags.DEFINE_integer("rounds", 5, "Times that each way is measured.", 1, **define)
    absl_flags.DEFINE_integer("steps", 0, "Steps of each; 0 for 2,000 of mlp and 8 of the others.", 0, **define)
    absl_flags.DEFINE_list("leave_out", [], "Ways of part auto to leave out, such as float32/on.", **define)
    absl_flags.DEFINE_integer("size", 0, "Pixels of a side, or tokens; 0: as above.", 0, **define)
    absl_flags.DEFINE_string("only", "", "Measure this in this process.", **define)


def _run(config, flag_values):
    steps = flag_values.steps or (2000 if flag_values.model == "mlp" else 8)
    with tempfile.TemporaryDirectory() as folder:
        config = _settings(config, flag_values, steps, pathlib.Path(folder))
        part = {"auto": _auto, "keras": _keras, "replicas": _replicas, "memory": _memory}[flag_values.part]
        part(config, flag_values, steps, pathlib.Path(folder))


def _settings(config: Any, values: Any, steps: int, folder: pathlib.Path) -> Any:
    """A run on random data, of one epoch of so many steps; everything trains."""
    import numpy as np

    from kft.run import from_flat

    random = np.random.default_rng(0)
    count = config.run.global_batch_size * (steps if values.part != "memory" else 4)
    labels = np.arange(count) % NUM_LABELS
    settings = {"trainable": "all", "length": "1 epochs", "head_dropout": 0.0, "augmentation": (), "xla": "off"}
    settings |= {"learning_rate": 1e-4, "steps_per_execution": 1, "batchnorm": "train"}
    if values.model == "minilm":
        length = values.size or WORDS
        words = random.choice(["stone", "river", "house", "people", "number", "question"], (count, length - 2))
        with open(folder / "texts.csv", "w", newline="") as file:
            rows = [["text", "label"], *([" ".join(row), f"label {label}"] for row, label in zip(words, labels))]
            csv.writer(file).writerows(rows)
        settings |= {"train_data": f"csv:{folder / 'texts.csv'}", "task": "text_classification"}
        settings |= {"backbone": values.text_backbone, "sequence_length": length, "allow_leakage": True}
    else:
        size = values.size or IMAGE_SIZES[values.model]
        channels = 1 if values.model == "mlp" else 3
        shown = min(count, 64 * config.run.global_batch_size)
        images = random.integers(0, 256, (shown, size, size, channels), dtype=np.uint8)
        images = images[np.arange(count) % shown]
        np.savez(folder / "images.npz", x=images, y=labels)
        backbone = "python:experiments.benchmarks.execution:mlp" if values.model == "mlp" else values.model
        settings |= {"train_data": f"arrays:{folder / 'images.npz'}", "backbone": backbone, "allow_leakage": True}
        settings |= {"image_size": 0 if values.model == "mlp" else size, "backbone_weights": "none"}
    return from_flat(settings, base=config)


def mlp() -> Any:
    """784-128, below a head of 10."""
    import keras

    inputs = keras.Input((28, 28, 1), name="image")
    x = keras.layers.Flatten(name="flatten")(keras.layers.Rescaling(1 / 255, name="scale")(inputs))
    return keras.Model(inputs, keras.layers.Dense(128, activation="relu", name="hidden")(x))


def _setup(config: Any, **execution: Any) -> Any:
    import keras

    from kft.models import names
    from kft.run import execution as execution_module
    from kft.run import setup

    config = dataclasses.replace(config, execution=dataclasses.replace(config.execution, **execution))
    execution_module.make_strategy(config)  # of workers before anything is computed
    keras.utils.set_random_seed(0)
    with names.counted_anew():
        return setup.make_setup(config, setup.load_data(config, config.data.train_data))


def _repeated(run: Any) -> Any:
    """Its batches, read once and for all: what is measured is the step."""
    return run.batches.take(16).cache().repeat().prefetch(4)


def _median_ms(ways: dict[str, Callable[[], Any]], rounds: int, steps: int) -> dict[str, float]:
    """Milliseconds a step; each way is called once before, and then in turn."""
    seconds = {name: [] for name in ways}
    for number in range(rounds + 1):
        for name, way in ways.items():
            began = time.perf_counter()
            way()
            if number:
                seconds[name].append(time.perf_counter() - began)
    return {name: 1e3 * statistics.median(values) / steps for name, values in seconds.items()}


def _fit(model: Any, data: Any, steps: int) -> Callable[[], Any]:
    return lambda: model.fit(data, steps_per_epoch=steps, epochs=1, verbose=0)


def _table(milliseconds: dict[str, float], compared_with: str) -> None:
    reference = milliseconds[compared_with]
    rows = [
        {"way": name, "ms a step": round(ms, 3), "ratio": round(ms / reference, 3)} for name, ms in milliseconds.items()
    ]
    print(inspection.table(rows), flush=True)


def _auto(config, values, steps, folder):
    from kft import training
    from kft.run import measuring, setup

    precisions = ["float32"] + ["mixed_bfloat16"] * training.this_machine().has_bfloat16
    names = [f"{precision}/{xla}" for precision in precisions for xla in ("off", "on")]
    ways = {}
    for name in (name for name in names if name not in values.leave_out):
        precision, xla = name.split("/")
        run = _setup(config, precision=precision, xla=xla)
        ways[name] = _fit(run.model, _repeated(run), steps)
    execution = dataclasses.replace(config.execution, precision="auto", xla="auto")
    long = dataclasses.replace(config, execution=execution, run=dataclasses.replace(config.run, length="100000 epochs"))
    began = time.perf_counter()
    choice = measuring.decide(long, setup.load_data(config, config.data.train_data), folder)
    print(f"auto: {choice.precision}, XLA {'on' if choice.xla else 'off'}, in {time.perf_counter() - began:.1f} s")
    print(json.dumps({"reasons": choice.reasons, "ms": choice.timings}, indent=2), flush=True)
    milliseconds = _median_ms(ways, values.rounds, steps)
    chosen = f"{choice.precision}/{'on' if choice.xla else 'off'}"
    best = min(milliseconds, key=milliseconds.get)
    _table(milliseconds, best)
    print(f"auto takes {chosen}: {milliseconds[chosen] / milliseconds[best]:.3f} of the best, {best}")


def _keras(config, values, steps, folder):
    import keras

    run = _setup(config)
    data = _repeated(run)
    rule = lambda: keras.optimizers.AdamW(1e-4, weight_decay=0.01, global_clipnorm=1.0)  # noqa: E731
    ways = {}
    own = _setup(config)
    plain = keras.Model(own.model.input, own.model.output)
    plain.compile(rule(), own.task.loss, metrics=own.task.metrics(), jit_compile=False)
    ways["Keras"] = _fit(plain, data, steps)
    same = _setup(config).model
    same.compile(rule(), own.task.loss, metrics=own.task.metrics(), jit_compile=False)
    ways["FineTuneModel, AdamW of Keras"] = _fit(same, data, steps)
    ways["FineTuneModel, AdamW of kft"] = _fit(run.model, data, steps)
    grouped = _setup(config, steps_per_execution=0).model
    ways["the same, steps_per_execution=0"] = _fit(grouped, data, steps)
    _table(_median_ms(ways, values.rounds, steps), "Keras")
    print(json.dumps(grouped.groups.decisions))


def _replicas(config, values, steps, folder):
    if values.only:
        print(json.dumps(_one_of_replicas(config, values, steps)))
        return
    rounds: dict[str, list[float]] = {"one device": [], "two logical CPUs": [], "two workers": []}
    for _ in range(values.rounds):
        for name, seconds in rounds.items():
            seconds.append(_children(name)[0]["ms"])
    _table({name: statistics.median(seconds) for name, seconds in rounds.items()}, "one device")


def _one_of_replicas(config, values, steps):
    import tensorflow as tf

    kind, *place = values.only.split(";")
    execution = {"strategy": {"one device": "one_device", "two logical CPUs": "mirrored"}.get(kind, "multi_worker")}
    if kind == "two logical CPUs":
        cpu = tf.config.list_physical_devices("CPU")[0]
        tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    if place:
        execution |= {"workers": tuple(place[0].split(",")), "worker_index": int(place[1])}
    run = _setup(config, **execution)
    return {"ms": _median_ms({kind: lambda: run.model.fit(run.batches, epochs=1, verbose=0)}, 1, steps)[kind]}


def _children(only: str) -> list[dict[str, float]]:
    """What the processes of a way print as JSON."""
    options = [only]
    if only == "two workers":
        ports = [_free_port() for _ in range(2)]
        options = [f"{only};127.0.0.1:{ports[0]},127.0.0.1:{ports[1]};{index}" for index in range(2)]
    command = [sys.executable, "-m", "experiments.benchmarks.execution", *sys.argv[1:]]
    started = [subprocess.Popen([*command, f"--only={o}"], stdout=subprocess.PIPE, text=True) for o in options]
    outputs = [process.communicate()[0] for process in started]
    if any(process.returncode for process in started):
        raise RuntimeError(f"Got exit codes {[process.returncode for process in started]} of {options!r}.")
    return [json.loads(output.strip().splitlines()[-1]) for output in outputs]


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def _memory(config, values, steps, folder):
    if values.only:
        trained = TRAINED[values.only].replace("2", "1" if values.model == "mlp" else "2")
        print(json.dumps(_one_memory(config, values, trained, folder)))
        return
    rows = []
    for trained in TRAINED:
        (row,) = _children(trained)
        ratio = round(row["planned"] / row["peak"], 2)
        rows.append({"trains": trained, "planned MiB": row["planned"], "peak MiB": row["peak"], "ratio": ratio})
    print(inspection.table(rows))


def _one_memory(config, values, trainable, folder):
    from kft import training
    from kft.models import bert
    from kft.run import from_flat

    if values.model == "minilm":
        bert.keras_nlp()
    tiny = types.SimpleNamespace(model="mlp", part="memory", size=0, text_backbone="")
    (folder / "tiny").mkdir()
    first = _setup(_settings(from_flat({"global_batch_size": 8}), tiny, 0, folder / "tiny"))
    training.fine_tune(first.model, first.batches, first.phases, epochs=1, verbose=0)
    del first
    config = dataclasses.replace(config, schedules=dataclasses.replace(config.schedules, trainable=trainable))
    before = _resident()
    run = _setup(config)
    _resident()
    pathlib.Path("/proc/self/clear_refs").write_text("5")  # the highest so far, that of loading, is forgotten
    training.fine_tune(run.model, run.batches, run.phases, epochs=1, verbose=0, cache="off")
    peak = _status("VmHWM") - before
    planned = training.estimate(run.model, run.batches, run.phase_epochs(), cache=False)[0].memory_bytes
    return {"planned": round(planned / 2**20), "peak": round(peak / 2**20)}


def _resident() -> int:
    """Bytes of this process, when what is not used was given back."""
    gc.collect()
    ctypes.CDLL("libc.so.6").malloc_trim(0)
    return _status("VmRSS")


def _status(name: str) -> int:
    """Bytes that Linux tells of this process."""
    lines = pathlib.Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))


if __name__ == "__main__":
    sys.exit(main())
