"""One call of `fit`: where it begins, what gives it its batches, and what a bad number ends in."""

import contextlib
import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import keras
import tensorflow as tf

from kft.data.order import epoch_order, pad
from kft.training import bad_numbers, checkpoint, stream, update_end


@dataclasses.dataclass
class Place:
    """Where a model is in its data, counted by the train function.

    Args:
      data: what `fit` was given, or what that was made from.
      steps_per_epoch: None where it is not known.
      first_epoch: of this `fit`.
      calls: of the train function in this `fit`, steps done before a resume included.
      steps_to_skip: calls that are still to return at once, as their steps were done before.
      restore_metrics: called at the first of these, when Keras has reset the metrics.
      iterator: read instead of the one that Keras makes.
      begins: whether `fit` has been called, and has not made its iterator yet.
      end_epoch: of this `fit`.
      group: steps that the next call of the train function does.
      steps: that it has done when hooks are called.
    """

    data: Any = None
    steps_per_epoch: int | None = None
    first_epoch: int = 0
    calls: int = 0
    steps_to_skip: int = 0
    restore_metrics: Callable[[], None] | None = None
    iterator: Any = None
    begins: bool = False
    end_epoch: int = 1
    group: int = 1
    steps: int = 1

    def steps_left(self) -> int | None:
        """Of this `fit`; None where the length of an epoch is not known."""
        if self.steps_per_epoch is None:
            return None
        return (self.end_epoch - self.first_epoch) * self.steps_per_epoch - self.calls

    def epoch_and_batch(self) -> tuple[int | None, int | None]:
        """Of the last call, from 0."""
        if not self.steps_per_epoch or not self.calls:
            return None, None
        epoch, batch = divmod(self.calls - 1, self.steps_per_epoch)
        return self.first_epoch + epoch, batch

    def names(self) -> list[str]:
        """What the examples of the last batch are called, row by row; empty where the data does not tell."""
        epoch, batch = self.epoch_and_batch()
        source, plan, size = (getattr(self.data, name, None) for name in ("source", "plan", "global_batch_size"))
        if epoch is None or source is None:
            return []
        if plan is not None:
            planned = plan.epoch(epoch)
            indices = planned.indices[batch][: planned.counts[batch]]
        else:
            order = epoch_order(source.num_examples, seed=self.data.seed, epoch=epoch, shuffle=self.data.shuffle)
            indices = pad(order, size)[0][batch * size : (batch + 1) * size]
        table = getattr(self.data, "table", None)  # of tokens, with several rows of a long text
        return [source.keys[index] for index in (indices if table is None else table.record[indices])]


def fit(model: Any, keras_fit: Callable[..., Any], x: Any, args: tuple, kwargs: dict[str, Any]) -> Any:
    """`keras.Model.fit` with what a FineTuneModel adds to it.

    Args:
      model: FineTuneModel.
      keras_fit: that of the base class.
      x, args, kwargs: as `fit` was given them.
    """
    shared = isinstance(kwargs.get("callbacks"), keras.callbacks.CallbackList)
    if shared:  # of fine_tune, which resumes and rolls back itself
        return _fit(model, keras_fit, x, args, kwargs, None)
    model.place.data = x
    callbacks = checkpoint.last(update_end.with_update_end(model.optimizer, kwargs.get("callbacks")))
    kwargs["callbacks"] = callbacks
    saved = checkpoint.checkpoint_of(callbacks)
    if saved is None:
        model.place.steps_to_skip = 0
        return _fit(model, keras_fit, x, args, kwargs, None)
    for callback in callbacks:
        callback.set_model(model)
    model.make_train_function()
    with saved.running(model):
        resumed = saved.resume(model, kwargs.get("initial_epoch", 0), callbacks)
        while True:
            try:
                return _fit(model, keras_fit, x, args, kwargs | {"initial_epoch": resumed}, saved)
            except bad_numbers.errors.NonFiniteError as error:
                resumed = saved.roll_back(model, error)


def _fit(model, keras_fit, x, args, kwargs, saved) -> Any:
    place = model.place
    place.first_epoch, place.iterator = kwargs.get("initial_epoch", 0), None
    place.steps_per_epoch = kwargs.get("steps_per_epoch") or getattr(x, "steps_per_epoch", None)
    place.calls, place.group, place.begins, place.end_epoch = 0, 1, True, kwargs.get("epochs", 1)
    from_epoch = getattr(x, "from_epoch", None)
    if from_epoch is not None:
        kwargs = {"steps_per_epoch": x.steps_per_epoch, "shuffle": False, **kwargs}
        x = from_epoch(place.first_epoch, place.steps_to_skip)
    elif saved is not None:
        source = stream.stream_of(x, model.distribute_strategy, kwargs.get("steps_per_epoch"))
        if saved.take_stream(source):
            place.steps_per_epoch, place.iterator = source.steps_per_epoch, source.iterator
            x, kwargs = stream.placeholder(), {**kwargs, "steps_per_epoch": source.steps_per_epoch}
    with bad_numbers_named(model, saved):
        return keras_fit(x, *args, **kwargs)


@contextlib.contextmanager
def bad_numbers_named(model: Any, saved: Any = None) -> Iterator[None]:
    """Turns the error of a step with NaN or Inf into one that names tensor and examples, in a file too."""
    model.watch.forget()
    try:
        yield
    except tf.errors.InvalidArgumentError as error:
        if bad_numbers.NOT_FINITE not in str(error):
            raise
        saved = saved or model.checkpoint
        epoch, batch = model.place.epoch_and_batch()
        found = bad_numbers.finding(
            model.watch.seen,
            replicas=model.distribute_strategy.num_replicas_in_sync,
            step=int(model.optimizer.iterations.numpy()) + 1,
            epoch=None if epoch is None else epoch + 1,
            batch=None if batch is None else batch + 1,
            names=model.place.names,
        )
        raise bad_numbers.error(found, () if saved is None else saved.note_bad_numbers(found)) from None
