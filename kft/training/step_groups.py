"""Several steps between two returns to Python: how many, and what a group of them is computed by."""

import itertools
import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

import tensorflow as tf

from kft import distribute, errors
from kft.training import measures, step_parts

AUTO = 0
LONGEST_SECONDS = 1.0  # after which a group looks for signals and checkpoints by the clock
SLOW_STEP_SECONDS = 0.03  # Python's part of such a step is too small to be worth a second trace
SAVED_SECONDS = 0.001  # that a step can save at most, about
GROUP_SECONDS = 0.05  # that a group of its own choice takes, about
MOST = 256
WORTH = 0.95


class StepGroups:
    """How many steps a model trains in one call of its train function.

    A group is shorter than `size` where an epoch ends, where a checkpoint is due, where a callback with a step hook
    says so (`steps_until_look`), and within a resume. What is computed does not depend on it, to the last bit.

    Args:
      size: int >= 1; or AUTO for what is measured to be fastest while the first steps are done one by one.
    """

    def __init__(self, size: int = 1):
        if not (isinstance(size, int) and size >= 0):
            raise errors.InputError(
                f"Got steps_per_execution={size!r}. Expected a whole number >= 0. Use 1, or 0 to choose by measuring."
            )
        self.size = size
        self.decisions: list[dict[str, Any]] = []
        self._choice: int | None = None
        self._measuring: Iterator[int] | None = None

    def begin(self, model: Any) -> None:
        """For a new train function, which takes other times."""
        several = distribute.worker_of(model.distribute_strategy)[1] > 1
        if several and self.size > 1:
            raise errors.InputError(
                f"Got steps_per_execution={self.size} with several workers. Expected 1, as a worker has to be able to "
                "end where another one ends. Leave it at 1."
            )
        self._choice = self.size or (1 if several or model.run_eagerly else None)
        self._measuring = self._measure(model) if self._choice is None else None

    @property
    def several(self) -> bool:
        """Whether there will be groups of more than one step, as far as is known."""
        return (self._choice or 1) > 1

    def enumerate(self, model: Any, epoch_iterator: Any) -> None:
        """Makes an epoch of Keras' `fit` go from group to group, each with the numbers of its first and last step."""
        keras_enumerates = epoch_iterator._enumerate_iterator
        model.place.steps_per_epoch = model.place.steps_per_epoch or epoch_iterator.num_batches

        def groups():
            steps = keras_enumerates()
            for first, _, iterator in steps:
                left = (epoch_iterator.num_batches or first + 1) - first  # where that is not known, one by one
                model.place.group = self._next_size(model, first, left)
                last = first
                for _, last, _ in itertools.islice(steps, model.place.group - 1):  # noqa: B007
                    pass
                yield first, last, iterator

        epoch_iterator._enumerate_iterator = groups

    def _next_size(self, model, first, left):
        if model.place.steps_to_skip:
            return 1
        size = self._choice or next(self._measuring, 1)
        every = getattr(model.checkpoint, "every", None)
        if every is not None and every.unit == "steps":
            left = min(left, round(every.amount) - first % round(every.amount))
        for hook in model.step_hooks:
            left = min(left, getattr(getattr(hook, "__self__", None), "steps_until_look", left))
        return max(min(size, left), 1)

    def _measure(self, model) -> Iterator[int]:
        """Gives the size of each group until it has chosen one."""
        began = time.perf_counter()
        yield 1  # which is traced
        tracing = time.perf_counter() - began
        yield 1
        single = yield from _seconds_per_step(model, 1, 12)
        left = model.place.steps_left()
        if single > SLOW_STEP_SECONDS:
            return self._choose(1, f"a step takes {1e3 * single:.0f} ms, of which Python is a small part", single)
        if left is not None and left * min(single, SAVED_SECONDS) < tracing:
            return self._choose(1, "there are too few steps to make good for another trace", single)
        self._choice = None
        yield 8  # which is traced
        grouped = yield from _seconds_per_step(model, 8, 6)
        if grouped > WORTH * single:
            return self._choose(1, "groups of 8 were not faster", single, grouped)
        size = 2
        while size < MOST and 2 * size * grouped <= GROUP_SECONDS:
            size *= 2
        return self._choose(size, "groups of 8 were faster", single, grouped)

    def _choose(self, size, reason, single, grouped=None):
        self._choice = size
        self.decisions.append(
            {
                "steps_per_execution": size,
                "reason": reason,
                "ms_per_step_alone": round(1e3 * single, 3),
                "ms_per_step_in_groups_of_8": None if grouped is None else round(1e3 * grouped, 3),
            }
        )


