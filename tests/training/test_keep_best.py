"""KeepBest: which epoch is the best, when a training stops, and what is left at its end."""

import math

import keras
import numpy as np
import pytest

from kft import errors
from kft.training import KeepBest


def play(values, **arguments):
    """Plays epochs with these values of "m" to a model whose only weight is the number of the epoch.

    Returns: the callback, the number of epochs that ran, and the weight at the end.
    """
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, use_bias=False)])
    model.stop_training = False
    keep = KeepBest("m", **arguments)
    keep.set_model(model)
    keep.on_train_begin()
    epochs = 0
    for epoch, value in enumerate(values):
        model.layers[0].kernel.assign([[float(epoch)]])
        keep.on_epoch_end(epoch, {"m": value, "loss": 0.0})
        epochs += 1
        if model.stop_training:
            break
    keep.on_train_end()
    return keep, epochs, float(model.layers[0].kernel.numpy()[0, 0])


@pytest.mark.parametrize(
    ("values", "mode", "best"),
    [
        ([0.1, 0.3, 0.2], "max", 1),
        ([0.1, 0.3, 0.2], "min", 0),
        ([0.3, 0.3, 0.3], "max", 0),
        ([0.3, 0.3, 0.3], "min", 0),
        ([math.nan, 0.1, math.nan], "max", 1),
        ([0.1, math.nan], "min", 0),
        ([-math.inf, 0.0], "max", 1),
    ],
)
def test_the_first_of_the_best_epochs_is_kept(values, mode, best):
    keep, _, weight = play(values, mode=mode)
    assert (keep.best_epoch, keep.best_value, weight) == (best, values[best], best)


def test_where_no_value_is_a_number_the_last_weights_stay():
    keep, _, weight = play([math.nan, math.nan])
    assert (keep.best_epoch, weight) == (None, 1)


def test_without_restore_the_last_weights_stay_and_the_best_epoch_is_known():
    keep, _, weight = play([0.3, 0.1, 0.2], restore=False)
    assert (keep.best_epoch, weight) == (0, 2)


@pytest.mark.parametrize(
    ("patience", "start", "epochs"),
    [
        (0, 0, 6),  # never
        (2, 0, 4),  # best is epoch index 1, then 2 without a better one
        (2, 3, 6),  # patience counts from index 3: indices 4 and 5
        (1, 3, 5),
        (1, 0, 3),
    ],
)
def test_patience_counts_from_the_best_epoch_or_from_a_later_start(patience, start, epochs):
    keep, ran, weight = play([0.1, 0.5, 0.4, 0.4, 0.4, 0.4], patience=patience, patience_from_epoch=start)
    assert (ran, keep.best_epoch, weight) == (epochs, 1, 1)


def test_a_better_epoch_starts_patience_anew():
    assert play([0.1, 0.0, 0.2, 0.0, 0.3, 0.0, 0.0, 0.9], patience=2)[1] == 7


def test_a_training_that_gives_no_number_stops_too():
    assert play([math.nan] * 9, patience=3)[1] == 4


def test_a_second_training_starts_anew():
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    keep = KeepBest("m")
    keep.set_model(model)
    for value in (0.9, 0.1):
        keep.on_train_begin()
        keep.on_epoch_end(0, {"m": value})
    assert keep.best_value == 0.1


def test_moving_statistics_belong_to_the_kept_weights():
    model = keras.Sequential([keras.Input((2,)), keras.layers.BatchNormalization(name="norm")])
    keep = KeepBest("m")
    keep.set_model(model)
    keep.on_train_begin()
    for epoch, value in enumerate([0.9, 0.1]):
        model.get_layer("norm").moving_mean.assign([epoch, epoch])
        keep.on_epoch_end(epoch, {"m": value})
    keep.on_train_end()
    np.testing.assert_array_equal(model.get_layer("norm").moving_mean.numpy(), [0, 0])


def test_an_unknown_monitor_is_refused_with_the_nearest():
    keep = KeepBest("val_acuracy")
    keep.on_train_begin()
    with pytest.raises(errors.InputError, match="Did you mean 'val_accuracy'"):
        keep.on_epoch_end(0, {"val_accuracy": 1.0, "loss": 1.0})


def test_an_unknown_mode_is_refused():
    with pytest.raises(errors.InputError, match="mode"):
        KeepBest("m", mode="maximum")
