"""One finished run, which the tests of this room look at from all sides."""

import contextlib
import dataclasses
import io
import pathlib
from typing import Any

import keras
import pytest

from kft import training
from kft.run import RunConfig, from_flat, scoring, train_and_evaluate
from tests.run import digit_photos

TINY = {
    "backbone": "python:tests.run.tiny_models:make@features",
    "backbone_weights": "none",
    "augmentation": ("crop",),
    "global_batch_size": 16,
}


@dataclasses.dataclass(frozen=True)
class Finished:
    """A run, what it printed, and what was seen while it ran: weights by path and logs of each epoch."""

    config: RunConfig
    workdir: pathlib.Path
    result: dict[str, Any]
    printed: str
    before: dict[str, Any]
    weights: list[dict[str, Any]]
    logs: list[dict[str, float]]
    num_scored: int


class Watch(keras.callbacks.Callback):
    """Keeps a copy of all weights before the first step and after each epoch."""

    def __init__(self):
        super().__init__()
        self.weights, self.logs = [], []

    def snapshot(self):
        return {variable.path: variable.numpy() for variable in self.model.weights}

    def on_train_begin(self, logs=None):
        self.before = self.snapshot()

    def on_epoch_end(self, epoch, logs=None):
        self.weights.append(self.snapshot())
        self.logs.append(dict(logs))


def watched_run(config: RunConfig, workdir: pathlib.Path) -> Finished:
    """Runs and looks on, from within `fine_tune` and `score`."""
    watch, scored, printed = Watch(), [], io.StringIO()
    fine_tune, score = training.fine_tune, scoring.score

    def watched_fine_tune(*args, callbacks, **kwargs):
        return fine_tune(*args, callbacks=[watch, *callbacks], **kwargs)

    def watched_score(model, batches, **given):
        scored.append(batches)
        return score(model, batches, **given)

    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(printed):
        patch.setattr(training, "fine_tune", watched_fine_tune)
        patch.setattr(scoring, "score", watched_score)
        result = train_and_evaluate(config, workdir)
    return Finished(
        config, workdir, result, printed.getvalue(), watch.before, watch.weights, watch.logs, len(scored)
    )  # fmt: skip


@pytest.fixture(scope="session")
def photos(tmp_path_factory) -> dict[str, str]:
    """Settings of training, evaluation and test data: real digits of 5 classes as PNG files."""
    return digit_photos.write_parts(tmp_path_factory.mktemp("photos"))


@pytest.fixture(scope="session")
def tiny(photos) -> dict[str, Any]:
    """Settings of a run that takes seconds."""
    return {**photos, **TINY}


@pytest.fixture(scope="session")
def finished(tiny, tmp_path_factory) -> Finished:
    """Two epochs of the head and four of everything; no dropout, so that two replicas give the same."""
    settings = {"length": "6 epochs", "trainable": "lp_ft(2 epochs)", "learning_rate": 2e-2, "head_dropout": 0.0}
    config = from_flat({**tiny, **settings, "seed": 3})
    return watched_run(config, tmp_path_factory.mktemp("runs") / "finished")
