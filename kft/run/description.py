"""What a run is going to do, for a person before it starts and for run.json."""

import os
import re
from typing import Any

import keras
import tensorflow as tf

from kft import inspection, paths, training
from kft.run import setup, text
from kft.run.config import RunConfig


def describe(config: RunConfig) -> str:
    """Everything that a run would do, without training.

    Its summary; what each phase will take, estimated; a table of blocks; and a table of every variable.

    Args:
      config: validated; its data is read, nothing is written.
    """
    keras.utils.set_random_seed(config.run.seed)
    sources = setup.load_sources(config)
    run = setup.make_setup(config, sources.train)
    tables = [
        inspection.table(costs(config, run)),
        inspection.table(blocks(run)),
        variable_table(run),
    ]
    return "\n\n".join([summary(config, sources, run), *tables])


def variable_table(run: setup.Setup) -> str:
    """Every variable of a run, when it trains and how fast."""
    return inspection.variable_table(_variables(run))


def costs(config: RunConfig, run: setup.Setup) -> list[dict[str, Any]]:
    """A row for each phase: estimated seconds and memory, from the time of some forward passes on this machine."""
    settings = config.schedules
    cached = settings.cache != "off"
    if settings.cache == "auto" and not settings.cache_views:
        cached = not training.depends_on_epoch(run.batches)
    phases = run.phase_epochs()
    mebi = 2**20
    return [
        {
            "phase": number,
            "estimated seconds": round(estimate.seconds),
            "memory (MiB)": round(estimate.memory_bytes / mebi),
            "stored activations (MiB)": round(estimate.stored_bytes / mebi),
        }
        for number, estimate in enumerate(training.estimate(run.model, run.batches, phases, cache=cached), 1)
    ]


def blocks(run: setup.Setup) -> list[dict[str, Any]]:
    """A row for each block, the head first: its parameters, and its highest learning rate in each phase."""
    scales = getattr(run.model.optimizer, "scales", None)
    per_epoch = run.lengths["steps_per_epoch"]
    rows = []
    for block in reversed(run.model.blocks):
        own = [variable for variable in run.model.parameters if re.fullmatch(block, variable.path)]
        row = {"block": block, "parameters": sum(map(_size, own))}
        for number, (first, end, phase) in enumerate(run.phase_epochs(), 1):
            trained = {variable.path for variable in _trained(run, phase)} & {variable.path for variable in own}
            rate = max(_rates(run, first * per_epoch, end * per_epoch))
            used = [
                next(s for p, s in scales.learning_rate if re.fullmatch(p, path)) if scales else 1.0 for path in trained
            ]
            row[f"rate in phase {number}"] = f"{rate * max(used):.3g}" if used else None
        rows.append(row)
    return rows


def summary(
    config: RunConfig, sources: setup.Sources, run: setup.Setup, evaluation: tf.data.Dataset | None = None
) -> str:
    """What a person reads before the first step."""
    parts = _parts(sources)
    model = run.model
    is_text = run.task.tokenize is not None
    lengths, warned = _texts(run, evaluation)
    before = inspection.before(
        data=[{"data": role, "source": s.name, "examples": s.num_examples} for role, s in parts.items()],
        classes={role: source.num_examples_per_class() for role, source in parts.items()},
        phases=phases(run),
        settings={
            "backbone": f"{config.models.backbone}, weights {config.models.backbone_weights or 'none'}",
            "input": _tokens(config, run) if is_text else " x ".join(str(side) for side in model.inputs[0].shape[1:]),
            "augmentation": "none" if is_text else _augmentation(config),
            "optimizer": f"{config.optimizers.optimizer} {config.optimizers.optimizer_options}".strip(),
            "schedule": f"{config.schedules.schedule}, warm-up {config.schedules.warmup}",
            "steps": f"{run.steps:,} ({run.epochs} epochs of {run.lengths['steps_per_epoch']})",
            "batch": f"{run.lengths['global_batch_size']} examples on {run.strategy.num_replicas_in_sync} replica(s)",
            "device": device(),
            "precision": f"{run.choice.precision} ({run.choice.reasons['precision']})",
            "XLA": f"{'on' if model.jit_compile else 'off'} ({run.choice.reasons['xla']})",
            "seed": config.run.seed,
        },
        warnings=[*(str(warning) for warning in sources.report.warnings), *warned, *_large_batch(config, sources)],
    )
    return f"{before}\n\n{inspection.table(lengths)}" if is_text else before


def _augmentation(config: RunConfig) -> str:
    named = ", ".join(config.data.augmentation) or "none"
    options = config.data.augmentation_options
    mixed = [f"{way} {getattr(config.data, way)}" for way in ("mixup", "cutmix") if getattr(config.data, way)]
    return ", ".join([f"{named} ({options})" if options else named, *mixed])


def _large_batch(config: RunConfig, sources: setup.Sources) -> list[str]:
    if config.run.global_batch_size <= sources.train.num_examples:
        return []
    return [
        f"Got global_batch_size={config.run.global_batch_size} with {sources.train.num_examples} examples. Expected at "
        "most as many; the batch is filled with what does not count. Lower it."
    ]


def _tokens(config: RunConfig, run: setup.Setup) -> str:
    most = config.data.sequence_length or run.backbone.tokenizer.max_length
    return f"up to {most} tokens of {run.backbone.tokenizer.vocabulary_size:,}"


def _texts(run: setup.Setup, evaluation: tf.data.Dataset | None) -> tuple[list[dict[str, Any]], list[str]]:
    """Rows of lengths, and warnings of much that is cut off; of images none."""
    given = {"train": run.batches, "eval": evaluation}
    if run.task.tokenize is None:
        return [], []
    given = {role: batches for role, batches in given.items() if batches is not None}
    warnings = [warning for role, batches in given.items() for warning in text.truncation_warnings(role, batches)]
    return [text.lengths(role, batches) for role, batches in given.items()], warnings


