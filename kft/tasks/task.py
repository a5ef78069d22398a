"""What every task gives to the training."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import keras

from kft.data.token_table import TokenTable
from kft.models.heads import Features


@dataclasses.dataclass(frozen=True)
class Task:
    """What is learned.

    A prediction is a dict, one for each example (image, text, sentence, question); its reference is what would have
    been right, as a person writes it: a label name, a list of tags, a list of answers.

    Args:
      name: as in the table.
      label_names: of the classes, in the order of the integer labels; () where there are none.
      head: Features -> logits; builds layers whose names start with "head", so call it once per model.
      loss: of (labels, logits); its `call` gives one value per example, or per token.
      metrics: makes fresh metrics of (labels, logits) at each call.
      monitor: the log by which the best epoch is chosen, such as "val_accuracy" or "val_" and the name of a score.
      monitor_mode: "max" or "min".
      decode: (logits, table=None, source=None) -> predictions, in the order of the source. Logits are (rows, outputs)
        in the order of the table; with per_token they are (total tokens, outputs), row after row without padding.
      references: source -> references, in its order.
      corpus_scores: (predictions, references) -> scores over all of them together.
      score_names: of what `corpus_scores` gives.
      tokenize: (source, tokenizer, *, max_length) -> TokenTable; None for images.
      per_token: whether there are logits for each token.
      calibrate: (predictions, references) -> what `calibrated` takes, such as the thresholds with the best scores; of
        data that is neither trained on nor reported. None where nothing can be chosen.
      calibrated: a dict of `calibrate` -> the task that decodes by it.
      calibration: the dict that it decodes by; None for none.
      official: predictions -> what the evaluation scripts of others read; None where there are none.
    """

    name: str
    label_names: tuple[str, ...]
    head: Callable[[Features], keras.KerasTensor]
    loss: keras.losses.Loss
    metrics: Callable[[], list[keras.metrics.Metric]]
    monitor: str
    monitor_mode: str
    decode: Callable[..., list[dict[str, Any]]]
    references: Callable[[Any], list[Any]]
    corpus_scores: Callable[[Sequence[dict[str, Any]], Sequence[Any]], dict[str, float]]
    score_names: tuple[str, ...]
    tokenize: Callable[..., TokenTable] | None = None
    per_token: bool = False
    calibrate: Callable[[Sequence[dict[str, Any]], Sequence[Any]], dict[str, Any]] | None = None
    calibrated: Callable[[dict[str, Any]], "Task"] | None = None
    calibration: dict[str, Any] | None = None
    official: Callable[[Sequence[dict[str, Any]]], Any] | None = None
