"""The run: RunConfig, which holds every setting, and `train_and_evaluate`, which does what it says."""

from kft.tables import lazy_attributes

_PUBLIC = {
    "PROBE": "kft.run.backbones:PROBE",
    "RunConfig": "kft.run.config:RunConfig",
    "flat": "kft.run.config:flat",
    "from_flat": "kft.run.config:from_flat",
    "validate": "kft.run.validation:validate",
    "parse_options": "kft.run.validation:parse_options",
    "to_json": "kft.run.config_text:to_json",
    "from_json": "kft.run.config_text:from_json",
    "to_flags": "kft.run.config_text:to_flags",
    "config_hash": "kft.run.config_text:config_hash",
    "redact": "kft.run.config_text:redact",
    "check_data": "kft.run.setup:check_data",
    "compare": "kft.run.seeds:compare",
    "compare_backbones": "kft.run.backbones:compare_backbones",
    "describe": "kft.run.description:describe",
    "evaluate": "kft.run.scoring:evaluate",
    "load_model": "kft.run.model_folder:load_model",
    "predict": "kft.run.scoring:predict",
    "train_and_evaluate": "kft.run.run:train_and_evaluate",
    "train_seeds": "kft.run.seeds:train_seeds",
}

__getattr__ = lazy_attributes(__name__, _PUBLIC)
