"""The scores over the whole evaluation data in the logs of each epoch."""

from typing import Any

import keras
import tensorflow as tf

from kft import data, tasks
from kft.run import scoring


def callbacks(
    task: tasks.Task, monitor: str, evaluation: tf.data.Dataset, source: data.Source
) -> list[keras.callbacks.Callback]:
    """What puts the scores into the logs, where they are needed in each epoch: for the monitor, and of tokens."""
    in_logs = [f"val_{metric.name}" for metric in task.metrics()]
    scored = task.per_token or (monitor not in in_logs and monitor in [f"val_{name}" for name in task.score_names])
    return [CorpusScores(task, evaluation, source)] if scored else []


class CorpusScores(keras.callbacks.Callback):
    """Puts the scores over the whole evaluation data into the logs of each epoch, as val_NAME.

    Args:
      task: whose scores they are.
      batches: of the evaluation data.
      source: of the same.
    """

    def __init__(self, task: tasks.Task, batches: tf.data.Dataset, source: data.Source):
        super().__init__()
        self.task, self.batches, self.source = task, batches, source
        self._references = task.references(source)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None):
        predictions = scoring.decoder(self.model, self.batches, self.source)(self.task)
        for name, score in self.task.corpus_scores(predictions, self._references).items():
            logs.setdefault(f"val_{name}", score)
