"""Where and in what a run computes, with what its settings leave open filled in."""

import dataclasses

import tensorflow as tf

from kft import distribute, training
from kft.run.config import RunConfig


def make_strategy(config: RunConfig) -> tf.distribute.Strategy:
    """The strategy of a run; of several workers all wait here until all are there, so it comes first of all."""
    settings = config.execution
    options = {"workers": settings.workers, "worker_index": settings.worker_index}
    return distribute.make_strategy(settings.strategy, **(options if settings.strategy == "multi_worker" else {}))


def choose(config: RunConfig) -> training.Choice:
    """Precision and XLA, with what is "auto" filled in."""
    return training.choose(
        precision=config.execution.precision,
        xla=config.execution.xla,
        encodes_text=config.models.backbone.startswith(("hf:", "preset:")),
        machine=training.this_machine(),
    )


def with_precision(config: RunConfig) -> RunConfig:
    """The config with the precision that is computed in, not "auto": what a kept model and a resume have to have."""
    precision = choose(config).precision
    return dataclasses.replace(config, execution=dataclasses.replace(config.execution, precision=precision))


def uses_xla(config: RunConfig) -> bool:
    """Whether steps are compiled with XLA."""
    return choose(config).xla
