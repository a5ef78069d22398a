"""A stranger's data set in plain `fit`: exact where its iterator can be saved, and said where it cannot."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from kft import errors, optimizers
from kft.training import Checkpoint, variables_sha256
from tests.training.models import crossentropy, examples, make_model
from tests.training.test_checkpoint import StopAfter, Stopped

STEPS = 6


def shuffled(count=24):
    x, y = examples(count)
    dataset = tf.data.Dataset.from_tensor_slices((x, y)).shuffle(count, seed=4)
    return dataset.map(lambda x, y: (x * 1.5, y), num_parallel_calls=2).batch(4).prefetch(2)


def stateful():
    return shuffled().map(lambda x, y: (x + tf.random.normal(tf.shape(x)), y))


def run(folder, make=shuffled, stop_after=None, early=False, epochs=3, **fit):
    keras.backend.clear_session()
    tf.random.set_seed(0)
    model = make_model(dropout=0.3)
    model.compile(optimizers.make_optimizer("adam", learning_rate=0.05), crossentropy(), metrics=["accuracy"])
    callbacks = [Checkpoint(folder, every="1 steps")]
    if early:
        callbacks.insert(0, keras.callbacks.EarlyStopping("loss", mode="max", patience=2, restore_best_weights=True))
    if stop_after:
        callbacks.append(StopAfter(stop_after))
    try:
        history = model.fit(make(), epochs=epochs, verbose=0, callbacks=callbacks, **fit)
    except Stopped:
        return None
    return variables_sha256([*model.variables, *model.optimizer.variables]), history.history["loss"][-1]


@pytest.mark.parametrize("stop_after", [1, 5, 6, 14, 17])
def test_an_iterator_that_can_be_saved_goes_on_to_the_bit(stop_after, tmp_path):
    whole = run(tmp_path / "whole")
    assert run(tmp_path / "parts", stop_after=stop_after) is None
    assert run(tmp_path / "parts") == whole


def test_an_endless_stream_needs_the_steps_of_an_epoch(tmp_path):
    endless = lambda: shuffled().repeat()  # noqa: E731
    with pytest.raises(errors.InputError, match="Give steps_per_epoch"):
        run(tmp_path / "none", endless)
    whole = run(tmp_path / "whole", endless, steps_per_epoch=4)
    assert run(tmp_path / "parts", endless, stop_after=6, steps_per_epoch=4) is None
    assert run(tmp_path / "parts", endless, steps_per_epoch=4) == whole


def test_a_stateful_pipeline_is_saved_at_the_ends_of_epochs_and_that_is_said(tmp_path, capsys):
    assert run(tmp_path, stateful, stop_after=STEPS + 3) is None
    assert "the position in this data cannot be saved" in capsys.readouterr().out
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["step_000000000000", "step_000000000006"]
    assert run(tmp_path, stateful) is not None


def test_arrays_are_saved_at_the_ends_of_epochs(tmp_path, capsys):
    x, y = examples(24)
    model = make_model()
    model.compile(optimizers.make_optimizer("adam", learning_rate=0.05), crossentropy())
    model.fit(x, y, epochs=2, batch_size=4, verbose=0, callbacks=[Checkpoint(tmp_path, every="1 steps")])
    assert "it is no tf.data.Dataset" in capsys.readouterr().out
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step_000000000006", "step_000000000012"]


@pytest.mark.parametrize("stop_after", [7, 15])
def test_early_stopping_of_keras_stops_where_it_would_have(stop_after, tmp_path):
    """The loss falls, so with mode "max" the first epoch is the best: patience of 2 ends with epoch 3 of 6."""
    whole = run(tmp_path / "whole", early=True, epochs=6)
    assert run(tmp_path / "parts", early=True, epochs=6, stop_after=stop_after) is None
    assert run(tmp_path / "parts", early=True, epochs=6) == whole


def test_a_plain_keras_model_is_refused_with_the_remedy(tmp_path):
    model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(3)])
    model.compile("sgd", crossentropy())
    with pytest.raises(errors.InputError, match="Use kft.training.FineTuneModel"):
        model.fit(shuffled(), epochs=1, verbose=0, callbacks=[Checkpoint(tmp_path)])


def test_data_of_another_kind_is_refused(tmp_path):
    run(tmp_path, stop_after=4)
    with pytest.raises(errors.InputError, match="state of a data set"):
        run(tmp_path, stateful)


def test_the_state_is_as_small_as_what_is_read_ahead(tmp_path):
    run(tmp_path)
    newest = sorted(tmp_path.iterdir())[-1]
    assert 0 < sum(file.stat().st_size for file in newest.glob("stream*")) < 100_000
    assert np.all([file.stat().st_size for file in newest.iterdir()])
