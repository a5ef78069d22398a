"""Everything of a run that is decided before its first step."""

import dataclasses
import os
from typing import Any

import keras
import tensorflow as tf

from kft import data, errors, models, tasks, trainable, training
from kft.run import compiling, execution, run_length, task_settings, text
from kft.run.batches import make_batches
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
      task, backbone: what the model was made of.
      model: compiled.
      batches: of the training data.
      phases: what trains when.
      epochs: of all phases.
      learning_rate: function of the step.
      lengths: of an epoch in updates, and of an update in examples.
      warm_start: what was loaded from another run; None if nothing was.
      choice: how it computes, and why.
    """

    strategy: tf.distribute.Strategy
    task: tasks.Task
    backbone: models.Backbone
    model: training.FineTuneModel
    batches: tf.data.Dataset
    phases: trainable.TrainableSchedule
    epochs: int
    learning_rate: keras.optimizers.schedules.LearningRateSchedule
    lengths: dict[str, int]
    warm_start: training.LoadReport | None = None
    choice: training.Choice | None = None

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
        train, evaluation = data.split(train, alike=report.alike)
    if config.data.max_examples:
        train = data.few_shot(train, config.data.max_examples, seed=config.run.seed)
        few = [warning for warning in train.warnings if warning.kind == data.FEW_EXAMPLES]
        report = dataclasses.replace(report, warnings=(*report.warnings, *few))
    return Sources(train, evaluation, test, report)


def _load_and_check(config: RunConfig) -> tuple[dict[str, data.Source | None], data.Report]:
    settings = config.data
    train = load_data(config, settings.train_data)
    given = {"train": train}
    for role, spec in (("evaluation", settings.eval_data), ("test", settings.test_data)):
        given[role] = load_data(config, spec, label_names=train.label_names) if spec else None
    how = {name: getattr(settings, name) for name in ("allow_leakage", "on_bad_example")}
    find_alike = given["evaluation"] is None  # then a part of train is held out
    return given, data.check(**given, **how, find_alike=find_alike, **how_to_check(config))


def how_to_check(config: RunConfig) -> dict[str, Any]:
    """Arguments of `kft.data.check` for any data of a run."""
    folder = config.data.preflight_cache
    cache = {"auto": data.preflight_cache(), "off": None}.get(folder, folder)
    return {"max_megapixels": config.data.max_megapixels, "cache": cache}


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
        cache=how_to_check(config)["cache"],
    )


def make_backbone(
    config: RunConfig, *, weights: str | None = None, kept: str | os.PathLike | None = None
) -> models.Backbone:
    """The backbone of a run; `weights` instead of the config's, such as "none" where others are loaded later.

    Args:
      config, weights: see above.
      kept: a folder that `Backbone.save` may have written into; then it is made of that.
    """
    images = {name: getattr(config.data, name) or None for name in ("image_size", "image_channels")}
    if kept is not None:
        return models.kept_backbone(config.models.backbone, kept, **images, pooling=config.models.pooling)
    return models.make_backbone(
        config.models.backbone,
        **images,
        weights=config.models.backbone_weights if weights is None else weights,
        pooling=config.models.pooling,
    )


def build_model(config: RunConfig, backbone: models.Backbone, task: tasks.Task) -> training.FineTuneModel:
    """The model of a run, with the weights that the backbone has."""
    model = training.build_model(
        backbone,
        task,
        batchnorm=config.models.batchnorm.replace("recalibrate", "frozen"),
        batchnorm_momentum=config.models.batchnorm_momentum or None,
        r_drop=config.optimizers.r_drop,
    )
    model.remat = config.execution.remat
    return model


def make_model(
    config: RunConfig, train: data.Source, *, warm_start: bool = True
) -> tuple[tasks.Task, models.Backbone, training.FineTuneModel, Any]:
    """The task of a run, its backbone, the model of both as it begins, not compiled, and what was loaded into it.

    Args:
      config, train, warm_start: as of `make_setup`.
    """
    with training.precision_scope(execution.choose(config).precision):
        weights, images = task_settings.class_weights_of(config, train), train.records is None
        task = task_settings.make_task(config, train.label_names, images=images, class_weights=weights)
        backbone = make_backbone(config)
        model = build_model(config, backbone, task)
        report = _warm_start(config, model, train) if warm_start else None
        _reinitialize(model, backbone, config.models.reinitialize_top_blocks)
        training.use_mixout(model, config.models.mixout)
    return task, backbone, model, report


def make_setup(config: RunConfig, train: data.Source, *, warm_start: bool = True) -> Setup:
    """Builds and compiles the model of a run and decides what trains when, and how fast.

    Args:
      config: validated.
      train: the training data.
      warm_start: False where all weights come from a checkpoint of this very run.
    """
    strategy = execution.make_strategy(config)
    run_length.check_batch(config.run.global_batch_size, strategy.num_replicas_in_sync)
    with strategy.scope():
        task, backbone, model, report = make_model(config, train, warm_start=warm_start)
    replicas = strategy.num_replicas_in_sync
    batches = make_batches(config, backbone, task, num_replicas=replicas)(train, train=True)
    plan = compiling.compile_model(config, model, task, batches)
    choice = execution.choose(config)
    return Setup(strategy, task, backbone, model, batches, *plan, warm_start=report, choice=choice)


def _warm_start(config: RunConfig, model: training.FineTuneModel, train: data.Source) -> Any:
    if not config.models.warm_start:
        return None
    return training.warm_start(
        model, config.models.warm_start, allow=config.models.warm_start_allow, label_names=train.label_names
    )


def _reinitialize(model: training.FineTuneModel, backbone: models.Backbone, count: int) -> None:
    blocks = model.blocks[:-1]
    if count > len(blocks):
        raise errors.InputError(
            f"Got reinitialize_top_blocks={count}. Expected at most the {len(blocks)} blocks of "
            f"{backbone.name!r}. Use fewer."
        )
    if count:
        training.reinitialize(model, blocks[-count:])