def _seconds_per_step(model, size, count):
    """The median over so many groups of about that size, with all that happens between them."""
    seconds = []
    for _ in range(count):
        calls, began = model.place.calls, time.perf_counter()
        yield size
        model.optimizer.iterations.numpy()  # waits for the device
        seconds.append((time.perf_counter() - began) / max(model.place.calls - calls, 1))
    return statistics.median(seconds)


def group_function(model: Any, step: Callable[[Any], tf.Tensor], waited: tf.Variable | None) -> Callable[..., Any]:
    """The function of an iterator and a number of steps that runs them, or as many as go well and fit into the time.

    Args:
      model: compiled.
      step: of a batch, in replica context; whether its numbers are good.
      waited: see `measures.next_batch`.

    Returns: function (iterator, count) -> the metrics after the last step, and how many steps were done, a bad one
      included. When a step raises, `place.calls` counts it.
    """
    strategy, place = model.distribute_strategy, model.place
    with tf.init_scope(), tf.device("CPU:0"):
        begun = tf.Variable(0, dtype=tf.int64, trainable=False)

    def some_steps(iterator, count):
        began = tf.timestamp()

        def goes_on(done, good):
            in_time = (done == 0) | (tf.timestamp() - began < LONGEST_SECONDS)
            return (done < count) & good & in_time

        def one(done, good):
            with tf.control_dependencies([begun.assign(done + 1)]):
                data = measures.next_batch(iterator, waited)
            with strategy.scope():
                flags = strategy.experimental_local_results(strategy.run(step, args=(data,)))
            return done + 1, tf.reduce_all(tf.stack(flags))

        start = (tf.zeros([], tf.int64), tf.constant(True))
        done, _ = tf.while_loop(goes_on, one, start, parallel_iterations=1)
        with strategy.scope():
            return model.get_metrics_result(), done

    some_steps = step_parts.graph(some_steps)

    def function(iterator, count):
        if not step_parts.are_built(model):
            step_parts.build_losses_and_metrics(model, step_parts.replica_spec(iterator.element_spec))
        begun.assign(0)
        try:
            logs, done = some_steps(iterator, tf.constant(count, tf.int64))
        except tf.errors.OpError:
            place.calls += int(begun.numpy())
            raise
        place.calls += int(done)
        return logs, int(done)

    return function


def train_function(model: Any, step: Callable[[Any], tf.Tensor]) -> Callable[[Any], dict[str, tf.Tensor]]:
    """What `fit` calls for each group, and `train_on_batch` for its batch.

    Args:
      model: compiled.
      step: as of `group_function`.
    """
    groups, place, waited = model.groups, model.place, model.measures.waited
    groups.begin(model)

    def alone_step(data):
        step(data)

    alone = step_parts.step_function(model, alone_step, waited)
    several = None if model.run_eagerly else group_function(model, step, waited)

    def function(iterator):
        left, place.group = place.group, 1
        while left:
            if several is None or not (left > 1 or groups.several) or not step_parts.is_iterator(iterator):
                place.calls += 1
                logs, done = alone(iterator)[0], 1
            else:
                logs, done = several(iterator, left)
            left -= done
            place.steps = done
            model.watch.raise_error()
            for hook in model.step_hooks:
                hook()
        return logs

    return function
