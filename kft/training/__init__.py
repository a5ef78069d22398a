"""The model that trains, and how a training runs through its phases."""

from kft import tables

__getattr__ = tables.lazy_attributes(
    __name__,
    {
        "Checkpoint": "kft.training.checkpoint:Checkpoint",
        "FineTuneModel": "kft.training.model:FineTuneModel",
        "KeepBest": "kft.training.keep_best:KeepBest",
        "FrozenPrefix": "kft.training.frozen_prefix:FrozenPrefix",
        "build_model": "kft.training.build:build_model",
        "estimate": "kft.training.estimates:estimate",
        "fine_tune": "kft.training.phases:fine_tune",
        "load_weights": "kft.training.weights:load_weights",
        "phase_learning_rate": "kft.training.phases:phase_learning_rate",
        "recalibrate_batchnorm": "kft.training.recalibrate:recalibrate_batchnorm",
        "reinitialize": "kft.training.top_blocks:reinitialize",
        "save_weights": "kft.training.weights:save_weights",
        "update_lengths": "kft.training.phases:update_lengths",
        "variables_sha256": "kft.training.weights:variables_sha256",
    },
)