def decisions(
    config: RunConfig, sources: setup.Sources, run: setup.Setup, evaluation: tf.data.Dataset | None = None
) -> dict[str, Any]:
    """What run.json holds: what was decided, as data."""
    lengths, _ = _texts(run, evaluation)
    texts = {
        "tokens": lengths,
        "compilations": run.model.num_compilations,
        "planned_compilations": run.model.num_planned_compilations,
    }
    return (texts if lengths else {}) | {
        "data": {
            role: {
                "source": source.name,
                "num_examples": source.num_examples,
                "num_examples_per_class": source.num_examples_per_class(),
            }
            for role, source in _parts(sources).items()
        },
        "findings": dict(sources.report.counts),
        "skipped": {role: len(indices) for role, indices in sources.report.skipped.items()},
        "phases": phases(run),
        "blocks": trained_blocks(run),
        "epochs": run.epochs,
        "steps": run.steps,
        "steps_per_epoch": run.lengths["steps_per_epoch"],
        "device": device(),
        "num_replicas": run.strategy.num_replicas_in_sync,
        "xla": bool(run.model.jit_compile),
        "precision": run.choice.precision,
        "reasons": run.choice.reasons,
        "ms_per_step": run.choice.timings,
        "steps_per_execution": run.model.groups.decisions or run.model.groups.size,
        "num_parameters": sum(_size(variable) for variable in run.model.parameters),
    }


def phases(run: setup.Setup) -> list[dict[str, Any]]:
    """A row for each phase: its epochs and steps, what trains, and the learning rate at its start, middle and end."""
    rows = []
    per_epoch = run.lengths["steps_per_epoch"]
    for number, (first, end, phase) in enumerate(run.phase_epochs(), 1):
        trained = _trained(run, phase)
        rows.append(
            {
                "phase": number,
                "epochs": f"{first + 1} to {end}",
                "steps": (end - first) * per_epoch,
                "trains": _name_of(phase.trainable, run.model.blocks),
                "parameters": sum(_size(variable) for variable in trained),
                "learning rate": " .. ".join(f"{rate:.3g}" for rate in _rates(run, first * per_epoch, end * per_epoch)),
            }
        )
    return rows


def trained_blocks(run: setup.Setup) -> list[dict[str, Any]]:
    """For each block, the head first: its name, its parameters, and the epochs in which any of it trains."""
    rows = []
    for block in reversed(run.model.blocks):
        own = {variable.path: variable for variable in run.model.parameters if re.fullmatch(block, variable.path)}
        trained = [
            (first, end)
            for first, end, phase in run.phase_epochs()
            if any(variable.path in own for variable in _trained(run, phase))
        ]
        name = inspection.block_name(block)
        rows.append({"name": name, "parameters": sum(map(_size, own.values())), "epochs": _joined(trained)})
    return rows


def device() -> str:
    """What the steps are computed on."""
    gpus = tf.config.list_physical_devices("GPU")
    if gpus:
        name = tf.config.experimental.get_device_details(gpus[0]).get("device_name", "GPU")
        return f"{len(gpus)} x {name}"
    return f"CPU, {os.cpu_count()} cores"


def _parts(sources: setup.Sources) -> dict[str, Any]:
    parts = {"train": sources.train, "eval": sources.evaluation, "test": sources.test}
    return {role: source for role, source in parts.items() if source is not None}


def _variables(run: setup.Setup) -> list[dict[str, Any]]:
    """A row for each weight, bottom to top."""
    per_epoch = run.lengths["steps_per_epoch"]
    trains = {variable.path: [] for variable in run.model.weights}
    for first, end, phase in run.phase_epochs():
        for variable in _trained(run, phase):
            trains[variable.path].append((first, end))
    used = [path for path, spans in trains.items() if spans]
    scales = getattr(run.model.optimizer, "scales", None)
    scale = paths.assign(used, scales.learning_rate, what="learning-rate scale") if scales else dict.fromkeys(used, 1.0)
    rows = []
    for variable in run.model.weights:
        spans = trains[variable.path]
        rates = _rates(run, spans[0][0] * per_epoch, spans[-1][1] * per_epoch) if spans else None
        rows.append(
            {
                "path": variable.path,
                "shape": tuple(variable.shape),
                "block": next(b for b in run.model.blocks if re.fullmatch(b, variable.path)),
                "trains": ", ".join(f"epoch {first + 1} to {end}" for first, end in _joined(spans)) or None,
                "learning_rates": rates and tuple(rate * scale[variable.path] for rate in rates),
            }
        )
    return rows


def _joined(spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Spans that follow each other at once, as one."""
    joined: list[tuple[int, int]] = []
    for first, end in spans:
        if joined and joined[-1][1] == first:
            first, _ = joined.pop()
        joined.append((first, end))
    return joined


def _rates(run: setup.Setup, first: int, end: int) -> tuple[float, float, float]:
    """The learning rate at the first, middle and last step of a stretch."""
    return tuple(float(run.learning_rate(step)) for step in (first, (first + end) // 2, end - 1))


def _trained(run: setup.Setup, phase: Any) -> list[keras.Variable]:
    chosen = set(paths.select([v.path for v in run.model.parameters], phase.trainable, what="trainable"))
    return [variable for variable in run.model.parameters if variable.path in chosen]


def _name_of(patterns: tuple[str, ...], blocks: tuple[str, ...]) -> str:
    if set(patterns) >= set(blocks):
        return "everything"
    return "the head" if patterns == blocks[-1:] else ", ".join(patterns)


def _size(variable: keras.Variable) -> int:
    size = 1
    for side in variable.shape:
        size *= side
    return size
