"""Using a kept model: scores on labelled data, predictions on any."""

import dataclasses
import json
import os
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any

from kft import data, errors
from kft.run import model_folder, setup

# What the pre-flight asks of data to learn from; data to score may be one example of one class.
ONLY_FOR_TRAINING = ("too few examples", "too few classes", "class without examples")


def evaluate(workdir: str | os.PathLike, spec: str) -> dict[str, float]:
    """Scores the kept model of a run.

    Args:
      workdir: the run folder.
      spec: data with labels, such as "folder:DIR".

    Returns: loss and metrics, as `result.json` has them.
    Raises: InputError for data that cannot be used, or has classes that the model does not know.
    """
    kept = model_folder.load_model(workdir)
    source = data.load(spec, label_names=kept.task.label_names)
    unknown = source.label_names[len(kept.task.label_names) :]
    if unknown:
        raise errors.InputError(
            f"Got {spec!r} with the classes {', '.join(map(repr, unknown))}. Expected some of the model's: "
            f"{', '.join(map(repr, kept.task.label_names))}. Remove or rename their folders."
        )
    report = data.check(source)
    problems = tuple(finding for finding in report.problems if finding.kind not in ONLY_FOR_TRAINING)
    dataclasses.replace(report, problems=problems).raise_if_bad()
    return score(kept.model, setup.make_batches(kept.config, kept.backbone)(source))


def score(model, batches) -> dict[str, float]:
    """Loss and metrics over one epoch of batches."""
    return {name: float(value) for name, value in model.evaluate(batches, verbose=0, return_dict=True).items()}


def predict(workdir: str | os.PathLike, places: Sequence[str | os.PathLike]) -> Iterator[dict[str, Any]]:
    """Predictions of the kept model of a run.

    Args:
      workdir: the run folder.
      places: image files, and folders of them.

    Yields: for each file its "file", and what the task decodes, such as "label" and "probabilities".
    Raises: InputError with every file that cannot be used, before the first prediction.
    """
    kept = model_folder.load_model(workdir)
    source = data.image_files(places)
    data.check(source).raise_if_bad()
    yield from predictions(kept.model, kept.task, setup.make_batches(kept.config, kept.backbone)(source), source)


def predictions(model, task, batches, source) -> Iterator[dict[str, Any]]:
    """What the task decodes for each example of a source, with its key as "file"."""
    logits = model.predict(batches, verbose=0)
    for key, decoded in zip(source.keys, task.decode(logits), strict=True):
        yield {"file": key, **decoded}


def write_eval_predictions(file: pathlib.Path, run: setup.Setup, batches, source: data.Source) -> None:
    """Writes a line of JSON for each example: file, truth and prediction; `experiments.compare` pairs runs by it."""
    with open(file, "w", encoding="utf-8") as stream:
        for label, row in zip(source.labels, predictions(run.model, run.task, batches, source), strict=True):
            stream.write(json.dumps({**row, "truth": source.label_names[label]}, ensure_ascii=False) + "\n")
