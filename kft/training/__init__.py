"""The model that trains, and how a training runs through its phases."""

from kft import tables

__getattr__ = tables.lazy_attributes(
    __name__,
    {
        "FineTuneModel": "kft.training.model:FineTuneModel",
        "KeepBest": "kft.training.keep_best:KeepBest",
        "build_model": "kft.training.build:build_model",
        "fine_tune": "kft.training.phases:fine_tune",
        "load_weights": "kft.training.weights:load_weights",
        "phase_learning_rate": "kft.training.phases:phase_learning_rate",
        "save_weights": "kft.training.weights:save_weights",
        "variables_sha256": "kft.training.weights:variables_sha256",
    },
)
