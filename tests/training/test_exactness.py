"""The result does not depend on where it was computed: processes, replicas, sizes of data, XLA."""

import functools
import subprocess
import sys

import keras
import numpy as np
import pytest

from kft import distribute, errors, optimizers
from kft.training import FineTuneModel
from tests.conftest import ROOT
from tests.training.models import crossentropy, examples, make_model, padded, values
from tests.training.test_replicas import batches, encoder

# The gradient of a step is a sum, whose last bit depends on its order. A rule that divides by the gradient's own size,
# or takes its sign, makes a difference of one part in 10**7 as large as a step where the gradient is near 0.
ATOL = 1e-6
RATES = {"adadelta": 0.1, "lars": 0.1, "lion": 1e-4, "ftrl": 1e-3}
OURS = [name for name in optimizers.OPTIMIZERS if optimizers.is_ours(name)]
KEPT_BY_KERAS = [name for name in optimizers.OPTIMIZERS if not optimizers.is_ours(name)]
KINDS = {
    "alone": {},
    "clipped": {"global_clipnorm": 0.1},
    "accumulated": {"accumulate_steps": 2},
    "averaged": {"use_ema": True, "ema_momentum": 0.8},
    "scaled": {"loss_scale_factor": "dynamic"},
    "all": {
        "global_clipnorm": 0.1, "accumulate_steps": 2, "use_ema": True, "ema_momentum": 0.8,
        "loss_scale_factor": "dynamic",
    },
}  # fmt: skip


def bag_of_words(strategy):
    """Embeddings and two layers: what has no direction in which the gradient is 0 but for rounding."""
    with strategy.scope():
        keras.utils.set_random_seed(1)
        tokens = keras.Input((7,), dtype="int32", name="tokens")
        mask = keras.Input((7,), dtype="int32", name="mask")
        x = keras.layers.Embedding(50, 8, name="embedding_token")(tokens)
        x = keras.ops.mean(x * keras.ops.cast(mask, "float32")[:, :, None], 1)
        x = keras.layers.Dense(8, activation="tanh", name="dense")(x)
        return FineTuneModel({"tokens": tokens, "mask": mask}, keras.layers.Dense(3, name="head")(x), blocks=(".*",))


@functools.cache
def twenty_steps(devices, name, kind):
    """35 examples: two full batches and one of 3, seven times."""
    strategy = distribute.make_strategy(*devices[:1], devices=list(devices[1:]) or None)
    model = bag_of_words(strategy)
    with strategy.scope():
        rule = optimizers.make_rule(name, learning_rate=RATES.get(name, 1e-3), options=KINDS[kind])
        model.compile(rule, crossentropy())
    model.fit(batches(35, 16), epochs=7, shuffle=False, verbose=0)
    return {path: np.asarray(value) for path, value in values(model.weights).items()}


CASES = [(name, kind) for name in ("momentum", "adamw") for kind in KINDS if kind != "all"]
CASES += [(name, kind) for name in OURS for kind in ("alone", "all")] + [(name, "alone") for name in KEPT_BY_KERAS]
QUICK = [("adamw", "all"), ("momentum", "alone")]


@pytest.mark.parametrize(
    ("name", "kind"), [case if case in QUICK else pytest.param(*case, marks=pytest.mark.slow) for case in CASES]
)
def test_two_replicas_train_as_one_device_does(mirrored_pair, name, kind):
    """R12."""
    two = twenty_steps(("mirrored", "CPU:0", "CPU:1"), name, kind)
    for path, value in twenty_steps(("one_device",), name, kind).items():
        np.testing.assert_allclose(two[path], value, rtol=0, atol=ATOL, err_msg=path)


COUNTS = (1, 2, 3, 15, 16, 17, 81, 90)
GRID = [(n, norm, xla) for n in COUNTS for norm in ("frozen", "train") for xla in (False, True)]


