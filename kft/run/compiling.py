"""What trains when, and how fast, and the optimizer for it."""

import dataclasses
import re
from typing import Any, NamedTuple

import keras
import tensorflow as tf

from kft import errors, optimizers, paths, schedules, tasks, trainable, training
from kft.duration import Duration
from kft.run import execution, parse_options, run_length
from kft.run.config import RunConfig


class Plan(NamedTuple):
    """What is decided of a training.

    Args:
      phases: what trains when.
      epochs: of all phases.
      learning_rate: function of the step.
      lengths: of an epoch in updates, and of an update in examples.
    """

    phases: trainable.TrainableSchedule
    epochs: int
    learning_rate: keras.optimizers.schedules.LearningRateSchedule
    lengths: dict[str, int]


def compile_model(config: RunConfig, model: training.FineTuneModel, task: tasks.Task, batches: tf.data.Dataset) -> Plan:
    """Decides what trains when, and how fast, and compiles a model for it, where it was made.

    Args:
      config: validated.
      model: of `kft.training.build_model`.
      task: of the model.
      batches: of the training data.
    """
    strategy = model.distribute_strategy
    lengths = training.update_lengths(batches, config.optimizers.accumulate_steps)
    epochs = run_length.epochs_of(config.run.length, lengths)
    phases = trainable.make_trainable_schedule(config.schedules.trainable, model.blocks)
    trainable.validate(phases, [variable.path for variable in model.parameters])
    with strategy.scope():
        learning_rate = _learning_rate(config, phases, epochs, lengths, task)
        optimizer = optimizers.make_optimizer(
            config.optimizers.optimizer,
            learning_rate=learning_rate,
            weight_decay=config.optimizers.weight_decay,
            clip_global_norm=config.optimizers.clip_global_norm or None,
            scales=_scales(config, model, phases),
            options=_optimizer_options(config, model, phases),
        )
        model.compile(
            optimizer,
            loss=task.loss,
            metrics=task.metrics(),
            jit_compile=execution.uses_xla(config),
            steps_per_execution=config.execution.steps_per_execution,
        )
    return Plan(phases, epochs, learning_rate, lengths)


def _learning_rate(config, phases, epochs, lengths, task):
    def stretch(scale: float, total_steps: int):
        warmup = Duration.parse(config.schedules.warmup).to_steps(**lengths, total_steps=total_steps)
        return schedules.make_schedule(
            config.schedules.schedule,
            learning_rate=config.optimizers.learning_rate * scale,
            total_steps=total_steps,
            warmup_steps=min(warmup, total_steps - 1),
            options=parse_options(config.schedules.schedule_options, what="schedule_options"),
            **lengths,
        )

    schedule = training.phase_learning_rate(phases, stretch, epochs=epochs, **lengths)
    if not config.schedules.plateau:
        return schedule
    options = parse_options(config.schedules.plateau, what="plateau")
    known = [field.name for field in dataclasses.fields(schedules.Plateau) if field.name not in ("schedule", "mode")]
    for option in options:
        if option not in known:
            raise errors.unknown_name("option of plateau", option, known)
    return schedules.Plateau(schedule, mode=monitor_of(config, task)[1], **options)


def monitor_of(config: RunConfig, task: tasks.Task) -> tuple[str, str]:
    """The metric that choosing, stopping and the plateau go by, and whether more of it is better: "max" or "min"."""
    monitor = config.run.monitor or task.monitor
    logs = ["loss", *(metric.name for metric in task.metrics())]
    logs += [f"val_{name}" for name in logs]
    logs += [f"val_{name}" for name in task.score_names if f"val_{name}" not in logs]
    if monitor not in logs:
        raise errors.unknown_name("monitor", monitor, logs)
    if monitor == task.monitor:
        return monitor, task.monitor_mode
    return monitor, "min" if monitor.endswith("loss") else "max"


def _optimizer_options(config, model, phases) -> dict[str, Any]:
    """Those given as text, and the settings that not every optimizer takes, where they are on."""
    settings = config.optimizers
    options = parse_options(settings.optimizer_options, what="optimizer_options")
    if settings.accumulate_steps > 1:
        options["accumulate_steps"] = settings.accumulate_steps
    if settings.slot_dtype != "float32":
        options["slot_dtype"] = settings.slot_dtype
    if settings.ema:
        options |= {"use_ema": True, "ema_momentum": settings.ema}
    if settings.decay_to_start:
        pretrained = model.blocks[: len(model.blocks) - 1 - config.models.reinitialize_top_blocks]
        trained = _trained_by_any(model, phases)
        options["decay_to_start"] = [b for b in pretrained if any(re.fullmatch(b, path) for path in trained)]
    return options | {name: getattr(settings, name) for name in ("l1", "l2") if getattr(settings, name)}


def _scales(config, model, phases) -> optimizers.ParamScales | None:
    """Layer decay, and no weight decay on biases and norms, over what any phase trains; None for a rule of Keras'."""
    rate = config.optimizers.layer_decay * phases[0].layer_decay
    if rate == 1.0 and not optimizers.OPTIMIZERS[config.optimizers.optimizer].startswith("kft."):
        return None
    trained = _trained_by_any(model, phases)
    rules = optimizers.layerwise_decay(model.blocks, rate)
    return optimizers.ParamScales(
        learning_rate=[rule for rule in rules if any(re.fullmatch(rule[0], path) for path in trained)],
        weight_decay=optimizers.no_decay_on_bias_and_norm(trained),
    )


def _trained_by_any(model, phases) -> list[str]:
    """The paths of what the optimizer is built with."""
    patterns = [pattern for phase in phases for pattern in phase.trainable]
    return paths.select([variable.path for variable in model.parameters], patterns, what="trainable")
