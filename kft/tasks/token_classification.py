"""A label for each word of a sentence, such as the tags of named entities."""

import functools
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from kft import errors
from kft.data import tag_scheme
from kft.data.token_table import TokenTable
from kft.tasks import scores, word_rows
from kft.tasks.classification import as_label_names, softmax
from kft.tasks.head_settings import HeadSettings
from kft.tasks.losses import TokenCrossentropy
from kft.tasks.task import Task

OF_TAGS = ("accuracy", "macro_f1", "matthews")
OF_ENTITIES = ("f1", "precision", "recall", "accuracy")


def token_classification(
    *,
    label_names: Sequence[str],
    settings: HeadSettings,
    window_overlap: int = 32,
) -> Task:
    """Tags of words: cross-entropy at the first piece of each word.

    Scores over the whole data: of tags that mark entities (IOB1, BIO, BIOES, BMES), precision, recall and F1 of whole
    entities as CoNLL counts them, and F1 of each type; of others, such as parts of speech, accuracy and macro F1.

    Args and Raises: see `kft.tasks.make_task`.
    """
    label_names = as_label_names(label_names)
    if window_overlap < 0:
        raise errors.InputError(f"Got window_overlap={window_overlap!r}. Expected a whole number >= 0. Use 32.")
    with_entities = tag_scheme.marks_entities(label_names)
    types = sorted({tag_scheme.parts(name)[1] for name in label_names} - {""}) if with_entities else []
    return Task(
        name="token_classification",
        label_names=label_names,
        head=settings.head(num_outputs=len(label_names), per_token=True),
        loss=settings.loss(TokenCrossentropy, label_names),
        metrics=lambda: [keras.metrics.SparseCategoricalAccuracy(name="accuracy")],
        monitor="val_f1" if with_entities else "val_accuracy",
        monitor_mode="max",
        decode=functools.partial(_decode, label_names, with_entities),
        references=lambda source: [source.records[index]["tags"] for index in range(len(source.records))],
        corpus_scores=functools.partial(entity_scores, types) if with_entities else _tag_scores,
        score_names=(*OF_ENTITIES, *(f"f1_{type_}" for type_ in types)) if with_entities else OF_TAGS,
        tokenize=functools.partial(word_rows.tokenize, label_names=label_names, window_overlap=window_overlap),
        per_token=True,
    )


def entity_scores(
    types: Sequence[str], predictions: Sequence[dict[str, Any]], references: Sequence[Sequence[str]]
) -> dict[str, float]:
    """Scores of entities: right where type, first and last word are.

    What an entity is in a sequence of tags that is not legal is read as CoNLL's own evaluation does (seqeval's default,
    not its strict mode): I after another type, or after O, begins one.

    Args:
      types: of entities, for "f1_" and its name for each.
      predictions: with "tags".
      references: tags of each sentence.

    Returns: f1, precision and recall over all entities, the accuracy of tags, and F1 of each type.
    Raises: InputError if the numbers of sentences differ, there are none, or seqeval is not installed.
    """
    scores.check_pairs(predictions, references)
    found, given = ([_without_m(tags) for tags in rows] for rows in ([p["tags"] for p in predictions], references))
    try:
        from seqeval import metrics
    except ImportError as error:
        raise errors.InputError("Got no seqeval to score entities. Expected it. Install kft[text].") from error
    precision = recall = f1 = 0.0
    per_type: dict[str, dict[str, float]] = {}
    if any(tag_scheme.entities(tags) for tags in (*found, *given)):  # of none, seqeval warns
        precision, recall, f1, _ = metrics.sequence_labeling.precision_recall_fscore_support(
            given, found, average="micro", zero_division=0
        )
        per_type = metrics.classification_report(given, found, output_dict=True, zero_division=0)
    right = sum(one == other for row, truth in zip(found, given, strict=True) for one, other in zip(row, truth))
    return {
        "f1": float(f1),
        "precision": float(precision),
        "recall": float(recall),
        "accuracy": right / max(sum(map(len, given)), 1),
        **{f"f1_{name}": float(per_type.get(name, {}).get("f1-score", 0.0)) for name in types},
    }


def _without_m(tags: Sequence[str]) -> list[str]:
    """BMES written with the I of the other schemes, which is all that seqeval knows."""
    return [f"I{tag[1:]}" if tag_scheme.parts(tag)[0] == "M" else tag for tag in tags]


def _tag_scores(predictions: Sequence[dict[str, Any]], references: Sequence[Sequence[str]]) -> dict[str, float]:
    scores.check_pairs(predictions, references)
    flat = [[tag for tags in rows for tag in tags] for rows in ([p["tags"] for p in predictions], references)]
    of_labels = scores.of_labels(*flat)
    return {name: of_labels[name] for name in OF_TAGS}


def _decode(label_names, with_entities, logits: np.ndarray, table: TokenTable, source: Any) -> list[dict[str, Any]]:
    """Tags of each sentence, its windows put together, and its entities with the characters they stand for."""
    at = np.flatnonzero(table.targets >= 0)
    record = np.repeat(table.record, table.lengths)[at]
    at = at[np.lexsort((table.words[at], record))]
    probabilities = softmax(np.asarray(logits)[at])
    labels, sure = probabilities.argmax(-1), probabilities.max(-1)
    rows, place = [], 0
    for index in range(len(source.records)):
        words, spans, text = word_rows.words_of(source.records[index])
        here = slice(place, place + len(words))
        place += len(words)
        row = {"words": words, "tags": [label_names[label] for label in labels[here]]}
        if with_entities:
            row["entities"] = [
                {
                    "type": entity.type,
                    "text": text[spans[entity.start][0] : spans[entity.end - 1][1]],
                    "start": spans[entity.start][0],
                    "end": spans[entity.end - 1][1],
                    "probability": float(sure[here][entity.start : entity.end].mean()),
                }
                for entity in tag_scheme.entities(row["tags"])
            ]
        rows.append(row)
    return rows
