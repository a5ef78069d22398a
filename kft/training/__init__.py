"""The model that trains, and how a training runs through its phases."""

from kft import tables

__getattr__ = tables.lazy_attributes(
    __name__,
    {
        "BAD_NUMBERS": "kft.training.checkpoint:BAD_NUMBERS",
        "Choice": "kft.training.execution:Choice",
        "CompilationsAsPlanned": "kft.training.execution:CompilationsAsPlanned",
        "Checkpoint": "kft.training.checkpoint:Checkpoint",
        "FineTuneModel": "kft.training.model:FineTuneModel",
        "LoadReport": "kft.training.load_report:LoadReport",
        "Machine": "kft.training.execution:Machine",
        "KeepBest": "kft.training.keep_best:KeepBest",
        "FrozenPrefix": "kft.training.frozen_prefix:FrozenPrefix",
        "depends_on_epoch": "kft.training.graph_part:depends_on_epoch",
        "build_model": "kft.training.build:build_model",
        "choose": "kft.training.execution:choose",
        "estimate": "kft.training.estimates:estimate",
        "fine_tune": "kft.training.phases:fine_tune",
        "load_weights": "kft.training.weights:load_weights",
        "newest_checkpoint": "kft.training.checkpoint_files:newest_folder",
        "phase_learning_rate": "kft.training.phases:phase_learning_rate",
        "precision_scope": "kft.training.precision:precision_scope",
        "recalibrate_batchnorm": "kft.training.recalibrate:recalibrate_batchnorm",
        "reinitialize": "kft.training.top_blocks:reinitialize",
        "use_mixout": "kft.training.mixout:use_mixout",
        "save_weights": "kft.training.weights:save_weights",
        "this_machine": "kft.training.execution:this_machine",
        "StepGroups": "kft.training.step_groups:StepGroups",
        "Timing": "kft.training.timing:Timing",
        "precision_of": "kft.training.precision:precision_of",
        "time_step": "kft.training.timing:time_step",
        "update_lengths": "kft.training.phases:update_lengths",
        "warm_start": "kft.training.load_report:warm_start",
        "variables_sha256": "kft.training.weights:variables_sha256",
    },
)
