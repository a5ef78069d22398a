"""R25: many steps and checkpoints take no more and more memory, files or threads."""

import os
import pathlib
import threading

import keras
import numpy as np
import pytest

from kft import data, optimizers
from kft.training import Checkpoint
from tests.training.models import crossentropy, make_model

STEPS = 2000


def resident_bytes():
    pages = int(pathlib.Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def open_files():
    return len(os.listdir("/proc/self/fd"))


@pytest.mark.slow
@pytest.mark.skipif(not pathlib.Path("/proc/self/statm").exists(), reason="no /proc here to read memory from")
def test_memory_open_files_and_threads_stay_after_step_200(tmp_path):
    random = np.random.RandomState(0)
    source = data.from_arrays(random.randint(0, 256, (64, 2, 4, 1)).astype("uint8"), random.randint(0, 3, 64))
    batches = data.batches(
        source, encode=lambda raw, seed: raw["image"],
        preprocess=lambda images: keras.ops.reshape(keras.ops.cast(images, "float32") / 255.0, (-1, 8)),
        global_batch_size=8, seed=1, shuffle=True,
    )  # fmt: skip
    seen = []

    class Look(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            seen.append((resident_bytes(), open_files(), threading.active_count()))

    model = make_model(dropout=0.3)
    model.compile(optimizers.make_optimizer("adam", learning_rate=1e-3), crossentropy(), metrics=["accuracy"])
    epochs = STEPS // batches.steps_per_epoch
    callbacks = [Look(), Checkpoint(tmp_path, every="6 epochs")]  # 41 of them
    model.fit(batches, epochs=epochs, validation_data=batches, verbose=0, callbacks=callbacks)
    after = [rows for epoch, rows in enumerate(seen) if epoch * batches.steps_per_epoch >= 200]
    memory, files, threads = (np.array(column) for column in zip(*after, strict=True))
    assert memory.max() - memory[0] <= 50 * 2**20
    assert files.max() <= files[0] and threads.max() <= threads[0] + 1  # one writes, or not
