"""Steps are timed without a trace in the model."""

import numpy as np
import pytest

from kft import optimizers
from kft.training import time_step, use_mixout, variables_sha256
from tests.training.models import crossentropy, examples, make_model, padded


@pytest.mark.parametrize("xla", [False, True])
def test_the_digest_is_the_same_before_and_after(xla):
    """With dropout's seeds, statistics of BatchNorm that move, mixout's seed, and a phase that is not traced yet."""
    model = make_model(dropout=0.5, batchnorm="train")
    use_mixout(model, 0.3)
    optimizer = optimizers.make_optimizer("adam", learning_rate=0.1)
    model.compile(optimizer, crossentropy(), metrics=["accuracy"])
    data = padded(*examples(24), 8)
    model.fit(data, verbose=0)
    model.set_trainable(["head/.*"])
    state = [*model.variables, *optimizer.variables]
    before = variables_sha256(state)
    timing = time_step(model, next(iter(data)), xla=xla)
    assert variables_sha256(state) == before
    assert timing.first_seconds > timing.seconds > 0
    model.fit(data, verbose=0)
    assert variables_sha256(state) != before


def test_what_is_trained_afterwards_does_not_depend_on_it():
    weights = []
    for timed in (False, True):
        model = make_model(dropout=0.5)
        model.compile(optimizers.make_optimizer("adam", learning_rate=0.1), crossentropy())
        if timed:
            time_step(model, next(iter(padded(*examples(8), 8))), xla=False)
        model.fit(padded(*examples(24), 8), verbose=0)
        weights.append(model.get_weights())
    for first, second in zip(*weights, strict=True):
        np.testing.assert_array_equal(first, second)
