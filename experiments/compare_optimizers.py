"""A laboratory: chosen rules from the same starts and on the same batches, over several seeds.

Example:
  python -m experiments.compare_optimizers --workdir=lab --rules="adam@1e-3, adam@1e-3 bias_correction=false"

A rule is NAME@RATE and then its options, as name=value. A network with one hidden layer of 32 units learns the data;
all rules of one seed have its start and its batches. Into the folder go:

    curves.csv    for each seed, rule and step: loss of the batch before the update, and the effective step size, which
                  is the norm of the update over the norm of all weights
    curves.png    the medians over the seeds
    table.txt     accuracy on the fifth of the data that nobody trains on and losses, early and late, each with its 95
                  percent interval; step sizes

By default it shows what the missing bias correction of Adam does to the first 100 steps.
"""

import csv
import json
import pathlib
import sys
from collections.abc import Sequence
from typing import Any

from absl import flags as absl_flags

from experiments import flags
from kft import errors

DEFAULT_RULES = ("adam@1e-3", "adam@1e-3 bias_correction=false", "radam@1e-3", "momentum@0.1")


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit code."""
    return flags.app_run(_run, description=__doc__, names=(), define=_define, argv=argv)


def _define(flag_values):
    define = {"flag_values": flag_values}
    absl_flags.DEFINE_string("workdir", None, "Folder for the results; made if it is not there.", **define)
    absl_flags.DEFINE_list("rules", list(DEFAULT_RULES), "NAME@RATE option=value ..., between commas.", **define)
    absl_flags.DEFINE_string(
        "data", "digits:", "Images of one size, as of --train_data; they fit into memory.", **define
    )
    absl_flags.DEFINE_integer("seeds", 5, "Starts and orders of the data.", 1, **define)
    absl_flags.DEFINE_integer("steps", 300, "Updates of each run.", 2, **define)
    absl_flags.DEFINE_integer("global_batch_size", 32, "In examples.", 1, **define)


def _run(config, flag_values):
    if not flag_values.workdir:
        raise errors.InputError("Got no workdir. Expected a folder for the results. Use --workdir=DIR.")
    rules = {rule.strip(): parse_rule(rule) for rule in flag_values.rules}
    examples = _examples(flag_values.data)
    runs = []
    for seed in range(flag_values.seeds):
        for rule, settings in rules.items():
            runs.append({"seed": seed, "rule": rule, **train(settings, examples, seed, flag_values)})
            print(f"seed {seed}  {rule}  accuracy {runs[-1]['accuracy']:.4f}", flush=True)
    folder = pathlib.Path(flag_values.workdir)
    folder.mkdir(parents=True, exist_ok=True)
    _write_curves(runs, folder / "curves.csv")
    _draw(runs, list(rules), folder / "curves.png")
    text = report(runs)
    (folder / "table.txt").write_text(text + "\n", encoding="utf-8")
    print(f"\n{text}\n\nCurves: {folder / 'curves.png'}, {folder / 'curves.csv'}")


def parse_rule(text: str) -> dict[str, Any]:
    """What `make_optimizer` takes, from NAME@RATE option=value ...

    Example:
      >>> parse_rule("adam@1e-3 bias_correction=false")
      {'name': 'adam', 'learning_rate': 0.001, 'options': {'bias_correction': False}}
    """
    try:
        rule, *options = text.split()
        name, rate = rule.split("@")
        pairs = dict(option.split("=") for option in options)
        return {"name": name, "learning_rate": float(rate), "options": {k: _value(v) for k, v in pairs.items()}}
    except ValueError as error:
        raise errors.InputError(
            f"Got rule {text!r}. Expected NAME@RATE and options as name=value. Write it as in 'adam@1e-3 beta_2=0.98'."
        ) from error


def train(settings: dict[str, Any], examples: tuple[Any, Any], seed: int, flag_values: Any) -> dict[str, Any]:
    """One run: losses and step sizes, (steps,) each, and the accuracy on what was left out."""
    import keras
    import numpy as np
    import tensorflow as tf

    from kft import optimizers

    keras.utils.set_random_seed(seed)
    images, labels = examples
    order = np.random.RandomState(seed).permutation(len(labels))
    held_out, train_on = order[: len(order) // 5], order[len(order) // 5 :]
    layers = [keras.layers.Dense(32, activation="relu"), keras.layers.Dense(int(labels.max()) + 1)]
    model = keras.Sequential([keras.Input(images.shape[1:]), *layers])
    variables = model.trainable_variables
    optimizer = optimizers.make_optimizer(**settings)
    optimizer.build(variables)

    @tf.function(autograph=False)
    def step(x, y):
        with tf.GradientTape() as tape:
            losses = tf.nn.sparse_softmax_cross_entropy_with_logits(y, model(x, training=True))
            loss = tf.reduce_mean(losses)
        before = [tf.identity(v.value) for v in variables]
        optimizer.apply(tape.gradient(loss, [v.value for v in variables]), variables)
        moved = tf.linalg.global_norm([v.value - b for v, b in zip(variables, before)])
        return loss, moved / tf.linalg.global_norm(before)

    curves = []
    random = np.random.RandomState(seed)
    for _ in range(flag_values.steps):
        batch = random.choice(train_on, flag_values.global_batch_size)
        curves.append([float(value) for value in step(tf.constant(images[batch]), tf.constant(labels[batch]))])
    losses, step_sizes = np.array(curves).T
    predicted = np.argmax(model(images[held_out]), axis=1)
    accuracy = float(np.mean(predicted == labels[held_out]))
    return {"loss": losses, "step_size": step_sizes, "accuracy": accuracy}


def report(runs: Sequence[dict[str, Any]]) -> str:
    """The table of the rules, over the seeds."""
    import numpy as np

    from kft import inspection

    rows = []
    for rule in dict.fromkeys(run["rule"] for run in runs):
        own = [run for run in runs if run["rule"] == rule]
        step_size = np.mean([run["step_size"] for run in own], axis=0)
        early = slice(0, min(100, len(step_size)))
        rows.append(
            {
                "rule": rule,
                "accuracy": str(inspection.mean_interval([run["accuracy"] for run in own])),
                "loss, first 100": str(inspection.mean_interval([run["loss"][early].mean() for run in own])),
                "loss, last 50": str(inspection.mean_interval([run["loss"][-50:].mean() for run in own])),
                "1st step": f"{step_size[0]:.1e}",
                "longest step": f"{step_size.max():.1e}",
                "steps, first 100": f"{step_size[early].mean():.1e}",
                "steps, last 50": f"{step_size[-50:].mean():.1e}",
            }
        )
    return inspection.table(rows)


def _value(text):
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text


def _examples(spec):
    """All images as (N, features) float32 from -1 to 1, and their labels."""
    import numpy as np
    import tensorflow as tf

    from kft import data

    source = data.load(spec)
    dataset = tf.data.Dataset.range(source.num_examples).map(lambda index: source.load(index)["image"])
    images = np.stack(list(dataset.as_numpy_iterator()))
    return images.reshape(len(images), -1).astype("float32") / 127.5 - 1.0, np.asarray(source.labels)


def _write_curves(runs, path):
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("seed", "rule", "step", "loss", "step_size"))
        for run in runs:
            for step, (loss, step_size) in enumerate(zip(run["loss"], run["step_size"])):
                writer.writerow((run["seed"], run["rule"], step, f"{loss:.6g}", f"{step_size:.6g}"))


def _draw(runs, rules, path):
    import numpy as np
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4), layout="constrained")
    for axes, name in zip(figure.subplots(1, 2), ("loss", "step_size")):
        for rule in rules:
            values = np.median([run[name] for run in runs if run["rule"] == rule], axis=0)
            axes.plot(np.arange(1, len(values) + 1), values, label=rule, linewidth=1)
        label = {"loss": "loss of the batch", "step_size": "norm of the update / norm of the weights"}[name]
        axes.set(xlabel="step", ylabel=label, xscale="log", yscale="log")
        axes.grid(alpha=0.3)
        axes.legend()
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    sys.exit(main())
