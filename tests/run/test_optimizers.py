"""Every optimizer that `--optimizer` names: its run is described, and it trains."""

import numpy as np
import pytest

from kft import errors, optimizers
from kft.run import description, from_flat, setup


def make(tiny, **settings):
    config = from_flat({**tiny, "length": "1 epoch", "trainable": "all", **settings})
    sources = setup.load_sources(config)
    return config, sources, setup.make_setup(config, sources.train)


@pytest.mark.parametrize("name", optimizers.OPTIMIZERS)
def test_every_optimizer_trains(tiny, name):
    needed = {
        "adafactor": {"optimizer_options": "epsilon_1=1e-15"},
        "ftrl": {"warmup": "0 steps"},
    }  # docs/optimizers.md
    config, sources, run = make(tiny, optimizer=name, learning_rate=1e-2, **needed.get(name, {}))
    assert name in description.summary(config, sources, run)
    before = [variable.numpy() for variable in run.model.trainable_variables]
    history = run.model.fit(run.batches, verbose=0).history
    assert np.isfinite(history["loss"]).all()
    for variable, value in zip(run.model.trainable_variables, before):
        assert np.isfinite(variable.numpy()).all()
        assert np.abs(variable.numpy() - value).max() > 0, variable.path


def test_rates_at_start_middle_and_end_are_described(tiny):
    _, _, run = make(tiny, schedule="linear", warmup="0 steps", learning_rate=0.06, length="2 epochs")
    [phase] = description.phases(run)
    steps = phase["steps"]
    assert phase["learning rate"] == " .. ".join(
        f"{0.06 * (1 - step / steps):.3g}" for step in (0, steps // 2, steps - 1)
    )


def test_decay_to_the_start_is_for_what_is_pretrained_and_decays(tiny):
    _, _, run = make(tiny, decay_to_start=True, weight_decay=0.1)
    optimizer = run.model.optimizer
    optimizer.build(run.model.trainable_variables)
    starts = {v.path for v, start in zip(run.model.trainable_variables, optimizer.starts) if start is not None}
    assert starts and all(path.endswith("/kernel") and not path.startswith("head/") for path in starts)
    with pytest.raises(errors.InputError, match="decay_to_start"):
        make(tiny, optimizer="lion", decay_to_start=True)
