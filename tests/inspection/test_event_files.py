"""R26: after a resume TensorBoard shows one line: each (tag, step) once, none missing, the same values."""

import contextlib

import keras
import numpy as np
import pytest

from kft import inspection, optimizers, schedules
from kft.inspection import event_files
from kft.inspection.event_writer import EventWriter
from kft.training import Checkpoint, fine_tune
from tests.inspection.test_tensorboard import events
from tests.training.models import crossentropy, make_model
from tests.training.test_checkpoint import StopAfter, Stopped, batches

OF_THE_PROCESS = ("training/examples_per_second", "training/waiting_for_data", "memory/process_gib", "config")


def run(folder, stop_after=None):
    keras.backend.clear_session()
    model = make_model(dropout=0.3)
    rate = schedules.make_schedule("cosine", learning_rate=0.05, total_steps=12)
    model.compile(optimizers.make_optimizer("adam", learning_rate=rate), crossentropy(), metrics=["accuracy"])
    callbacks = [
        inspection.TensorBoard(folder / "logs", config={"seed": 3}, every_steps=2),
        Checkpoint(folder / "checkpoints", every="1 steps"),
    ]
    if stop_after is not None:
        callbacks.append(StopAfter(stop_after))
    with contextlib.suppress(Stopped):
        fine_tune(
            model,
            batches(),
            "lp_ft(1 epochs)",
            epochs=4,
            validation_data=batches(False),
            callbacks=callbacks,
            verbose=0,
        )
    return events(folder / "logs")


@pytest.mark.parametrize("stops", [(1,), (4, 2), (6,), (11,)])
def test_a_run_that_goes_on_has_one_line_without_a_gap(stops, tmp_path):
    whole = run(tmp_path / "whole")
    for stop in stops:
        run(tmp_path / "parts", stop)
    parts = run(tmp_path / "parts")
    assert parts.keys() == whole.keys()
    for tag, points in whole.items():
        steps = [step for step, _ in parts[tag]]
        assert steps == [step for step, _ in points], tag
        if tag[1] not in OF_THE_PROCESS:
            np.testing.assert_array_equal([value for _, value in parts[tag]], [value for _, value in points], str(tag))


def test_what_was_written_after_the_restored_step_is_gone(tmp_path):
    """Killed between the points of an epoch's end and its checkpoint."""
    run(tmp_path, 5)
    newest = sorted((tmp_path / "checkpoints").iterdir())[-1]
    writer = EventWriter(tmp_path / "logs")
    writer.scalar("train", "metrics/loss", 7.0, 5)
    writer.scalar("train", "late", 7.0, 6)
    writer.flush()
    assert events(tmp_path / "logs")["train", "metrics/loss"][-1] == (5, 7.0)
    assert newest.name == "step_000000000005"
    found = run(tmp_path)
    assert ("train", "late") not in found
    assert [step for step, _ in found["train", "metrics/loss"]] == [3, 6, 9, 12]


def test_a_file_cut_off_in_a_record_loses_that_record_alone(tmp_path):
    (tmp_path / "train").mkdir()
    file = tmp_path / "train" / "events.out.tfevents.1"
    run(tmp_path / "run")
    content = next((tmp_path / "run" / "logs" / "train").iterdir()).read_bytes()
    records = list(event_files.records(content))
    assert b"".join(records) == content
    file.write_bytes(content[:-3])
    assert list(event_files.records(file.read_bytes())) == records[:-1]
