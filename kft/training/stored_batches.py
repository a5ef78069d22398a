"""Batches of stored activations, in the order that the data has in each epoch."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from kft.training import activation_store

_as_it_is = tf.autograph.experimental.do_not_convert  # rewriting Python takes longer than an epoch of a probe


class Layout:
    """Where the rows of each example are.

    Examples that differ in length are stored the shortest first, as batches of them waste least so; what is behind
    the end of an example is not stored.

    Args:
      data: of `kft.data.batches` or `kft.data.token_batches`.
      views: int >= 1.
    """

    def __init__(self, data: Any, views: int):
        self.lengths = data.plan.row_lengths
        self.views, self.num_examples = views, data.num_examples
        self.order = np.arange(data.num_examples)
        if self.lengths is not None:
            self.order = np.argsort(self.lengths, kind="stable")
        self._place = np.argsort(self.order, kind="stable")
        sizes = np.ones_like(self.order) if self.lengths is None else self.lengths[self.order]
        self._offsets = np.concatenate([[0], np.cumsum(sizes)])

    def num_rows(self, ragged: bool) -> int:
        """Of all views: one for each example, or one for each place within each example."""
        return self.views * int(self._offsets[-1] if ragged else self.num_examples)

    def rows(self, indices: np.ndarray, view: int, ragged: bool) -> tuple[np.ndarray, np.ndarray]:
        """The first row of each example in a view, and how many it has."""
        places = self._place[indices]
        if not ragged:
            return view * self.num_examples + places, np.ones_like(places)
        return view * self._offsets[-1] + self._offsets[places], self._offsets[places + 1] - self._offsets[places]


@dataclasses.dataclass(frozen=True)
class Stored:
    """One tensor of the graph, for every example.

    Args:
      rows: "value", and "mask" if the tensor has a Keras mask.
      dtypes: what the rows are given back in.
      ragged: whether there is a row for each place within an example, or one for each example.
      key: what the values depend on, hashed.
    """

    rows: dict[str, Any]
    dtypes: dict[str, tf.DType]
    ragged: bool
    key: str

    @property
    def size(self) -> int:
        """Bytes."""
        return sum(activation_store.size_of(rows.shape, rows.dtype) for rows in self.rows.values())

    def read(self, name: str, starts: tf.Tensor, counts: tf.Tensor, length: tf.Tensor) -> tf.Tensor:
        """The values of a batch, zero behind the end of each example; a graph function."""
        rows = self.rows[name]
        if not self.ragged:
            return tf.cast(rows.gather(starts), self.dtypes[name])
        values = tf.cast(rows.gather(tf.ragged.range(starts, starts + counts).values), self.dtypes[name])
        values = tf.RaggedTensor.from_row_lengths(values, counts, validate=False)
        filled = values.to_tensor(shape=tf.stack([-1, tf.cast(length, tf.int64), *rows.shape[1:]]))
        filled.set_shape((None, None, *rows.shape[1:]))
        return filled


def in_order(data: Any, stored: Sequence[Stored], layout: Layout, parts: Sequence[tuple[np.ndarray, int]]):
    """Stored values of chosen examples.

    Args:
      data: of which the values were computed.
      stored: tensors.
      layout: of these.
      parts: (indices, view), each padded to whole batches.

    Returns: a data set of (x, y, weight); x is what `Subgraph` takes.
    """
    columns = [_columns(data.plan.of(indices), layout, view) for indices, view in parts]
    width = max(part[0].shape[1] for part in columns)
    columns = [tuple(map(np.concatenate, zip(*(_widen(part, width) for part in columns), strict=True)))]
    return _read(data, stored, tf.data.Dataset.from_tensor_slices(columns[0]), None)


def in_epochs(data: Any, stored: Sequence[Stored], layout: Layout, *, name: str) -> tf.data.Dataset:
    """What the data gives, with stored values in the place of the model's inputs: {name: values}.

    Args:
      data: of which the values were computed.
      stored: tensors.
      layout: of these; epoch e reads view e % views.
      name: see `FineTuneModel.set_entry`.

    Returns: epoch 0, with what `FineTuneModel.fit` asks of a data set.
    """

    def plan(epoch):
        return _columns(data.plan.epoch(int(epoch)), layout, int(epoch) % layout.views)

    first = plan(0)

    @_as_it_is
    def plans(epoch):
        columns = tf.numpy_function(plan, [epoch], [column.dtype for column in first])
        for column, like in zip(columns, first, strict=True):
            column.set_shape((None,) * like.ndim)
        return tf.data.Dataset.from_tensor_slices(tuple(columns))

    dataset = _read(data, stored, tf.data.Dataset.from_tensor_slices(first), name)
    dataset.steps_per_epoch, dataset.num_examples = data.steps_per_epoch, data.num_examples
    dataset.global_batch_size = data.global_batch_size
    dataset.from_epoch = lambda first_epoch, first_step=0: _read(
        data, stored, tf.data.Dataset.counter(first_epoch).flat_map(plans).skip(first_step), name
    )
    return dataset


def _columns(plan: Any, layout: Layout, view: int) -> tuple[np.ndarray, ...]:
    """What is read for each batch: its plan, and the rows of its examples, by example and by place."""
    by_example, by_place = (layout.rows(np.maximum(plan.indices, 0), view, ragged) for ragged in (False, True))
    return *plan, by_example[0], *by_place


def _widen(columns: Sequence[np.ndarray], width: int) -> list[np.ndarray]:
    return [np.pad(c, ((0, 0), (0, width - c.shape[1]))) if c.ndim > 1 else c for c in columns]


def _read(data: Any, stored: Sequence[Stored], plans: tf.data.Dataset, name: str | None) -> tf.data.Dataset:
    y, weight = data.element_spec[1:]

    @_as_it_is
    def read(indices, weights, count, length, examples, starts, sizes):
        x = []
        for item in stored:
            rows = (starts, sizes) if item.ragged else (examples, examples)
            values = {key: item.read(key, rows[0][:count], rows[1][:count], length) for key in item.rows}
            for value in values.values():
                value.set_shape((y.shape[0], *value.shape[1:]))
            x.append(values)
        targets = data.targets(indices, weights, count, length)
        targets = [tf.ensure_shape(tensor, spec.shape) for tensor, spec in zip(targets, (y, weight), strict=True)]
        return tuple(x) if name is None else {name: tuple(x)}, *targets

    options = tf.data.Options()
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
    dataset = plans.map(read, num_parallel_calls=2, deterministic=True)
    return dataset.prefetch(2).with_options(options)
