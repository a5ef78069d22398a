"""Which pretrained model: backbones measured on the user's data by a linear probe."""

import dataclasses
import os
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from kft import data, errors, inspection, models, training
from kft.models import names
from kft.run import compiling, execution, scoring, setup, task_settings
from kft.run.config import RunConfig, from_flat, with_absolute_paths
from kft.run.validation import validate

# What the command takes where nothing is given: a probe that is done when it ends, for most data.
PROBE = {
    "seeds": 3,
    "length": "20 epochs",
    "learning_rate": 3e-3,
    "weight_decay": 0.0,
    "schedule": "cosine",
    "warmup": "0 steps",
}
# What features that are computed once, frozen and not augmented, leave no choice in.
FIXED = {"trainable": "head", "cache": "off", "augmentation": (), "mixout": 0.0, "reinitialize_top_blocks": 0}


def compare_backbones(
    config: RunConfig,
    backbones: Mapping[str, str | os.PathLike | None] | Iterable[str],
    *,
    report: Callable[[dict[str, Any]], None] = lambda row: None,
) -> list[dict[str, Any]]:
    """Trains a new head on what each backbone says of the data, and measures what that takes.

        features = backbone(images), once, frozen, in inference mode, not augmented
        for each seed: head(features), trained as the config says, scored on the evaluation data after its last epoch

    It is what a run with `trainable="head", cache="exact"` does, with one pass over the images for all seeds.

    Args:
      config: data, head, optimizer, schedule, length and batch; `seed` and `seeds`. What trains, the augmentation and
        the backbone in it are not used.
      backbones: names, as of `kft.models.make_backbone`; or name -> weights, None for the config's.
      report: told each row when it is there.

    Returns: for each backbone a row: "backbone"; "weights", as given; "image_size", (height, width); "metric" and its
      "mode", "max" or "min"; "values" of the metric, one for each seed, their "mean" and the ends of the 95 percent
      interval, "low" and "high", None for one seed; "parameters"; "megabytes" of its weights; "images_per_second" of
      the forward pass alone; "seconds_per_epoch" of one pass over the training images, with reading them. A backbone
      that cannot be had has "error" instead of what was measured.
    Raises: InputError for data or settings that cannot be used and for unknown names, before anything is measured.
    """
    given = dict(backbones) if isinstance(backbones, Mapping) else dict.fromkeys(backbones)
    if not given:
        raise errors.InputError("Got no backbones. Expected one name at least. Use 'mobilenet_v2_0.35'.")
    config = from_flat(FIXED, base=config)
    singles = [_single(config, name, weights) for name, weights in given.items()]
    for single in singles:
        validate(single, required=("train_data",))
    sources = setup.load_sources(config)
    rows = []
    for single in singles:
        row = {"backbone": single.models.backbone, "weights": single.models.backbone_weights}
        try:
            row |= _measure(single, sources)
        except errors.InputError as error:  # one that cannot be had does not spoil what the others took hours for
            row["error"] = str(error)
        rows.append(row)
        report(row)
        keras.backend.clear_session()
    return rows


def _single(config: RunConfig, name: str, weights: str | os.PathLike | None) -> RunConfig:
    weights = config.models.backbone_weights if weights is None else os.fspath(weights)
    return with_absolute_paths(from_flat({"backbone": name, "backbone_weights": weights}, base=config))


@names.counted_anew()
def _measure(config: RunConfig, sources: setup.Sources) -> dict[str, Any]:
    choice = execution.choose(config)
    with training.precision_scope(choice.precision):
        backbone = setup.make_backbone(config)
        task = task_settings.make_task(config, sources.train.label_names)
        if task.tokenize is not None or backbone.tokenizer is not None:
            raise errors.InputError(
                f"Got backbone {backbone.name!r} for the task {task.name!r}. Expected both of images. Train one run "
                "for each backbone of text, and compare them with experiments.compare."
            )
        model = keras.Model(backbone.model.input, backbone.features(backbone.model.output).pooled)
    batches = setup.make_batches(config, backbone, task)
    forward = tf.function(lambda x: model(x, training=False), jit_compile=choice.xla, autograph=False)
    train, cost = _features(forward, batches(sources.train), sources.train)
    evaluation, _ = _features(forward, batches(sources.evaluation), sources.evaluation)
    values = [_probe(config, seed, train, evaluation, model.output.shape[-1]) for seed in _seeds(config)]
    interval = inspection.mean_interval(values)
    several = len(values) > 1
    return {
        "image_size": backbone.image_size,
        "metric": task.monitor.removeprefix("val_"),
        "mode": task.monitor_mode,
        "values": values,
        "mean": interval.mean,
        "low": interval.low if several else None,
        "high": interval.high if several else None,
        "parameters": backbone.model.count_params(),
        "megabytes": sum(weight.numpy().nbytes for weight in backbone.model.weights) / 2**20,
        **cost,
    }


def _seeds(config: RunConfig) -> range:
    return range(config.run.seed, config.run.seed + config.run.seeds)


def _features(
    forward: Callable[[tf.Tensor], tf.Tensor], batches: tf.data.Dataset, source: data.Source
) -> tuple[data.Source, dict[str, float]]:
    """The source with features instead of images, and what it took to compute them."""
    for x, *_ in batches.take(1):
        forward(x)  # traced, and the first pages of everything touched
    rows, computing, began = [], 0.0, time.perf_counter()
    for x, _, weight in batches:
        before = time.perf_counter()
        values = forward(x).numpy()
        computing += time.perf_counter() - before
        rows.append(values[weight.numpy() > 0].astype("float32"))
    seconds = time.perf_counter() - began
    with tf.device("CPU:0"):
        features = tf.constant(np.concatenate(rows))
    images = len(rows) * batches.global_batch_size  # the last batch is filled up, and computed as a whole
    cost = {"images_per_second": images / computing, "seconds_per_epoch": seconds}
    return dataclasses.replace(source, load=lambda index: {"features": tf.gather(features, index)}), cost


def _probe(config: RunConfig, seed: int, train: data.Source, evaluation: data.Source, width: int) -> float:
    """The metric of a head that is trained on features."""
    keras.utils.set_random_seed(seed)
    weights = task_settings.class_weights_of(config, train)
    task = task_settings.make_task(config, train.label_names, class_weights=weights)
    inputs = keras.Input((width,), name="features")
    backbone = models.custom_backbone(keras.Model(inputs, keras.layers.Identity(name="features_are")(inputs)))
    model = training.build_model(backbone, task)

    def batches(source: data.Source, *, shuffle: bool = False) -> tf.data.Dataset:
        return data.batches(
            source,
            encode=lambda raw, _: raw["features"],
            preprocess=lambda x: x,
            global_batch_size=config.run.global_batch_size,
            seed=seed,
            shuffle=shuffle,
        )

    training_batches = batches(train, shuffle=True)
    plan = compiling.compile_model(config, model, task, training_batches)
    training.fine_tune(model, training_batches, plan.phases, epochs=plan.epochs, verbose=0)
    metric = task.monitor.removeprefix("val_")
    rest = batches(evaluation)
    scores = scoring.score(model, rest)
    if metric not in scores:
        predicted = task.decode(model.predict(rest, verbose=0))
        scores |= task.corpus_scores(predicted, task.references(evaluation))
    return scores[metric]
