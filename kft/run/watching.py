"""What looks on while a run trains: TensorBoard, and the line in the terminal."""

import pathlib
from typing import Any

import tensorflow as tf

from kft import inspection
from kft.run import description, setup
from kft.run.config import RunConfig, flat

_ALWAYS_COMPARED = ("backbone", "learning_rate", "global_batch_size", "trainable", "seed")
_NEVER_COMPARED = ("workdir", "resume")


def tensorboard(
    config: RunConfig,
    run: setup.Setup,
    workdir: pathlib.Path,
    sources: setup.Sources,
    evaluation: tf.data.Dataset,
    *,
    pictures: dict[str, pathlib.Path],
) -> inspection.TensorBoard:
    """The callback of a run, with everything that it can show."""
    tokenizer = run.backbone.tokenizer
    return inspection.TensorBoard(
        workdir / "tensorboard",
        config=flat(config),
        pictures=pictures,
        texts={"variables": description.variable_table(run), "data": sources.report.text()},
        hparams=_compared(config),
        train_data=run.batches,
        eval_data=evaluation,
        embeddings=config.run.embeddings,
        histograms=config.run.histograms,
        profile_steps=config.run.profile_steps,
        token_name=getattr(tokenizer, "token", None),
    )


def live_line(run: setup.Setup, verbose: int) -> list[inspection.LiveLine]:
    """The line in the terminal; none with verbose 0, and one for each epoch with 2."""
    if not verbose:
        return []
    return [
        inspection.LiveLine(
            epochs=run.epochs,
            steps_per_epoch=run.batches.steps_per_epoch,
            num_examples=run.batches.num_examples,
            alive=False if verbose == 2 else None,
        )
    ]


def _compared(config: RunConfig) -> dict[str, Any]:
    """The settings that are not the default, and a few that one always wants to see."""
    default = flat(RunConfig())
    return {
        name: value
        for name, value in flat(config).items()
        if name not in _NEVER_COMPARED and (value != default[name] or name in _ALWAYS_COMPARED)
    }
