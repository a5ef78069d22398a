"""Strategies by name: the devices they take, and what they refuse."""

import numpy as np
import pytest
import tensorflow as tf

from kft import errors
from kft.distribute import STRATEGIES, make_strategy
from tests.training.models import crossentropy, examples, make_model, padded, values


def test_every_strategy_of_the_table_can_be_made():
    for name in set(STRATEGIES) - {"multi_worker", "tpu"}:  # which need other processes, and a TPU
        assert isinstance(make_strategy(name), tf.distribute.Strategy)


def test_one_device_is_the_default_strategy():
    assert make_strategy("one_device") is tf.distribute.get_strategy()


def test_one_device_can_be_chosen():
    strategy = make_strategy("one_device", devices=["CPU:1"])
    with strategy.scope():
        variable = tf.Variable(0.0)
    assert variable.device.endswith("CPU:1") and strategy.num_replicas_in_sync == 1


def test_mirrored_takes_all_devices_or_those_named():
    assert make_strategy("mirrored").num_replicas_in_sync == 2
    strategy = make_strategy("mirrored", devices=["CPU:1", "CPU:0"])
    assert [device[-5:] for device in strategy.extended.worker_devices] == ["CPU:1", "CPU:0"]


@pytest.mark.parametrize("num_examples", [1, 3, 10])
def test_few_and_uneven_examples_on_two_replicas_give_what_one_device_gives(num_examples):
    """One of the replicas has nothing but padding where there is one example."""
    results = []
    for strategy in (make_strategy("one_device"), make_strategy("mirrored")):
        model = make_model(strategy)
        with strategy.scope():
            model.compile("sgd", crossentropy(), metrics=["accuracy"])
        history = model.fit(padded(*examples(num_examples), 8), epochs=2, shuffle=False, verbose=0).history
        results.append((history, values(model.weights)))
    for name, expected in results[0][0].items():
        np.testing.assert_allclose(results[1][0][name], expected, rtol=1e-5, err_msg=name)
    for path, expected in results[0][1].items():
        np.testing.assert_allclose(results[1][1][path], expected, atol=1e-6, err_msg=path)


@pytest.mark.parametrize(
    ("name", "devices", "words"),
    [
        ("mirrord", None, "Did you mean 'mirrored'"),
        ("mirrored", ["CPU:0"], "Use 'one_device'"),
        ("mirrored", ["CPU:0", "GPU:7"], "GPU:7"),
        ("one_device", ["CPU:0", "CPU:1"], "Use 'mirrored'"),
        ("one_device", ["GPU:7"], "GPU:7"),
    ],
)
def test_what_cannot_be_is_refused_with_the_remedy(name, devices, words):
    with pytest.raises(errors.InputError, match=words):
        make_strategy(name, devices=devices)


@pytest.mark.parametrize(
    ("environment", "num_gpus", "devices", "name"),
    [
        ({}, 0, None, "one_device"),
        ({}, 2, None, "mirrored"),
        ({}, 2, ["GPU:1"], "one_device"),
        ({"TPU_NAME": "here"}, 0, None, "tpu"),
        ({"TF_CONFIG": '{"cluster": {"worker": ["a:1", "b:1"]}}'}, 2, None, "multi_worker"),
        ({"TF_CONFIG": '{"cluster": {"worker": ["a:1"]}}'}, 1, None, "one_device"),
        ({"SLURM_PROCID": "0", "SLURM_STEP_NUM_TASKS": "4"}, 1, None, "multi_worker"),
        ({"SLURM_PROCID": "0", "SLURM_STEP_NUM_TASKS": "1"}, 1, None, "one_device"),
    ],
)
def test_auto_takes_what_is_there(environment, num_gpus, devices, name):
    from kft.distribute.auto import choose

    assert choose(environment, lambda: num_gpus, devices) == name


def test_what_is_not_there_is_refused():
    with pytest.raises(errors.InputError, match="experiments.launch"):
        make_strategy("multi_worker")
    with pytest.raises(errors.InputError, match="Use 'one_device'"):
        make_strategy("tpu")
