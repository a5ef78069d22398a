"""What every task must do."""

import keras
import numpy as np
import pytest

from kft import errors
from kft.models import Features
from kft.tasks import OPTIONS, TASKS, make_task
from tests.tasks.sources import text_source

LABELS = ("a", "b", "c", "d", "e", "f", "g")


@pytest.mark.parametrize("name", TASKS)
def test_head_loss_metrics_and_decoding_fit_each_other(name):
    task = make_task(name, label_names=LABELS, head_dropout=0.1, head_hidden_units="5", label_smoothing=0.1)
    assert task.name == name
    assert task.label_names == LABELS
    pooled = keras.Input((3,))
    model = keras.Model(pooled, task.head(Features(pooled)))
    assert [layer.name for layer in model.layers[1:]] == ["head_dropout", "head_hidden", "head_hidden_dropout", "head"]
    logits = model(np.ones((2, 3), "float32"))
    labels = np.array([0, 1])
    assert task.loss.call(labels, logits).shape == (2,)
    metrics = task.metrics()
    for metric in metrics:
        metric.update_state(labels, logits, sample_weight=[1, 0])
        assert np.isfinite(metric.result())
    assert not {id(metric) for metric in metrics} & {id(metric) for metric in task.metrics()}
    assert task.monitor.removeprefix("val_") in [metric.name for metric in metrics]
    assert task.monitor_mode in ("min", "max")
    source = text_source([], labels=labels, label_names=LABELS)
    predictions = task.decode(np.asarray(logits), None, source)
    scores = task.corpus_scores(predictions, task.references(source))
    assert tuple(scores) == task.score_names
    assert all(isinstance(score, float) for score in scores.values())


@pytest.mark.parametrize("name", TASKS)
def test_loss_survives_a_config_round_trip(name):
    task = make_task(name, label_names=LABELS, label_smoothing=0.3, focal_gamma=2.0, class_weights={"a": 2})
    again = keras.losses.deserialize(keras.losses.serialize(task.loss))
    assert again.get_config() == task.loss.get_config()


def test_near_names_are_told():
    with pytest.raises(errors.InputError, match="Did you mean 'image_classification'"):
        make_task("image_clasification", label_names=LABELS)


@pytest.mark.parametrize("name", TASKS)
def test_an_option_that_the_task_does_not_have(name):
    assert set(OPTIONS) == set(TASKS)
    with pytest.raises(errors.InputError, match=f"option of {name} 'head_dropuot'.*Did you mean 'head_dropout'"):
        make_task(name, label_names=LABELS, head_dropuot=0.1)
