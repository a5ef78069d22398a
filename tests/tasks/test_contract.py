"""What every task must do."""

import json

import keras
import numpy as np
import pytest

from kft import errors
from kft.models import Features
from kft.tasks import OPTIONS, TASKS, make_task
from tests.tasks.sources import text_source, texts
from tests.tasks.tokenizers import PieceTokenizer

LABELS = ("a", "b", "c", "d", "e", "f", "g")


CASES = [
    *((name, {}) for name in TASKS),
    ("text_classification", {"multi_label": True}),
    ("image_classification", {"multi_label": True}),
    ("regression", {"images": True}),
]
WITHOUT_LABELS = ("question_answering", "regression")


def label_names(name):
    return () if name in WITHOUT_LABELS else LABELS


def labelled(name, options):
    """Two examples, and what the loss is to be given for them where that is one value each."""
    labels, targets, records = np.array([-1, -1]), None, texts("x", "y z")
    if name == "token_classification":
        records = [{"words": ["x"], "tags": ["a"]}, {"words": ["y", "z"], "tags": ["b", "c"]}]
    elif name == "question_answering":
        answers = [(0, "y")]
        records = [{"id": key, "question": "x?", "context": "y z", "answers": answers} for key in "pq"]
    elif name == "regression":
        targets = np.array([0.5, 2], "float32")
    elif options.get("multi_label"):
        targets = np.eye(2, len(LABELS), dtype="float32")
    else:
        labels = np.array([0, 1])
    return text_source(records, labels=labels, targets=targets, label_names=label_names(name))


@pytest.mark.parametrize(("name", "options"), CASES)
def test_all_parts_fit_each_other(name, options):
    task = make_task(name, label_names=label_names(name), head_dropout=0.1, head_hidden_units="5", **options)
    assert task.name == name
    assert task.label_names == label_names(name)
    source = labelled(name, options)
    table = task.tokenize and task.tokenize(source, PieceTokenizer(), max_length=16)
    model, x = head_model(task, table)
    assert [name for name in (layer.name for layer in model.layers) if name.startswith("head")][:4] == [
        "head_dropout",
        "head_hidden",
        "head_hidden_dropout",
        "head",
    ]
    logits = model(x)
    y, weight, flat = one_batch(task, table, source, np.asarray(logits))
    loss = task.loss.call(y, logits)
    assert loss.shape == weight.shape
    assert np.isfinite(loss).all()
    metrics = task.metrics()
    for metric in metrics:
        metric.update_state(y[weight > 0], np.asarray(logits)[weight > 0])
        assert np.isfinite(metric.result())
    assert not {id(metric) for metric in metrics} & {id(metric) for metric in task.metrics()}
    logs = ["loss", *(metric.name for metric in metrics), *task.score_names]
    assert task.monitor.removeprefix("val_") in logs
    assert task.monitor_mode in ("min", "max")
    predictions = task.decode(flat, table, source)
    assert len(predictions) == 2
    json.dumps(predictions, allow_nan=False)
    scores = task.corpus_scores(predictions, task.references(source))
    assert tuple(scores) == task.score_names
    assert all(isinstance(score, float) for score in scores.values())
    if task.calibrate:
        calibration = json.loads(json.dumps(task.calibrate(predictions, task.references(source))))
        again = task.calibrated(calibration).decode(flat, table, source)
        assert [row.keys() for row in again] == [row.keys() for row in predictions]


def head_model(task, table):
    """The head on inputs of its own, and two examples of them."""
    if not task.per_token:
        pooled = keras.Input((3,))
        return keras.Model(pooled, task.head(Features(pooled))), np.ones((2, 3), "float32")
    sequence, mask = keras.Input((None, 3)), keras.Input((None,), dtype="int32")
    logits = task.head(Features(None, sequence, mask))
    length = table.lengths.max()
    present = (np.arange(length) < table.lengths[:, None]).astype("int32")
    return keras.Model([sequence, mask], logits), [np.ones((2, length, 3), "float32"), present]


def one_batch(task, table, source, logits):
    """What the loss is given for all rows as one batch: labels, weights; and the logits as `decode` takes them."""
    if not task.per_token:
        targets = source.labels if source.targets is None else source.targets
        return targets if table is None else table.targets, np.ones(2), logits
    present = np.arange(table.lengths.max()) < table.lengths[:, None]
    if not table.per_token:
        return table.targets, np.ones(2), logits[present]
    y = np.full(present.shape, -1)
    y[present] = table.targets
    return y, (y >= 0).astype("float32"), logits[present]


@pytest.mark.parametrize(("name", "options"), CASES)
def test_loss_survives_a_config_round_trip(name, options):
    if "label_smoothing" in OPTIONS[name]:
        options = {"label_smoothing": 0.3, "focal_gamma": 2.0, "class_weights": {"a": 2}, **options}
    task = make_task(name, label_names=label_names(name), **options)
    again = keras.losses.deserialize(keras.losses.serialize(task.loss))
    assert again.get_config() == task.loss.get_config()


def test_near_names_are_told():
    with pytest.raises(errors.InputError, match="Did you mean 'image_classification'"):
        make_task("image_clasification", label_names=LABELS)


@pytest.mark.parametrize("name", TASKS)
def test_an_option_that_the_task_does_not_have(name):
    assert set(OPTIONS) == set(TASKS)
    with pytest.raises(errors.InputError, match=f"option of {name} 'head_dropuot'.*Did you mean 'head_dropout'"):
        make_task(name, label_names=label_names(name), head_dropuot=0.1)
