"""Everything of a run that is decided before its first step."""

import dataclasses
import os
import re
from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from kft import data, errors, models, optimizers, paths, schedules, tasks, trainable, training
from kft.duration import Duration
from kft.run import execution, parse_options, task_settings, text
from kft.run.config import RunConfig


@dataclasses.dataclass(frozen=True)
class Sources:
    """The examples of a run; test is None where there are none."""

    train: data.Source
    evaluation: data.Source
    test: data.Source | None
    report: Any


@dataclasses.dataclass(frozen=True)
class Setup:
    """A run, ready for its first step.

    Args:
      strategy: where the model was made.
      task, backbone: what the model was made of; no backbone for a head alone.
      model: compiled.
      batches: of the training data.
      phases: what trains when.
      epochs: of all phases.
      learning_rate: function of the step.
      lengths: of an epoch in updates, and of an update in examples.
      warm_start: what was loaded from another run; None if nothing was.
    """

    strategy: tf.distribute.Strategy
    task: tasks.Task
    backbone: models.Backbone | None
    model: training.FineTuneModel
    batches: tf.data.Dataset
    phases: trainable.TrainableSchedule
    epochs: int
    learning_rate: keras.optimizers.schedules.LearningRateSchedule
    lengths: dict[str, int]
    warm_start: training.LoadReport | None = None

    @property
    def steps(self) -> int:
        """Optimizer steps of the whole run."""
        return self.epochs * self.lengths["steps_per_epoch"]

    def phase_epochs(self) -> list[tuple[int, int, Any]]:
        """First epoch, end epoch and phase, for each phase."""
        return trainable.epochs_of_phases(
            self.phases,
            epochs=self.epochs,
            **self.lengths,
        )


def check_data(config: RunConfig) -> data.Report:
    """The pre-flight over the data of a run."""
    return _load_and_check(config)[1]


def load_sources(config: RunConfig) -> Sources:
    """Loads the data, runs the pre-flight over all of it, and leaves out what is to be skipped.

    Raises: InputError with every problem found.
    """
    given, report = _load_and_check(config)
    report.raise_if_bad()
    train, evaluation, test = (
        source and data.without(source, report.skipped.get(role, ())) for role, source in given.items()
    )
    if evaluation is None:
        train, evaluation = data.split(train)
    return Sources(train, evaluation, test, report)


def _load_and_check(config: RunConfig) -> tuple[dict[str, data.Source | None], data.Report]:
    settings = config.data
    train = load_data(config, settings.train_data)
    given = {"train": train}
    for role, spec in (("evaluation", settings.eval_data), ("test", settings.test_data)):
        given[role] = load_data(config, spec, label_names=train.label_names) if spec else None
    report = data.check(**given, allow_leakage=settings.allow_leakage, on_bad_example=settings.on_bad_example)
    return given, report


def load_data(config: RunConfig, spec: str, *, label_names: tuple[str, ...] | None = None) -> data.Source:
    """Data of a run; files of columns are read as its settings tell."""
    how = {"text_format": text.text_format(config), "image_format": image_format(config)}
    return data.load(spec, label_names=label_names, **how)


def image_format(config: RunConfig) -> data.ImageFormat | None:
    """How the files of a run are read where its task takes images; else None."""
    settings = config.data
    if not (settings.task.startswith("image_") or settings.image_column):
        return None
    return data.ImageFormat(
        image_column=settings.image_column,
        label_column=settings.label_column,
        data_root=settings.data_root,
        encoding=settings.encoding,
        labels=task_settings.label_kind(config),
    )


def make_batches(
    config: RunConfig, backbone: models.Backbone, task: tasks.Task, *, num_replicas: int = 1
) -> Callable[..., tf.data.Dataset]:
    """The function from a source to its batches, augmented and shuffled only for training."""

    def batches(source: data.Source, *, train: bool = False) -> tf.data.Dataset:
        if task.tokenize is not None:
            table = text.tokenize(config, task, backbone, source)
            how = {"train": train, "xla": execution.uses_xla(config), "num_replicas": num_replicas}
            return text.make_batches(config, backbone, table, source, **how)
        if source.records is not None or (backbone.image_size is None and backbone.tokenizer is not None):
            raise errors.InputError(
                f"Got {source.name!r} and backbone {backbone.name!r} for the task {task.name!r}. Expected images. "
                "Correct them, or the task."
            )
        augmentation = ",".join(config.data.augmentation) if train else ""
        encode = data.image_encoder(
            image_size=backbone.image_size,
            channels=backbone.model.inputs[0].shape[-1],
            augmentation=augmentation or "none",
        )
        return data.batches(
            source,
            encode=encode,
            preprocess=backbone.preprocess,
            global_batch_size=config.run.global_batch_size,
            seed=config.run.seed,
            shuffle=train,
        )

    return batches


