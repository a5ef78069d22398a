"""The time of one optimizer update: each rule of kft against Keras' counterpart, on the shapes of real models.

Example:
  python -m experiments.benchmarks.optimizer_step --shapes=bert --rules=adam,adamw --jit_compile=false

Both update the same shapes with the same gradients, in one process, by turns; the ratio is that of the medians. The
rules of kft have layer-wise scales on rate and decay and a step for each variable. The embedding gradient of BERT comes
as IndexedSlices, as it does from a backward pass. --call=apply_sums times kft as FineTuneModel uses it, where it also
divides by the weight and gives the global norm; Keras' column is `apply` all the same. With --memory each rule also
runs in a process of its own, and the highest resident memory of the processes is compared.
"""

import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

from absl import flags as absl_flags

from experiments import flags
from kft import errors, inspection

# rule -> (kft's name and options, Keras' class and arguments)
RULES = {
    "gradient_descent": ("gradient_descent", {}, "SGD", {}),
    "momentum": ("momentum", {}, "SGD", {"momentum": 0.9}),
    "nesterov": ("momentum", {"nesterov": True}, "SGD", {"momentum": 0.9, "nesterov": True}),
    "adagrad": ("adagrad", {}, "Adagrad", {}),
    "rmsprop": ("rmsprop", {}, "RMSprop", {}),
    "rmsprop_centered": (
        "rmsprop",
        {"centered": True, "momentum": 0.9},
        "RMSprop",
        {"centered": True, "momentum": 0.9},
    ),
    "adadelta": ("adadelta", {}, "Adadelta", {}),
    "adam": ("adam", {}, "Adam", {}),
    "amsgrad": ("adam", {"amsgrad": True}, "Adam", {"amsgrad": True}),
    "adamw": ("adamw", {}, "AdamW", {}),
    "adamw_clip": ("adamw", {}, "AdamW", {"global_clipnorm": 1.0}),
    "lamb": ("lamb", {}, "Lamb", {}),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the benchmark; returns its exit code."""
    return flags.app_run(_run, description=__doc__, names=(), define=_define, argv=argv)


def _define(flag_values):
    define = {"flag_values": flag_values}
    absl_flags.DEFINE_enum("shapes", "bert", ("bert", "resnet50"), "Of which model: 22.7 M or 25.6 M.", **define)
    absl_flags.DEFINE_list("rules", list(RULES), f"Which rules, of: {', '.join(RULES)}.", **define)
    absl_flags.DEFINE_bool("jit_compile", False, "Whether XLA compiles the update.", **define)
    absl_flags.DEFINE_enum("call", "apply", ("apply", "apply_sums"), "What updates with kft.", **define)
    absl_flags.DEFINE_integer("runs", 5, "Measurements of each, of which the median counts.", 1, **define)
    absl_flags.DEFINE_integer("updates", 10, "In each measurement.", 1, **define)
    absl_flags.DEFINE_bool("memory", False, "Whether to compare memory too, in processes of their own.", **define)
    absl_flags.DEFINE_enum("only", None, ("keras", "kft"), "Print the memory of this one, of one rule.", **define)


def _run(config, flag_values):
    for rule in flag_values.rules:
        if rule not in RULES:
            raise errors.unknown_name("rule", rule, RULES)
    if flag_values.only:
        update = make_update(flag_values.rules[0], flag_values.only, flag_values)
        _seconds(update, 10)
        print(json.dumps(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024))
        return
    rows = []
    for rule in flag_values.rules:
        rows.append({"rule": rule, **measure(rule, flag_values)})
        print(json.dumps(rows[-1]), flush=True)
    title = f"{flag_values.shapes}, jit_compile={flag_values.jit_compile}, {flag_values.call}"
    print(f"\n{title}\n{inspection.table(rows)}")


def measure(rule: str, settings: Any) -> dict[str, float]:
    """Milliseconds of one update with each library, and the ratio of kft to Keras."""
    updates = {library: make_update(rule, library, settings) for library in ("keras", "kft")}
    seconds = {library: [] for library in updates}
    for number in range(settings.runs):
        order = list(updates) if number % 2 == 0 else list(updates)[::-1]
        for library in order:
            seconds[library].append(_seconds(updates[library], settings.updates))
    medians = {library: 1e3 * statistics.median(values) for library, values in seconds.items()}
    row = {f"{library} ms": round(value, 2) for library, value in medians.items()}
    row["ratio"] = round(medians["kft"] / medians["keras"], 3)
    if settings.memory:
        row |= {f"{library} MB": _memory(rule, library, settings) for library in updates}
    return row


def make_update(rule: str, library: str, settings: Any) -> Callable[[], Any]:
    """A compiled function that makes one update, called twice already."""
    import keras
    import numpy as np
    import tensorflow as tf

    from kft import optimizers
    from kft.optimizers import ParamScales, layerwise_decay, no_decay_on_bias_and_norm

    random = np.random.RandomState(0)
    members, gradients = [], []
    for path, shape in {"bert": bert_shapes, "resnet50": resnet50_shapes}[settings.shapes]():
        name = path.replace("/", "_")
        members.append(keras.Variable(random.standard_normal(shape).astype("float32") * 0.02, name=name))
        # Keras' RMSprop with momentum or centering fails on IndexedSlices, and its Adadelta in XLA.
        fails = rule == "rmsprop_centered" or (rule == "adadelta" and settings.jit_compile)
        if path.startswith("embedding/tokens") and not fails:
            ids = tf.constant(random.randint(0, shape[0], 32 * 32))
            values = tf.constant(random.standard_normal((32 * 32, shape[1])).astype("float32"))
            gradients.append(tf.IndexedSlices(values, ids, tf.constant(shape)))
        else:
            gradients.append(tf.constant(random.standard_normal(shape).astype("float32")))
    ours, options, theirs, arguments = RULES[rule]
    decay = 0.01 if "adamw" in rule else 0.0
    if library == "kft":
        paths = [variable.path for variable in members]
        blocks = sorted({path.split("_")[0] for path in paths})
        scales = ParamScales(
            learning_rate=layerwise_decay([f"{block}_.*" for block in blocks], 0.9),
            weight_decay=no_decay_on_bias_and_norm(paths),
        )
        clip = arguments.get("global_clipnorm")
        optimizer = optimizers.make_optimizer(
            ours, learning_rate=1e-3, weight_decay=decay, clip_global_norm=clip, scales=scales, options=options
        )
    else:
        optimizer = getattr(keras.optimizers, theirs)(1e-3, weight_decay=decay or None, **arguments)
    optimizer.build(members)

    # Gradients and weight come as arguments, as constants could be folded.
    @tf.function(jit_compile=settings.jit_compile, autograph=False)
    def update(gradients, weight):
        if library == "kft" and settings.call == "apply_sums":
            return optimizer.apply_sums(gradients, members, weight)
        optimizer.apply(gradients, members)
        return optimizer.iterations.value + 0

    call = lambda: update(gradients, tf.constant(32.0))  # noqa: E731
    call(), call()
    return call


def bert_shapes() -> list[tuple[str, tuple[int, ...]]]:
    """Path and shape of each variable of MiniLM-L6-H384: 22.7 M parameters."""
    shapes = [("embedding/tokens", (30522, 384)), ("embedding/positions", (512, 384)), ("embedding/types", (2, 384))]
    shapes += [("embedding/gamma", (384,)), ("embedding/beta", (384,))]
    for layer in range(6):
        for part in ("query", "key", "value", "output"):
            shapes += [(f"layer{layer}/{part}/kernel", (384, 384)), (f"layer{layer}/{part}/bias", (384,))]
        for norm in ("attention", "feedforward"):
            shapes += [(f"layer{layer}/{norm}/gamma", (384,)), (f"layer{layer}/{norm}/beta", (384,))]
        shapes += [(f"layer{layer}/wide/kernel", (384, 1536)), (f"layer{layer}/wide/bias", (1536,))]
        shapes += [(f"layer{layer}/narrow/kernel", (1536, 384)), (f"layer{layer}/narrow/bias", (384,))]
    return [*shapes, ("pooler/kernel", (384, 384)), ("pooler/bias", (384,))]


def resnet50_shapes() -> list[tuple[str, tuple[int, ...]]]:
    """Path and shape of each trainable variable of ResNet50 with 1,000 classes: 25.6 M parameters."""
    shapes = []

    def convolution(path, size, width_in, width_out):
        shapes.append((f"{path}/kernel", (size, size, width_in, width_out)))
        shapes.extend((f"{path}/{name}", (width_out,)) for name in ("bias", "gamma", "beta"))

    convolution("stem", 7, 3, 64)
    width_in = 64
    for stage, (width, blocks) in enumerate(((64, 3), (128, 4), (256, 6), (512, 3))):
        for block in range(blocks):
            path = f"stage{stage}/block{block}"
            if block == 0:
                convolution(f"{path}/shortcut", 1, width_in, 4 * width)
            convolution(f"{path}/first", 1, width_in, width)
            convolution(f"{path}/second", 3, width, width)
            convolution(f"{path}/third", 1, width, 4 * width)
            width_in = 4 * width
    return [*shapes, ("top/kernel", (2048, 1000)), ("top/bias", (1000,))]


def _seconds(update, count):
    began = time.perf_counter()
    for _ in range(count):
        result = update()
    result.numpy()
    return (time.perf_counter() - began) / count


def _memory(rule, library, settings):
    """The highest resident memory of a process that makes ten updates, in MB."""
    command = [sys.executable, "-m", "experiments.benchmarks.optimizer_step", f"--rules={rule}", f"--only={library}"]
    command += [f"--shapes={settings.shapes}", f"--jit_compile={str(settings.jit_compile).lower()}"]
    command += [f"--call={settings.call}"]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])


if __name__ == "__main__":
    sys.exit(main())