@pytest.mark.parametrize(
    ("count", "batchnorm", "xla"),
    [case if case in ((1, "train", False), (17, "frozen", True)) else pytest.param(*case, marks=pytest.mark.slow)
     for case in GRID],
)  # fmt: skip
def test_any_number_of_examples_on_two_replicas(mirrored_pair, count, batchnorm, xla):
    """R13: finite, and with BatchNorm frozen what one device gives."""
    results = []
    for strategy in (mirrored_pair, distribute.make_strategy("one_device")):
        model = make_model(strategy, batchnorm=batchnorm)
        with strategy.scope():
            rule = optimizers.make_optimizer("adamw", learning_rate=1e-2, clip_global_norm=1.0)
            model.compile(rule, crossentropy(), metrics=["accuracy"], jit_compile=xla)
        losses = model.fit(padded(*examples(count), 16), epochs=2, shuffle=False, verbose=0).history["loss"]
        results.append(values(model.weights) | {"loss": np.array(losses)})
        assert all(np.isfinite(np.asarray(value)).all() for value in results[-1].values())
        if batchnorm == "train":
            return
    for path, value in results[1].items():
        np.testing.assert_allclose(results[0][path], value, rtol=0, atol=ATOL, err_msg=path)


def fifty_steps(jit):
    strategy = distribute.make_strategy("one_device")
    model = encoder(strategy)
    rule = optimizers.make_optimizer("adamw", learning_rate=1e-3, weight_decay=0.01, clip_global_norm=1.0)
    model.compile(rule, crossentropy(), metrics=["accuracy"], jit_compile=jit)
    model.fit(batches(32, 16), epochs=25, shuffle=False, verbose=0)
    return values(model.weights)


@pytest.mark.slow
def test_compiled_steps_give_what_others_give():
    """R14: 50 steps of an encoder."""
    compiled = fifty_steps(True)
    for path, value in fifty_steps(False).items():
        distance = np.linalg.norm(compiled[path] - value) / np.linalg.norm(value)
        assert distance <= 1e-4, (path, distance)


@pytest.mark.parametrize("jit", [False, True])
def test_the_same_errors_compiled_or_not(jit):
    """R14: a feature that is not finite, and a rate that makes the weights overflow."""
    x, y = examples(24)
    x[17, 0] = np.inf
    model = make_model()
    model.compile(optimizers.make_optimizer("adam", learning_rate=0.1), crossentropy(), jit_compile=jit)
    with pytest.raises(errors.NonFiniteError, match="step 3.*the input"):
        model.fit(padded(x, y, 8), verbose=0)


DIGEST = """
import sys
import keras
from kft import optimizers
from kft.training import variables_sha256
from tests.training.models import crossentropy, examples, make_model, padded

model = make_model(dropout=0.3, batchnorm="train")
keras.utils.set_random_seed(3)
optimizer = optimizers.make_optimizer("adamw", learning_rate=0.01, clip_global_norm=1.0)
model.compile(optimizer, crossentropy(), metrics=["accuracy"], jit_compile=sys.argv[1] == "xla")
model.fit(padded(*examples(90), 16), epochs=3, verbose=0)
print("digest", variables_sha256([*model.variables, *optimizer.variables]))
"""


@pytest.mark.slow
@pytest.mark.parametrize("how", ["graph", "xla"])
def test_two_processes_give_the_same_bits(how):
    """R11."""
    command = [sys.executable, "-c", DIGEST, how]
    runs = [subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True) for _ in range(2)]
    digests = [line for run in runs for line in run.stdout.splitlines() if line.startswith("digest")]
    assert len(digests) == 2 and digests[0] == digests[1]


def with_synchronized(strategy, batchnorm, jit=False):
    model = make_model(strategy, batchnorm=batchnorm)
    with strategy.scope():
        rule = optimizers.make_optimizer("momentum", learning_rate=0.1, clip_global_norm=1.0)
        model.compile(rule, crossentropy(), jit_compile=jit)
    model.fit(padded(*examples(32), 16), epochs=5, shuffle=False, verbose=0)
    return values(model.weights)


def test_synchronized_statistics_are_those_of_the_whole_batch(mirrored_pair):
    """10 steps: moving statistics too; the variance is a difference of two means, which costs digits."""
    two = with_synchronized(mirrored_pair, "synchronized")
    for path, value in with_synchronized(distribute.make_strategy("one_device"), "train").items():
        np.testing.assert_allclose(two[path], value, rtol=0, atol=2e-5, err_msg=path)


def test_synchronized_statistics_and_xla_are_refused(mirrored_pair):
    with pytest.raises(errors.InputError, match="synchronized BatchNorm on several replicas with XLA"):
        with_synchronized(mirrored_pair, "synchronized", jit=True)
