"""The part of each epoch that waits for data, by a clock that the test turns."""

import types

from kft.run import stopwatch
from kft.training import measures


def test_waiting_is_a_part_of_each_epoch_without_evaluation(monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(stopwatch.time, "perf_counter", lambda: clock[0])
    watch = stopwatch.Stopwatch()
    model = types.SimpleNamespace(step_hooks=[], measures=measures.Measures())
    watch.set_model(model)
    watch.on_train_begin()
    for waited, whole in ((4.0, 8.0), (1.0, 5.0)):
        watch.on_epoch_begin(0)
        clock[0] += whole
        model.measures.waited.assign_add(waited)
        for hook in model.step_hooks:
            hook()
        watch.on_test_begin()
        clock[0] += 100.0
        watch.on_test_end()
        watch.on_epoch_end(0)
    assert watch.waiting == [0.5, 0.2]
    assert watch.first_step_seconds == 8.0 and not model.step_hooks
    assert watch.evaluation_seconds == 200.0
    assert watch.seconds == 113.0
