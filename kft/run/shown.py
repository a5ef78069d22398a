"""Some examples of a run as small pictures and texts, for its report."""

import json
import pathlib
from typing import Any

import numpy as np

from kft.inspection import classes, examples

MOST_TRAIN, MOST_MISTAKES, _CHARACTERS = 40, 24, 400


def write_examples(file: pathlib.Path, train: Any, evaluation: Any, predictions: pathlib.Path) -> None:
    """Writes examples.jsonl: some of the training data, of each class as many; of the evaluation data the mistakes.

    Args:
      file: the file.
      train: batches of the training data.
      evaluation: batches of the evaluation data.
      predictions: eval_predictions.jsonl.
    """
    predicted = [json.loads(line) for line in predictions.read_text(encoding="utf-8").split("\n") if line]
    rows = [{"part": "train", **row} for row in _shown(train, _some_of_each(train.source), evaluation)]
    rows += [{"part": "eval", **row} for row in _shown(evaluation, _mistakes(predicted), evaluation)]
    with open(file, "w", encoding="utf-8") as stream:
        stream.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def _shown(batches: Any, indices: list[int], evaluation: Any) -> list[dict[str, Any]]:
    """Rows of "index", "key", "truth", and "image", a data: URI, with its "width", or "text"; without augmentation."""
    source = batches.source
    rows = [
        {"index": index, "key": str(source.keys[index]), "truth": examples.truth_of(source, index)} for index in indices
    ]
    if examples.are_texts(batches):
        return [row | {"text": examples.text_of(source.records[row["index"]])[:_CHARACTERS]} for row in rows]
    if not examples.are_images(batches):
        return rows
    plain = examples.Plain(source, evaluation.encode)
    return [
        row | {"image": examples.data_uri(image), "width": image.shape[1]}
        for row, image in zip(rows, examples.pixels(plain, indices), strict=True)
    ]


def _some_of_each(source: Any) -> list[int]:
    """The first example of each class, then the second of each, until there are enough."""
    labels = np.asarray(source.labels)
    of_class = [np.flatnonzero(labels == label) for label in np.unique(labels)]
    turns = [places[turn] for turn in range(MOST_TRAIN) for places in of_class if turn < len(places)]
    return [int(index) for index in turns[:MOST_TRAIN]]


def _mistakes(predictions: list[dict[str, Any]]) -> list[int]:
    found = classes.classified(predictions)
    if found is None:
        wrong = [index for index, row in enumerate(predictions) if not classes.is_right(row)]
        return (wrong or list(range(len(predictions))))[:MOST_MISTAKES]
    indices = [*found.confident_mistakes(MOST_MISTAKES), *found.highest_losses(MOST_MISTAKES)]
    return [int(index) for index in dict.fromkeys(indices)]
