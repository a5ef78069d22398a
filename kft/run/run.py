"""One run, from a config to a result."""

import dataclasses
import json
import math
import os
import pathlib
import platform
import time
from typing import Any

import keras
import numpy as np
import tensorflow as tf

import kft
from kft import distribute, files, inspection, schedules, training
from kft.inspection import resources
from kft.models import names
from kft.run import (
    compiling,
    config_text,
    description,
    epoch_scores,
    execution,
    folder,
    freed_memory,
    laps,
    measuring,
    model_folder,
    scoring,
    setup,
    shown,
    watching,
)
from kft.run.batches import decoded_once
from kft.run.config import RunConfig, flat, with_absolute_paths
from kft.run.stopwatch import Stopwatch
from kft.run.validation import validate


@names.counted_anew()
def train_and_evaluate(config: RunConfig, workdir: str | os.PathLike, *, verbose: int = 1) -> dict[str, Any]:
    """Trains a model, keeps the best or last one, scores it and writes the run folder.

    The folder holds config.json; run.flags, which repeats the run; run.json, what was decided and measured;
    schedule.png, the learning rate over the steps; tensorboard/; checkpoints/; model/, what `evaluate` and `predict`
    need; eval_predictions.jsonl; examples.jsonl, some of the data to look at; result.json; report.html and
    MODEL_CARD.md.

    Args:
      config: every setting; `config.run.seeds` must be 1 (see `kft.run.train_seeds`).
      workdir: the run folder; it is made. One of a run that was cut off is gone on with, to the same bits as if it
        had not been (`config.run.resume`).
      verbose: 0 prints nothing, 1 the summary, a progress bar and the result.

    Returns: what is in result.json.
    Raises: InputError before the first step, for anything that the user gave and that cannot be used.
    """
    started, clock = time.perf_counter(), laps.Laps()
    freed_memory.keep_freed_memory()
    validate(config, required=("train_data",))
    config = with_absolute_paths(config)
    workdir = folder.prepare_folder(workdir, resume=config.run.resume)
    checkpoints = workdir / "checkpoints"
    if not distribute.is_chief(execution.make_strategy(config)):
        workdir, verbose = folder.scratch_folder(), 0
    keras.utils.set_random_seed(config.run.seed)
    sources = setup.load_sources(config)
    clock.end("reading and checking the data")
    choice = measuring.decide(config, sources.train, workdir)
    given, config = config, measuring.with_choice(config, choice)
    clock.end("measuring how to compute")
    going_on = training.newest_checkpoint(checkpoints) is not None
    # A checkpoint has all weights, but not those that mixout began with.
    run = setup.make_setup(config, sources.train, warm_start=not going_on or config.models.mixout > 0)
    run = dataclasses.replace(run, choice=choice)
    clock.end("making the model")
    batches = setup.make_batches(config, run.backbone, run.task)
    kept = {
        "train": decoded_once(config, run, sources.train, train=True),
        "eval": decoded_once(config, run, sources.evaluation),
    }
    if kept["train"].bytes:
        run = dataclasses.replace(run, batches=batches(kept["train"].source, train=True))
    clock.end("decoding images")
    evaluation = batches(kept["eval"].source)
    digests = _digests(sources)
    callbacks = _callbacks(config, run, workdir, checkpoints, sources, evaluation, digests)
    stopwatch = callbacks[0]
    keep = next(callback for callback in callbacks if isinstance(callback, training.KeepBest))
    callbacks[-1].refuse_changes()
    files.write_whole(workdir / "config.json", config_text.to_json(given))
    measuring.write(workdir, given, choice)
    files.write_whole(workdir / "run.flags", config_text.to_flags(given))
    if run.warm_start is not None:
        write_json(workdir / "warm_start.json", dataclasses.asdict(run.warm_start))
    if verbose:
        print(description.summary(config, sources, run, evaluation), flush=True)
        if run.warm_start is not None:
            print(f"{run.warm_start}\n", flush=True)

    clock.end("making the model")
    if config.models.batchnorm == "recalibrate":
        training.recalibrate_batchnorm(run.model, run.batches)
    training.fine_tune(
        run.model,
        run.batches,
        run.phases,
        epochs=run.epochs,
        validation_data=evaluation,
        callbacks=[*callbacks, *watching.live_line(run, verbose)],
        verbose=verbose,
        cache=config.schedules.cache,
        cache_budget=config.schedules.cache_budget,
        cache_views=config.schedules.cache_views,
        cache_folder=workdir / "cache",
    )
    clock.end("training")
    clock.move("training", "evaluating each epoch", stopwatch.evaluation_seconds)
    clock.move("training", "first step, with tracing", stopwatch.first_step_seconds)
    task, predicted = scoring.predict_evaluation(workdir, run, evaluation, sources.evaluation)
    run = dataclasses.replace(run, task=task)
    result = {
        "metrics": scoring.score(run.model, evaluation, task=run.task, predicted=predicted),
        "test_metrics": scoring.score(run.model, batches(sources.test), task=run.task) if sources.test else None,
    }
    result |= scoring.without_leaked(run, batches, sources)
    clock.end("scoring the kept model")
    shown.write_examples(workdir / "examples.jsonl", run.batches, evaluation, workdir / "eval_predictions.jsonl")
    model_folder.save_model(workdir / "model", run.model, config, run.task, backbone=run.backbone)
    result |= _measured(config, run, keep, stopwatch)
    result["calibration"] = run.task.calibration
    result["majority_share"] = scoring.majority_share(sources.evaluation)
    clock.end("writing the results")
    result["wall_seconds"] = time.perf_counter() - started
    result["seconds"] = clock.seconds
    stored = {"images_in_memory": {role: images.reason for role, images in kept.items()}}
    stored |= {"frozen_part": run.model.history.cache, "digests": digests, "rollbacks": callbacks[-1].rollbacks}
    write_json(workdir / "run.json", description.decisions(config, sources, run, evaluation) | stored)
    write_json(workdir / "result.json", result)
    inspection.write_report(workdir)
    if verbose:
        print("\n" + inspection.after(result, workdir=str(workdir)), flush=True)
    return result


