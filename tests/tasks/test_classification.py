"""Metrics, decoding, class weights: the same for images and texts."""

import keras
import numpy as np
import pytest
from sklearn.utils.class_weight import compute_class_weight

from kft import errors
from kft.tasks import balanced_class_weights, make_task

CLASSIFICATIONS = ("image_classification", "text_classification")


@pytest.mark.parametrize("name", CLASSIFICATIONS)
@pytest.mark.parametrize(("num_classes", "names"), [(5, ["accuracy"]), (6, ["accuracy", "top_5_accuracy"])])
def test_top_5_only_for_more_than_5_classes(name, num_classes, names):
    task = make_task(name, label_names=[f"class {index}" for index in range(num_classes)])
    assert [metric.name for metric in task.metrics()] == names


def test_metrics_count_by_hand():
    task = make_task("image_classification", label_names="abcdef")
    accuracy, top_5 = task.metrics()
    logits = np.array([[5, 4, 3, 2, 1, 0]] * 3, "float32")
    for metric in (accuracy, top_5):
        metric.update_state(np.array([0, 4, 5]), logits)
    np.testing.assert_allclose([accuracy.result(), top_5.result()], [1 / 3, 2 / 3], rtol=1e-6)


def test_metrics_of_mixed_labels_go_by_the_largest_share():
    task = make_task("image_classification", label_names="abcdef")
    accuracy, top_5 = task.metrics()
    logits = np.array([[5, 4, 3, 2, 1, 0]] * 3, "float32")
    shares = np.array([[0.6, 0.4, 0, 0, 0, 0], [0.4, 0, 0, 0, 0.6, 0], [0.3, 0, 0, 0, 0, 0.7]], "float32")
    for metric in (accuracy, top_5):
        metric.update_state(shares, logits)
    np.testing.assert_allclose([accuracy.result(), top_5.result()], [1 / 3, 2 / 3], rtol=1e-6)


def test_decoding_names_the_label_and_all_probabilities():
    task = make_task("image_classification", label_names=["no", "yes"])
    (row,) = task.decode(np.array([[0.0, np.log(3)]]))
    assert row["label"] == "yes"
    assert row["probabilities"] == pytest.approx({"no": 0.25, "yes": 0.75})


@pytest.mark.parametrize("name", CLASSIFICATIONS)
@pytest.mark.parametrize("label_names", [(), ("one",), ("a", "b", "a")])
def test_label_names_must_be_two_or_more_and_different(name, label_names):
    with pytest.raises(errors.InputError, match="at least 2 classes"):
        make_task(name, label_names=label_names)


def test_the_loss_trains_in_plain_keras_fit():
    task = make_task("image_classification", label_names="abcde", label_smoothing=0.1)
    model = keras.Sequential([keras.Input((5,)), keras.layers.Dense(5)])
    model.compile(keras.optimizers.SGD(1.0), task.loss, metrics=task.metrics())
    history = model.fit(np.eye(5), np.arange(5), epochs=20, verbose=0).history
    assert history["loss"][-1] < history["loss"][0]
    assert history["accuracy"][-1] == 1


def test_class_weights_by_name_and_in_order():
    by_name = make_task("text_classification", label_names="abc", class_weights={"b": 2}).loss
    in_order = make_task("text_classification", label_names="abc", class_weights=[1, 2, 1]).loss
    assert by_name.class_weights == in_order.class_weights == (1, 2, 1)


@pytest.mark.parametrize(
    ("weights", "problem"),
    [({"colour": 2}, "Did you mean 'color'"), ([1], "2 numbers"), ([0, 0], "not all"), ([1, -1], ">= 0")],
)
def test_class_weights_that_do_not_fit(weights, problem):
    with pytest.raises(errors.InputError, match=problem):
        make_task("text_classification", label_names=["color", "shape"], class_weights=weights)


def test_balanced_weights_are_those_of_scikit_learn():
    labels = np.repeat([0, 1, 2], [7, 2, 31])
    expected = compute_class_weight("balanced", classes=np.arange(3), y=labels)
    assert balanced_class_weights({"a": 7, "b": 2, "c": 31}) == pytest.approx(expected)
    assert balanced_class_weights({"a": 6, "b": 0, "c": 2}) == pytest.approx((4 / 6, 1, 2))
