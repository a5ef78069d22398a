"""What is stored on disk takes no memory beyond the budget."""

import json
import subprocess
import sys

import pytest

SCRIPT = """
import json, resource, sys
import keras, numpy as np
from kft import data, training
from kft.duration import Duration
from kft.trainable import Phase
from kft.training import frozen_prefix
from tests.training.prefix_models import compile_model, source_of

cache, budget, folder = sys.argv[1], int(sys.argv[2]), sys.argv[3]
frozen_prefix.FrozenPrefix._pays = lambda *_: lambda *_: True
keras.utils.set_random_seed(0)
inputs = keras.Input((64, 64, 2))
x = keras.layers.Conv2D(64, 3, padding="same", name="below")(inputs)  # 1 MiB for each example
x = keras.layers.Conv2D(8, 3, strides=4, name="above")(x)
outputs = keras.layers.Dense(3, name="head")(keras.layers.Flatten(name="flat")(x))
model = compile_model(training.FineTuneModel(inputs, outputs, blocks=("below/.*", "above/.*", "head/.*")))
images = np.random.RandomState(0).randn(640, 64, 64, 2).astype("float32")
batches = data.batches(
    source_of(images), encode=lambda raw, _: raw["x"], preprocess=lambda x: x, global_batch_size=16, shuffle=True
)
schedule = (Phase(Duration(0, "steps"), ("above/.*", "head/.*")),)
history = training.fine_tune(
    model, batches, schedule, epochs=3, verbose=0, cache=cache, cache_budget=budget, cache_folder=folder
)
print(json.dumps([resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024, history.cache]))
"""


def peak(cache, budget, folder):
    command = [sys.executable, "-c", SCRIPT, cache, str(budget), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.slow
def test_ten_times_the_budget_takes_no_more_memory_than_the_budget(tmp_path):
    budget = 64 * 2**20
    (without, _), (with_cache, decisions) = peak("off", budget, tmp_path), peak("exact", budget, tmp_path)
    assert decisions[0]["stored"] and decisions[0]["bytes"] == 10 * budget and "in disk" in decisions[0]["text"]
    print(f"peak memory: {without / 2**20:.0f} MiB without a cache, {with_cache / 2**20:.0f} MiB with one on disk")
    assert with_cache <= without + budget
