"""What of a run is special for text: how files are read, tokens, and batches by length."""

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from kft import data, errors, models, tasks
from kft.data import batch_plan, token_table
from kft.run import task_settings
from kft.run.config import RunConfig

MUCH_TRUNCATED = 0.05


def text_format(config: RunConfig) -> data.TextFormat:
    """How the files of a run are read."""
    settings = config.data
    return data.TextFormat(
        text_columns=settings.text_columns,
        label_column=settings.label_column,
        encoding=settings.encoding,
        line_format=settings.line_format,
        labels=task_settings.label_kind(config),
        tag_scheme=settings.tag_scheme,
        data_root=settings.data_root,
    )


def tokenize(
    config: RunConfig, task: tasks.Task, backbone: models.Backbone, source: data.Source
) -> token_table.TokenTable:
    """The tokens of a source, checked against what the model takes.

    Raises: InputError for data that is no text, a model without a tokenizer, and tokens that the model cannot take.
    """
    tokenizer = backbone.tokenizer
    if source.records is None:
        raise errors.InputError(
            f"Got {source.name!r} for the task {task.name!r}. Expected text: one of {sorted(data.TEXT_SOURCES)}. "
            "Correct train_data, or the task."
        )
    if tokenizer is None:
        raise errors.InputError(
            f"Got backbone {backbone.name!r} for the task {task.name!r}. Expected one of text. Use --backbone=hf:DIR."
        )
    if getattr(tokenizer, "needs_texts", False):  # of the user's own words; the first data is that to train on
        tokenizer.adapt([text for record in source.records for text in record["texts"]])
    max_length = config.data.sequence_length or tokenizer.max_length
    if max_length > tokenizer.max_length:
        raise errors.InputError(
            f"Got sequence_length={max_length}. Expected at most {tokenizer.max_length}, the positions of "
            f"{backbone.name!r}. Lower it, or leave it out."
        )
    with data.Progress(f"Tokenising {source.name}", "texts", source.num_examples) as told:
        table = task.tokenize(source, _Told(tokenizer, told), max_length=max_length)
    size = vocabulary_size(backbone)
    found = token_table.check_tokens(table, source, vocabulary_size=size, max_length=tokenizer.max_length)
    token_table.raise_if_bad(found)
    return table


class _Told:
    """A tokenizer that tells how many texts it has seen."""

    def __init__(self, tokenizer: Any, progress: data.Progress):
        self._tokenizer, self._progress, self._count = tokenizer, progress, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tokenizer, name)

    def encode(self, texts: Sequence[str], **arguments: Any) -> Any:
        encoded = self._tokenizer.encode(texts, **arguments)
        self._count += len(texts)
        self._progress.update(self._count, at_once=True)
        return encoded


def vocabulary_size(backbone: models.Backbone) -> int:
    """The rows of the model's table of token embeddings; of the tokenizer where the model has no such table."""
    sizes = [
        weight.shape[0]
        for weight in backbone.model.weights
        if re.search(r"token_embedding/embeddings|embeddings?/token_embedding", weight.path) and len(weight.shape) == 2
    ]
    return int(sizes[0]) if sizes else backbone.tokenizer.vocabulary_size


def make_batches(
    config: RunConfig,
    backbone: models.Backbone,
    table: token_table.TokenTable,
    source: data.Source,
    *,
    train: bool = False,
    xla: bool = False,
    num_replicas: int = 1,
) -> tf.data.Dataset:
    """Batches by length, of few lengths with XLA; by the number of tokens only in training."""
    return data.token_batches(
        table,
        pad_id=backbone.tokenizer.pad_id,
        global_batch_size=config.run.global_batch_size,
        seed=config.run.seed,
        shuffle=train,
        static_lengths=batch_plan.static_lengths(table.lengths) if xla and table.num_rows else (),
        tokens_per_batch=config.data.tokens_per_batch if train else 0,
        sampling=config.data.sampling if train else "all",
        multiple_of=num_replicas,
        inputs=[name for name in data.TOKEN_INPUTS if name in backbone.model.input],
        source=source,
    )


def lengths(role: str, batches: tf.data.Dataset) -> dict[str, Any]:
    """A row of the report: how long the texts of a source are, and how much of the batches is padding."""
    table, plan = batches.table, batches.plan
    shapes = sorted(plan.shapes())
    return {
        "data": role,
        "rows": table.num_rows,
        "tokens, median": int(np.median(table.lengths)),
        "95 percent": int(np.quantile(table.lengths, 0.95)),
        "longest": int(table.lengths.max()),
        "truncated": table.num_truncated,
        "padding": round(plan.padding(), 4),
        "batch lengths": ", ".join(str(length) for length in plan.static_lengths) or "any",
        "shapes": len(shapes) if plan.static_lengths else None,
    }


def truncation_warnings(role: str, batches: tf.data.Dataset) -> list[str]:
    """A warning where more than 5 percent of the texts lose tokens."""
    table = batches.table
    num_records = len(np.unique(table.record))
    if table.num_truncated <= MUCH_TRUNCATED * num_records:
        return []
    share = table.num_truncated / num_records
    return [
        f"{role}: Got {table.num_truncated} texts ({share:.1%}) that lose tokens at the end, as they have more than "
        f"{table.lengths.max()}. Expected at most 5 percent. Raise sequence_length, or shorten them."
    ]
