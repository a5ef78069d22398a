"""The kept model in a folder: weights as arrays, and what it takes to use them."""

import dataclasses
import json
import pathlib

from kft import errors, models, tasks, training
from kft.models import names
from kft.run import config_text, execution, setup, task_settings
from kft.run.config import RunConfig

WEIGHTS, DESCRIPTION = "weights.safetensors", "model.json"


@dataclasses.dataclass(frozen=True)
class KeptModel:
    """A model as a run kept it, with what reads its inputs and outputs."""

    model: training.FineTuneModel
    backbone: models.Backbone
    task: tasks.Task
    config: RunConfig


def save_model(
    folder: pathlib.Path,
    model: training.FineTuneModel,
    config: RunConfig,
    task: tasks.Task,
    *,
    backbone: models.Backbone | None = None,
) -> None:
    """Writes weights, what the data decided, and config, the description last: a folder that has it is complete.

    Of text, also what its backbone takes to be made again, with the files of its tokenizer.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if backbone is not None and backbone.save is not None:
        backbone.save(folder)
    sha256 = training.save_weights(model, folder / WEIGHTS)
    description = {
        "label_names": list(task.label_names),
        "class_weights": list(getattr(task.loss, "class_weights", ())),
        "calibration": task.calibration,
        "weights_sha256": sha256,
        "config": json.loads(config_text.to_json(execution.with_precision(config))),
    }
    (folder / DESCRIPTION).write_text(json.dumps(description, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


@names.counted_anew()
def load_model(workdir: str | pathlib.Path) -> KeptModel:
    """Loads the kept model of a run folder, compiled for `evaluate` and `predict`.

    Args:
      workdir: the run folder.

    Raises: InputError if there is no kept model, or its files do not fit each other.
    """
    folder = pathlib.Path(workdir) / "model"
    file = folder / DESCRIPTION
    if not file.is_file():
        raise errors.InputError(
            f"Got workdir={str(workdir)!r}, which has no {file.relative_to(workdir)}. Expected the folder of a "
            "finished run. Finish it with experiments.finetune, or name another."
        )
    try:
        description = json.loads(file.read_text(encoding="utf-8"))
        label_names = tuple(description["label_names"])
        config = config_text.from_json(json.dumps(description["config"]))
        sha256 = description["weights_sha256"]
        decided = {name: description.get(name) for name in ("class_weights", "calibration")}
    except (ValueError, KeyError, TypeError) as error:
        raise errors.InputError(
            f"Got {str(file)!r}, which cannot be read: {error}. Expected what a run wrote. Use an intact copy."
        ) from error
    if not (folder / WEIGHTS).is_file():
        raise errors.InputError(f"Got {str(folder)!r} without {WEIGHTS}. Expected it there. Use an intact copy.")
    if not decided["class_weights"]:
        del decided["class_weights"]
    with training.precision_scope(execution.choose(config).precision):
        backbone = setup.make_backbone(config, weights="none", kept=folder)
        task = task_settings.make_task(config, label_names, images=backbone.tokenizer is None, **decided)
        model = setup.build_model(config, backbone, task)
    training.load_weights(model, folder / WEIGHTS, sha256=sha256)
    model.compile(loss=task.loss, metrics=task.metrics(), jit_compile=execution.uses_xla(config))
    return KeptModel(model, backbone, task, config)
