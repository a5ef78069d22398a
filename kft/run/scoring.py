"""Using a kept model: scores on labelled data, predictions on any."""

import dataclasses
import json
import os
import pathlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from kft import data, errors, tasks, training
from kft.run import model_folder, setup
from kft.run.config import from_flat

# What the pre-flight asks of data to learn from; data to score may be one example of one class.
ONLY_FOR_TRAINING = ("too few examples", "too few classes", "class without examples")


def evaluate(workdir: str | os.PathLike, spec: str, *, data_root: str = "") -> dict[str, float]:
    """Scores the kept model of a run.

    Args:
      workdir: the run folder.
      spec: data with labels, such as "folder:DIR"; files of columns are read as the run's settings tell.
      data_root: instead of the run's; "" for that.

    Returns: loss and metrics, as `result.json` has them.
    Raises: InputError for data that cannot be used, or has classes that the model does not know.
    """
    kept = model_folder.load_model(workdir)
    config = from_flat({"data_root": data_root}, base=kept.config) if data_root else kept.config
    source = setup.load_data(config, spec, label_names=kept.task.label_names)
    unknown = source.label_names[len(kept.task.label_names) :]
    if unknown:
        raise errors.InputError(
            f"Got {spec!r} with the classes {', '.join(map(repr, unknown))}. Expected some of the model's: "
            f"{', '.join(map(repr, kept.task.label_names))}. Remove or rename their folders."
        )
    report = data.check(source, **setup.how_to_check(kept.config))
    problems = tuple(finding for finding in report.problems if finding.kind not in ONLY_FOR_TRAINING)
    dataclasses.replace(report, problems=problems).raise_if_bad()
    batches = setup.make_batches(kept.config, kept.backbone, kept.task)(source)
    return score(kept.model, batches, task=kept.task)


def score(
    model, batches, *, task: tasks.Task | None = None, predicted: Sequence[dict[str, Any]] | None = None
) -> dict[str, float]:
    """Loss and metrics over one epoch of batches, and the scores over all examples together.

    Args:
      model: compiled.
      batches: in the order of their source.
      task: of the model; None for loss and metrics alone.
      predicted: what the task decodes, where that is known.
    """
    metrics = {name: float(value) for name, value in model.evaluate(batches, verbose=0, return_dict=True).items()}
    if task is None:
        return metrics
    if predicted is None:
        predicted = decoder(model, batches, batches.source)(task)
    return metrics | {
        name: score
        for name, score in task.corpus_scores(predicted, task.references(batches.source)).items()
        if name not in metrics
    }


def predict(workdir: str | os.PathLike, places: Sequence[str | os.PathLike]) -> Iterator[dict[str, Any]]:
    """Predictions of the kept model of a run.

    Args:
      workdir: the run folder.
      places: image files, and folders of them; of text, files with an example in each line (pairs with a tab between).
        Or data as of `evaluate`, such as "squad:FILE", whose labels are not used. Lines are split into words at spaces
        and marks where words are labelled; the words of "conll:FILE" are as they stand there.

    Yields: for each file or line its place as "file", and what the task decodes, such as "label" and "probabilities".
    Raises: InputError with every example that cannot be used, before the first prediction.
    """
    kept = model_folder.load_model(workdir)
    source = _to_predict(kept, [os.fspath(place) for place in places])
    data.check(source, **setup.how_to_check(kept.config)).raise_if_bad()
    batches = setup.make_batches(kept.config, kept.backbone, kept.task)(source)
    yield from predictions(kept.model, kept.task, batches, source)


def _to_predict(kept: model_folder.KeptModel, places: Sequence[str]) -> data.Source:
    images = kept.task.tokenize is None
    kinds = {**data.SOURCES, **data.IMAGE_SOURCES} if images else data.TEXT_SOURCES
    specs = [place for place in places if place.partition(":")[0] in kinds and not os.path.exists(place)]
    if specs:
        if len(places) > 1:
            raise errors.InputError(f"Got {specs[0]!r} beside others. Expected it alone, or files. Predict one.")
        return data.unlabelled(setup.load_data(kept.config, specs[0], label_names=kept.task.label_names))
    if images:
        return data.image_files(places)
    pair = len(kept.config.data.text_columns) == 2
    return data.raw_lines(places, encoding=kept.config.data.encoding, pair=pair)


def predictions(model, task, batches, source) -> Iterator[dict[str, Any]]:
    """What the task decodes for each example of a source, with its key as "file"."""
    for key, decoded in zip(source.keys, decoder(model, batches, source)(task), strict=True):
        yield {"file": key, **decoded}


def decoder(model, batches, source) -> Callable[[tasks.Task], list[dict[str, Any]]]:
    """What a task decodes, of logits that are computed once."""
    logits = {}

    def decode(task):
        table = getattr(batches, "table", None)
        if not logits:
            logits["all"] = training.predict(model, batches, per_token=task.per_token)
        return task.decode(logits["all"], table=table, source=source)

    return decode


def predict_evaluation(
    folder: pathlib.Path, run: setup.Setup, batches, source: data.Source
) -> tuple[tasks.Task, list[dict[str, Any]]]:
    """Predicts the evaluation data, and lets it choose what the task can choose by it, such as thresholds.

    Writes eval_predictions.jsonl, a line for each example with file, truth and prediction, by which
    `experiments.compare` pairs runs; and eval_predictions.json, where the task has a form that others' scripts read.

    Returns: the task as it decodes from now on, and the predictions.
    """
    task, decode, references = run.task, decoder(run.model, batches, source), run.task.references(source)
    predicted = decode(task)
    if task.calibrate is not None:
        task = task.calibrated(task.calibrate(predicted, references))
        predicted = decode(task)
    with open(folder / "eval_predictions.jsonl", "w", encoding="utf-8") as stream:
        for key, truth, row in zip(source.keys, references, predicted, strict=True):
            stream.write(json.dumps({"file": key, **row, "truth": truth}, ensure_ascii=False) + "\n")
    if task.official is not None:
        official = json.dumps(task.official(predicted), ensure_ascii=False)
        (folder / "eval_predictions.json").write_text(official + "\n", encoding="utf-8")
    return task, predicted


def without_leaked(run: setup.Setup, batches: Callable[..., Any], sources: setup.Sources) -> dict[str, Any]:
    """Scores again, less the examples that training or choosing has seen too, where that was allowed."""
    scores = {}
    parts = (("evaluation", sources.evaluation, "metrics"), ("test", sources.test, "test_metrics"))
    for role, source, name in parts:
        leaked = sources.report.leaked.get(role, ())
        if source is not None and 0 < len(leaked) < source.num_examples:
            rest = data.without(source, leaked)
            scores[f"{name}_without_leaked"] = score(run.model, batches(rest), task=run.task) | {"leaked": len(leaked)}
    return scores


def majority_share(source: data.Source) -> float | None:
    """The part of the most frequent class among the examples; None where they have no classes."""
    labels = source.labels[source.labels >= 0]
    return float(np.bincount(labels).max() / source.num_examples) if len(labels) else None
