"""Questions on passages, whose answers are spans of the passage, in the JSON of SQuAD."""

import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from kft import errors
from kft.data import text_lines
from kft.data.records import SEPARATOR, Records
from kft.data.source import Finding, Source
from kft.data.text_format import TextFormat
from kft.data.texts import source_of_records


def squad_file(path: str, *, label_names: Sequence[str] | None = None, text: TextFormat) -> Source:
    """A file in the layout of SQuAD 1.1 or 2.0.

    Args:
      path: of the file.
      label_names: not used.
      text: the encoding is used.

    Returns: a source whose records are {"id": str, "question": str, "context": str, "answers": [(start, text), ...]};
      no answers for a question that has none. Answers that do not stand at their start are noted in it for the
      pre-flight.
    Raises: InputError if the file is not there, is no JSON, or is of another layout.
    """
    text_lines.existing_file(path, what="a file in the JSON of SQuAD")
    expected = 'Expected {"data": [{"paragraphs": [{"context", "qas": [{"id", "question", "answers"}]}]}]}.'
    wrong: dict[int, Finding] = {}
    content = "".join(text_lines.decoded_lines(path, text.encoding, wrong))
    try:
        records = [
            {
                "id": str(question["id"]),
                "question": _text(question["question"]),
                "context": _text(paragraph["context"]),
                "answers": [
                    (int(answer["answer_start"]), _text(answer["text"])) for answer in question.get("answers", ())
                ],
            }
            for article in json.loads(content)["data"]
            for paragraph in article["paragraphs"]
            for question in paragraph["qas"]
        ]
    except (ValueError, KeyError, TypeError) as error:
        what = f"lacks {error}" if isinstance(error, KeyError) else f"does not read: {error}"
        raise errors.InputError(f"Got {path!r}, which {what}. {expected} Correct the file.") from error
    keys = tuple(f"{path}, question {record['id']}" for record in records)
    problems = [
        problem
        for index, record in enumerate(records)
        if (problem := _span_problem(keys[index], record, index)) is not None
    ]
    return source_of_records(
        QuestionRecords(records),
        keys=keys,
        name=f"squad:{path}",
        problems=[*wrong.values(), *problems],
        warnings=_empty(records, keys),
    )


class QuestionRecords(Records):
    """Questions with their passages and answers.

    Args:
      records: dicts as `squad_file` gives them.
    """

    def __init__(self, records: Sequence[dict[str, Any]]):
        self.records = records

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, index):
        return self.records[index]

    def take(self, indices: np.ndarray) -> "QuestionRecords":
        return QuestionRecords([self.records[index] for index in indices])

    def content(self, index: int) -> bytes:
        return json.dumps(self.records[index]).encode()

    def text(self, index: int) -> str:
        return SEPARATOR.join((self.records[index]["question"], self.records[index]["context"]))


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is no text")
    return value


def _span_problem(where: str, record: dict[str, Any], index: int) -> Finding | None:
    context = record["context"]
    for start, answer in record["answers"]:
        if not 0 <= start <= len(context) - len(answer):
            reason = f"Got an answer from {start} to {start + len(answer)} in a context of {len(context)} characters."
            reason += " Expected it inside."
        elif context[start : start + len(answer)] != answer:
            reason = f"Got the answer {answer!r} where the context has {context[start : start + len(answer)]!r}."
            reason += " Expected the same text."
        else:
            continue
        return Finding("answer not in its context", where, reason, "Count characters, not bytes.", index=index)
    return None


def _empty(records: Sequence[dict[str, Any]], keys: Sequence[str]) -> list[Finding]:
    empty = [
        key for key, record in zip(keys, records) if not record["question"].strip() or not record["context"].strip()
    ]
    if not empty:
        return []
    reason = f"Got {len(empty)} empty questions or contexts, the first here. Expected text."
    return [Finding("empty text", empty[0], reason, "Add it, or leave them out.", count=len(empty))]