def make_backbone(
    config: RunConfig, *, weights: str | None = None, kept: str | os.PathLike | None = None
) -> models.Backbone:
    """The backbone of a run; `weights` instead of the config's, such as "none" where others are loaded later.

    Args:
      config, weights: see above.
      kept: a folder that `Backbone.save` may have written into; then it is made of that.
    """
    image_size = config.data.image_size or None
    if kept is not None:
        return models.kept_backbone(config.models.backbone, kept, image_size=image_size, pooling=config.models.pooling)
    return models.make_backbone(
        config.models.backbone,
        image_size=image_size,
        weights=config.models.backbone_weights if weights is None else weights,
        pooling=config.models.pooling,
    )


def build_model(config: RunConfig, backbone: models.Backbone, task: tasks.Task) -> training.FineTuneModel:
    """The model of a run, with the weights that the backbone has."""
    return training.build_model(
        backbone,
        task,
        batchnorm="train" if config.models.batchnorm == "train" else "frozen",
        batchnorm_momentum=config.models.batchnorm_momentum or None,
        r_drop=config.optimizers.r_drop,
    )


def make_setup(config: RunConfig, train: data.Source, *, warm_start: bool = True) -> Setup:
    """Builds and compiles the model of a run and decides what trains when, and how fast.

    Args:
      config: validated.
      train: the training data.
      warm_start: False where all weights come from a checkpoint of this very run.
    """
    strategy = execution.make_strategy(config)
    _check_batch(config.run.global_batch_size, strategy.num_replicas_in_sync)
    with strategy.scope(), training.precision_scope(execution.choose(config).precision):
        weights = task_settings.class_weights_of(config, train)
        task = task_settings.make_task(config, train.label_names, class_weights=weights)
        backbone = make_backbone(config)
        model = build_model(config, backbone, task)
        report = _warm_start(config, model, train) if warm_start else None
        _reinitialize(model, backbone, config.models.reinitialize_top_blocks)
        training.use_mixout(model, config.models.mixout)
    replicas = strategy.num_replicas_in_sync
    batches = make_batches(config, backbone, task, num_replicas=replicas)(train, train=True)
    return dataclasses.replace(compile_model(config, model, task, batches), backbone=backbone, warm_start=report)


def compile_model(
    config: RunConfig, model: training.FineTuneModel, task: tasks.Task, batches: tf.data.Dataset
) -> Setup:
    """Decides what trains when, and how fast, and compiles a model for it, where it was made."""
    strategy = model.distribute_strategy
    lengths = training.update_lengths(batches, config.optimizers.accumulate_steps)
    epochs = _epochs(config.run.length, lengths)
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
        model.compile(optimizer, loss=task.loss, metrics=task.metrics(), jit_compile=execution.uses_xla(config))
    return Setup(strategy, task, None, model, batches, phases, epochs, learning_rate, lengths)


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
    if task.tokenize is not None:
        logs += [f"val_{name}" for name in task.score_names]
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


def _warm_start(config: RunConfig, model: training.FineTuneModel, train: data.Source) -> Any:
    if not config.models.warm_start:
        return None
    return training.warm_start(
        model, config.models.warm_start, allow=config.models.warm_start_allow, label_names=train.label_names
    )


def _trained_by_any(model, phases) -> list[str]:
    """The paths of what the optimizer is built with."""
    patterns = [pattern for phase in phases for pattern in phase.trainable]
    return paths.select([variable.path for variable in model.parameters], patterns, what="trainable")


def _reinitialize(model: training.FineTuneModel, backbone: models.Backbone, count: int) -> None:
    blocks = model.blocks[:-1]
    if count > len(blocks):
        raise errors.InputError(
            f"Got reinitialize_top_blocks={count}. Expected at most the {len(blocks)} blocks of "
            f"{backbone.name!r}. Use fewer."
        )
    if count:
        training.reinitialize(model, blocks[-count:])


def _epochs(length: str, lengths: dict[str, int]) -> int:
    """Whole epochs, rounded up."""
    steps = Duration.parse(length).to_steps(**lengths)
    epochs = -(-steps // lengths["steps_per_epoch"])
    if epochs < 1:
        raise errors.InputError(f"Got length={length!r}. Expected one step at least. Use '10 epochs'.")
    return epochs


def _check_batch(global_batch_size: int, num_replicas: int) -> None:
    if global_batch_size % num_replicas:
        down = global_batch_size // num_replicas * num_replicas
        ways = f"{down} or {down + num_replicas}" if down else str(num_replicas)
        raise errors.InputError(
            f"Got global_batch_size={global_batch_size} with {num_replicas} replicas. Expected a multiple of the "
            f"number of replicas. Use {ways}."
        )
