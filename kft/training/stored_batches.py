"""Batches of stored activations, in the order that the data has in each epoch."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from kft.data.order import epoch_order, pad
from kft.training import activation_store

_as_it_is = tf.autograph.experimental.do_not_convert  # rewriting Python takes longer than an epoch of a probe


@dataclasses.dataclass(frozen=True)
class Stored:
    """One tensor of the graph, for every example.

    Args:
      rows: "value", and "mask" if the tensor has a Keras mask; row view * num_examples + index.
      dtypes: what the rows are given back in.
      key: what the values depend on, hashed.
    """

    rows: dict[str, Any]
    dtypes: dict[str, tf.DType]
    key: str

    @property
    def size(self) -> int:
        """Bytes."""
        return sum(activation_store.size_of(rows.shape, rows.dtype) for rows in self.rows.values())


def in_order(data: Any, stored: Sequence[Stored], parts: Sequence[tuple[np.ndarray, int]]) -> tf.data.Dataset:
    """Stored values of chosen examples.

    Args:
      data: of `kft.data.batches`, of which the values were computed.
      stored: tensors.
      parts: (indices, view), each padded to whole batches.

    Returns: batches of (x, y, weight); x is what `Subgraph` takes.
    """
    return _read(data, stored, _slices([_plan(data, *part) for part in parts]))


def in_epochs(data: Any, stored: Sequence[Stored], *, views: int, name: str) -> tf.data.Dataset:
    """What the data gives, with stored values in the place of the model's inputs: {name: values}.

    Args:
      data: of `kft.data.batches`.
      stored: tensors.
      views: int >= 1; epoch e reads view e % views.
      name: see `FineTuneModel.set_entry`.

    Returns: epoch 0, with what `FineTuneModel.fit` asks of a data set.
    """

    def plan(epoch):
        order = epoch_order(data.num_examples, seed=data.seed, epoch=int(epoch), shuffle=data.shuffle)
        return _plan(data, order, int(epoch) % views)

    @_as_it_is
    def plans(epoch):
        columns = tf.numpy_function(plan, [epoch], (tf.int64, tf.int64, tf.float32))
        return tf.data.Dataset.from_tensor_slices(tuple(tf.ensure_shape(column, (None, None)) for column in columns))

    dataset = _read(data, stored, _slices([plan(0)]), name)
    dataset.steps_per_epoch, dataset.num_examples = data.steps_per_epoch, data.num_examples
    dataset.global_batch_size = data.global_batch_size
    dataset.from_epoch = lambda first_epoch, first_step=0: _read(
        data, stored, tf.data.Dataset.counter(first_epoch).flat_map(plans).skip(first_step), name
    )
    return dataset


def _plan(data: Any, order: np.ndarray, view: int) -> tuple[np.ndarray, ...]:
    """Rows, labels and weights, one line a batch."""
    indices, weights = pad(order, data.global_batch_size)
    columns = indices + view * data.num_examples, data.source.labels[indices], weights
    return tuple(column.reshape(-1, data.global_batch_size) for column in columns)


def _slices(plans: Sequence[tuple[np.ndarray, ...]]) -> tf.data.Dataset:
    return tf.data.Dataset.from_tensor_slices(tuple(map(np.concatenate, zip(*plans, strict=True))))


def _read(data: Any, stored: Sequence[Stored], plans: tf.data.Dataset, name: str | None = None) -> tf.data.Dataset:
    size = data.global_batch_size

    @_as_it_is
    def read(indices, labels, weights):
        indices, labels, weights = (tf.ensure_shape(column, (size,)) for column in (indices, labels, weights))
        x = tuple(
            {key: tf.cast(rows.gather(indices), item.dtypes[key]) for key, rows in item.rows.items()} for item in stored
        )
        return x if name is None else {name: x}, labels, weights

    options = tf.data.Options()
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
    dataset = plans.map(read, num_parallel_calls=2, deterministic=True)
    return dataset.prefetch(tf.data.AUTOTUNE).with_options(options)
