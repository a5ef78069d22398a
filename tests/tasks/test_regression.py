"""Regression: what is read, written and refused."""

import numpy as np
import pytest

from kft import errors
from kft.tasks import make_task


def test_decoding_and_error():
    task = make_task("regression")
    assert task.decode(np.array([[0.5], [-2]])) == [{"value": 0.5}, {"value": -2.0}]
    [metric] = task.metrics()
    metric.update_state(np.array([1.0, 0.0], "float32"), np.array([[0.5], [-2]], "float32"))
    assert float(metric.result()) == 1.25


def test_label_names_are_refused():
    with pytest.raises(errors.InputError, match="numbers to learn"):
        make_task("regression", label_names="ab")
