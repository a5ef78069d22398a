"""The batches of a run: of images, or of the tokens of texts."""

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from kft import data, errors, models, tasks
from kft.run import execution, parse_options, text
from kft.run.config import RunConfig


def make_batches(
    config: RunConfig, backbone: models.Backbone, task: tasks.Task, *, num_replicas: int = 1
) -> Callable[..., tf.data.Dataset]:
    """The function from a source to its batches, augmented and shuffled only for training."""

    def batches(source: data.Source, *, train: bool = False) -> tf.data.Dataset:
        mixing = data.Mixing(config.data.mixup, config.data.cutmix) if train else None
        if task.tokenize is not None:
            if mixing:
                raise errors.InputError(
                    f"Got {mixing!r} for the task {task.name!r}. Expected neither for text, which cannot be blended. "
                    "Leave out --mixup and --cutmix."
                )
            table = text.tokenize(config, task, backbone, source)
            how = {"train": train, "xla": execution.uses_xla(config), "num_replicas": num_replicas}
            return text.make_batches(config, backbone, table, source, **how)
        if source.records is not None or (backbone.image_size is None and backbone.tokenizer is not None):
            raise errors.InputError(
                f"Got {source.name!r} and backbone {backbone.name!r} for the task {task.name!r}. Expected images. "
                "Correct them, or the task."
            )
        augmentation = ",".join(config.data.augmentation) if train else ""
        channels = backbone.model.inputs[0].shape[-1]
        data.check_channels(source, channels)
        encode = data.image_encoder(
            image_size=backbone.image_size,
            channels=channels,
            augmentation=augmentation or "none",
            augmentation_options=parse_options(config.data.augmentation_options, what="augmentation_options")
            if train
            else None,
        )
        return data.batches(
            source,
            encode=encode,
            preprocess=backbone.preprocess,
            global_batch_size=config.run.global_batch_size,
            seed=config.run.seed,
            shuffle=train,
            sampling=config.data.sampling if train else "all",
            mixing=mixing,
        )

    return batches


def decoded_once(config: RunConfig, run: Any, source: data.Source, *, train: bool = False) -> data.InMemory:
    """A source of a run with its images decoded once, where they fit and are read in several epochs.

    Args:
      config: of the run.
      run: its Setup.
      source: of training or evaluation data.
      train: whether it is augmented.
    """
    settings = config.data
    if run.backbone.image_size is None or source.load is None:
        return data.InMemory(source, 0, "no images")
    if settings.image_memory < 0:
        return data.InMemory(source, 0, "switched off")
    augmentation = ",".join(settings.augmentation) if train else ""
    mixed = train and (settings.mixup or settings.cutmix)
    only_head = all(phase.trainable == run.model.blocks[-1:] for phase in run.phases)
    cache = config.schedules.cache
    stored = cache in ("exact", "fast") or (cache == "auto" and not augmentation and not mixed)
    if run.epochs < 2 or (only_head and stored):
        return data.InMemory(source, 0, "they are read once")
    return data.in_memory(
        source,
        image_size=run.backbone.image_size,
        channels=run.backbone.model.inputs[0].shape[-1],
        augmentation=augmentation or "none",
        budget=settings.image_memory,
    )
