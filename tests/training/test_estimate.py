import pytest

from kft import training
from kft.duration import Duration
from kft.trainable import Phase
from kft.training import estimates as estimate
from tests.training.prefix_models import BLOCKS, compile_model, image_batches, residual_model


def test_seconds_follow_what_is_computed_how_often(monkeypatch):
    """With a forward pass of 1 s, 3 batches an epoch, and all the work in the head's share known in closed form."""
    monkeypatch.setattr(estimate, "_measure", lambda *_: (0.5, 1.0))
    model, data = compile_model(residual_model()), image_batches()
    phases = [
        (0, 4, Phase(Duration(0, "epochs"), BLOCKS)),
        (4, 6, Phase(Duration(4, "epochs"), BLOCKS[-1:])),
    ]
    everything, head = training.estimate(model, data, phases, cache=False)
    assert everything.seconds == pytest.approx(4 * 3 * (0.5 + 3 * 1.0), rel=0.01)
    assert 2 * 3 * 1.5 < head.seconds < 2 * 3 * 1.6
    stored = training.estimate(model, data, phases, cache=True)
    assert stored[0].seconds == everything.seconds and stored[0].stored_bytes == 0
    assert 3 * 1.5 < stored[1].seconds < 3 * 1.6
    assert stored[1].stored_bytes == 22 * 8 * 4
    assert head.memory_bytes < everything.memory_bytes


def test_the_machine_is_measured():
    reading, forward = estimate._measure(compile_model(residual_model()), image_batches())
    assert 0 < reading < 60 and 0 < forward < 60