def _callbacks(
    config: RunConfig,
    run: setup.Setup,
    workdir: pathlib.Path,
    checkpoints: pathlib.Path,
    sources: setup.Sources,
    evaluation: tf.data.Dataset,
    digests: dict[str, Any],
) -> list[keras.callbacks.Callback]:
    """A stopwatch, what keeps the best model, TensorBoard, the plateau if there is one, checkpoints; in this order.

    Before all but the stopwatch, what puts the scores over all examples into the logs.
    """
    monitor, mode = compiling.monitor_of(config, run.task)
    keep = training.KeepBest(
        monitor,
        mode=mode,
        patience=config.run.early_stopping,
        patience_from_epoch=run.phase_epochs()[-1][0],
        restore=config.run.keep == "best",
    )
    scores = epoch_scores.callbacks(run.task, monitor, evaluation, sources.evaluation)
    schedule = schedules.picture(run.learning_rate, run.steps, workdir / "schedule.png")
    board = watching.tensorboard(config, run, workdir, sources, evaluation, pictures={"schedule": schedule})
    callbacks = [Stopwatch(), training.CompilationsAsPlanned(), *scores, keep, board]
    if config.schedules.plateau:
        callbacks.append(schedules.PlateauCallback(run.learning_rate, monitor=monitor))
    checkpoint = training.Checkpoint(
        checkpoints,
        every=config.execution.checkpoint_every,
        facts=_must_stay(config, run, digests),
        force=config.run.resume == "force",
        on_nan=config.execution.on_nan,
        report=workdir / training.BAD_NUMBERS,
    )
    return [*callbacks, checkpoint]


def _digests(sources: setup.Sources) -> dict[str, str | None]:
    parts = {"train": sources.train, "eval": sources.evaluation, "test": sources.test}
    return {f"{role} examples": source.digest() if source else None for role, source in parts.items()}


def _must_stay(config: RunConfig, run: setup.Setup, digests: dict[str, Any]) -> dict[str, Any]:
    """What has to be the same to go on with a run: every setting that the result depends on, data and versions."""
    places = ("data_root", "train_data", "eval_data", "test_data")  # what is in them is compared
    left_out = (*config_text.NOT_THE_RESULT, *places)
    settings = {name: value for name, value in flat(execution.with_precision(config)).items() if name not in left_out}
    tokenizer = run.backbone.tokenizer
    return {
        **settings,
        **digests,
        "label names": list(run.task.label_names or ()),
        "vocabulary": tokenizer.digest() if tokenizer else None,
        "replicas": run.strategy.num_replicas_in_sync,
        "tensorflow": tf.__version__,
        "keras": keras.__version__,
        "threads": _threads(),
    }


def _threads() -> list[Any]:
    """What the order of sums depends on: cores that may be used, and limits and kernels that are set."""
    names = ("TF_NUM_INTRAOP_THREADS", "OMP_NUM_THREADS", "TF_ENABLE_ONEDNN_OPTS")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    set_here = tf.config.threading.get_intra_op_parallelism_threads()
    return [cores, set_here, *(os.environ.get(name) for name in names)]


def _measured(config: RunConfig, run: setup.Setup, keep: training.KeepBest, stopwatch: Stopwatch) -> dict[str, Any]:
    model = run.model
    steps = int(model.optimizer.iterations.numpy())
    here = len(model.history.epoch)
    return {
        "best_epoch": None if keep.best_epoch is None else keep.best_epoch + 1,
        "epochs": steps // run.lengths["steps_per_epoch"],
        "steps": steps,
        "train_seconds": stopwatch.seconds,
        "waiting_for_data": stopwatch.waiting,
        "examples_per_second": here * run.batches.num_examples / stopwatch.seconds if here else None,
        "peak_memory_bytes": resources.process_bytes(),
        "xla": bool(model.jit_compile),
        "xla_compilations": model.num_compilations,
        "precision": execution.choose(config).precision,
        "seed": config.run.seed,
        "variables_sha256": training.variables_sha256([*model.variables, *model.optimizer.variables]),
        "num_trainable_parameters": sum(int(np.prod(variable.shape)) for variable in model.trainable_variables),
        "versions": {
            "kft": kft.__version__,
            "tensorflow": tf.__version__,
            "keras": keras.__version__,
            "numpy": np.__version__,
            "python": platform.python_version(),
        },
    }


def write_json(file: pathlib.Path, value: Any) -> None:
    """Writes a file of the run folder, whole or not at all; NaN and Inf, which JSON has not, become null."""
    files.write_whole(file, json.dumps(_with_null(value), indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def _with_null(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _with_null(part) for name, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_with_null(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
