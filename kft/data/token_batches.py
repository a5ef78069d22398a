"""Batches of tokens, in the order of (seed, epoch), padded as little as their lengths allow."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from kft import errors
from kft.data.batch_plan import BatchPlan, share_of
from kft.data.sampling import labels_to_balance
from kft.data.source import Source
from kft.data.token_table import TokenTable

if TYPE_CHECKING:
    import tensorflow as tf

INPUTS = ("token_ids", "segment_ids", "padding_mask")


def token_batches(
    table: TokenTable,
    *,
    pad_id: int,
    global_batch_size: int,
    seed: int = 0,
    shuffle: bool = False,
    static_lengths: Sequence[int] = (),
    tokens_per_batch: int = 0,
    multiple_of: int = 1,
    inputs: Sequence[str] = INPUTS,
    source: Source | None = None,
    sampling: str = "all",
) -> "tf.data.Dataset":
    """One epoch of batches; each new iterator is the next epoch: 0, 1, 2, ... See BatchPlan for what is in a batch.

    Args:
      table: at least one row.
      pad_id: the token that fills a batch up.
      global_batch_size: int >= 1, rows over all replicas.
      seed: int >= 0.
      shuffle: a new order in each epoch; without it the shortest rows come first, in every epoch.
      static_lengths: the lengths that batches may have, for XLA, which compiles for each; () for any.
      tokens_per_batch: batches of at most so many tokens, padding included, instead of global_batch_size rows; 0: off.
      multiple_of: batches are of a multiple of so many rows.
      inputs: which of INPUTS the model takes.
      source: what the table was made of.
      sampling: as of `kft.data.batches`; "balanced" takes the labels of the source, and not with tokens_per_batch.

    Shapes: (x, y, weight): x a dict of INPUTS (batch, length) int32; y (batch, ...) as the table's targets, or
      (batch, length) int32 where each token has its own, int64 -1 without targets; weight float32 (batch,), or
      (batch, length), 0 for what the loss does not look at.
    Returns: a data set of known cardinality with the attributes of `kft.data.batches` (examples are rows), and
      `table`, `order()`: the rows in the order in which their batches come without shuffling.
    Raises: InputError for an empty table, and for arguments out of range.
    """
    import tensorflow as tf

    if table.num_rows < 1:
        name = "the table" if source is None else repr(source.name)
        raise errors.InputError(f"Got no examples in {name}. Expected at least one. kft.data.check tells why.")
    if global_batch_size < 1 or seed < 0:
        raise errors.InputError(
            f"Got global_batch_size={global_batch_size!r}, seed={seed!r}. Expected at least 1, and 0. Use 32 and 0."
        )
    plan = BatchPlan(
        table.lengths,
        global_batch_size,
        seed,
        shuffle,
        tuple(static_lengths),
        tokens_per_batch,
        multiple_of,
        _labels_to_balance(table, source, sampling, shuffle),
    )
    gather, targets = _gather(table, pad_id, inputs, None if tokens_per_batch else global_batch_size)
    types = (tf.int64, tf.float32, tf.int64, tf.int64)

    def plan_of(epoch, share=None):
        def columns_of(epoch):
            batches = plan.epoch(int(epoch))
            return tuple(share_of(batches, *share) if share else batches)

        columns = tf.numpy_function(columns_of, [epoch], types)
        for column, rank in zip(columns, (2, 2, 1, 1), strict=True):
            column.set_shape((None,) * rank)
        return tf.data.Dataset.from_tensor_slices(tuple(columns))

    def of(dataset, gather=gather):
        options = tf.data.Options()
        options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
        dataset = dataset.map(gather, num_parallel_calls=2, deterministic=True)
        return dataset.prefetch(tf.data.AUTOTUNE).with_options(options)

    epochs = iter(range(2**62))
    each_time_the_next = tf.data.Dataset.range(1).map(
        lambda _: tf.ensure_shape(tf.numpy_function(lambda: np.int64(next(epochs)), [], tf.int64), ())
    )
    dataset = of(each_time_the_next.flat_map(plan_of))
    dataset = dataset.apply(tf.data.experimental.assert_cardinality(plan.num_batches))
    dataset.steps_per_epoch = plan.num_batches
    dataset.num_examples = table.num_rows
    dataset.global_batch_size = plan.mean_batch_size
    dataset.table, dataset.plan, dataset.source, dataset.targets = table, plan, source, targets
    dataset.seed, dataset.shuffle, dataset.encode = seed, shuffle, None

    def from_epoch(first_epoch, first_step=0, share=None):
        read = tf.data.Dataset.counter(first_epoch).flat_map(lambda epoch: plan_of(epoch, share))
        if share is None:
            return of(read.skip(first_step))
        first, end, num_replicas = share
        size = None if tokens_per_batch else global_batch_size // num_replicas
        return of(read.skip(first_step * (end - first)), _gather(table, pad_id, inputs, size)[0])

    dataset.from_epoch = from_epoch
    dataset.examples = lambda parts: of(_joined([plan.of(np.asarray(indices)) for indices, _ in parts]))
    dataset.order = lambda: _order(plan)
    return dataset


def _labels_to_balance(table: TokenTable, source: Source | None, sampling: str, shuffle: bool) -> np.ndarray | None:
    if sampling == "all":
        return None
    if source is None:
        raise errors.InputError(f"Got sampling={sampling!r} without a source. Expected its labels. Give the source.")
    labels = labels_to_balance(source, sampling, shuffle=shuffle)
    return None if labels is None else labels[table.record]


def _gather(table: TokenTable, pad_id: int, inputs: Sequence[str], batch_size: int | None):
    """The graph functions from one row of a plan to its batch, and to the targets and weights of that alone."""
    import tensorflow as tf

    targets = np.full(table.num_rows, -1, np.int64) if table.targets is None else table.targets
    with tf.init_scope(), tf.device("CPU:0"):
        token_ids = tf.constant(table.token_ids.astype(np.int32, copy=False))
        segment_ids = tf.constant(table.segment_ids) if "segment_ids" in inputs else None
        offsets, targets = tf.constant(table.offsets), tf.constant(targets)

    def places_of(indices, length):
        starts = tf.gather(offsets, indices)
        sizes = tf.gather(offsets, indices + 1) - starts
        positions = tf.range(length)[tf.newaxis]
        inside = positions < sizes[:, tf.newaxis]
        return inside, tf.where(inside, starts[:, tf.newaxis] + positions, 0)

    def targets_of(indices, weights, count, length):
        indices, weights = indices[:count], weights[:count]
        if table.per_token:
            inside, places = places_of(indices, length)
            y = tf.where(inside, tf.gather(targets, places), -1)
            weights = tf.where(y >= 0, weights[:, tf.newaxis], 0.0)
            y = tf.maximum(y, 0)
        else:
            y = tf.gather(targets, indices)
        for tensor in (y, weights):
            tensor.set_shape((batch_size, *tensor.shape[1:]))
        return y, weights

    def gather(indices, weights, count, length):
        inside, places = places_of(indices[:count], length)
        x = {"token_ids": tf.where(inside, tf.gather(token_ids, places), pad_id)}
        if segment_ids is not None:
            x["segment_ids"] = tf.where(inside, tf.cast(tf.gather(segment_ids, places), tf.int32), 0)
        x["padding_mask"] = tf.cast(inside, tf.int32)
        for tensor in x.values():
            tensor.set_shape((batch_size, *tensor.shape[1:]))
        return {name: x[name] for name in inputs}, *targets_of(indices, weights, count, length)

    return gather, targets_of


def _joined(plans):
    import tensorflow as tf

    width = max(plan.indices.shape[1] for plan in plans)
    columns = []
    for plan in plans:
        widen = ((0, 0), (0, width - plan.indices.shape[1]))
        columns.append((np.pad(plan.indices, widen), np.pad(plan.weights, widen), plan.counts, plan.lengths))
    return tf.data.Dataset.from_tensor_slices(tuple(map(np.concatenate, zip(*columns))))


def _order(plan: BatchPlan) -> np.ndarray:
    batches = plan.epoch(0)
    return batches.indices[batches.weights > 0]
