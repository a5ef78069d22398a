"""Batches of one shape, in the order of (seed, epoch)."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from kft import errors
from kft.data.batch_plan import EpochPlan, EqualPlan, share_of
from kft.data.mixing import Mixing
from kft.data.order import epoch_key, partners_of, times_before
from kft.data.sampling import labels_to_balance
from kft.data.source import Source

if TYPE_CHECKING:
    import tensorflow as tf


def batches(
    source: Source,
    *,
    encode: Callable[[dict[str, Any], Any], Any],
    preprocess: Callable[[Any], Any],
    global_batch_size: int,
    seed: int = 0,
    shuffle: bool = False,
    sampling: str = "all",
    mixing: Mixing | None = None,
) -> "tf.data.Dataset":
    """One epoch of batches; each new iterator is the next epoch: 0, 1, 2, ...

        for indices, weights in batches of pad(epoch_order(epoch), global_batch_size):
            x = preprocess(stack(encode(load(index), (epoch_key(seed, epoch), index)) for index in indices))
            yield x, targets[indices], weights

    The targets are the source's, or else its labels. With `mixing`, each encoded example and its target, a label as
    shares of all classes, is mixed with a partner's before it is preprocessed.

    The last batch is filled with examples of the same epoch that have weight 0. What an example becomes depends on
    (seed, epoch, index) only, and with balanced sampling on how often it came before in the epoch; so neither the
    number of threads nor of replicas changes it.

    Args:
      source: at least one example.
      encode: graph function (raw example, seed (2,) int64) -> x of one example.
      preprocess: graph function of a batch of x.
      global_batch_size: int >= 1, over all replicas. Larger than the data, it gives one padded batch.
      seed: int >= 0.
      shuffle: a new order in each epoch, or always that of the source.
      sampling: "all", every example once in an epoch; or "balanced", as many examples of each class; see
        `kft.data.order.balanced_order`.
      mixing: mixup and cutmix of images that are encoded to one shape; None for none.

    Shapes: (x, y, weight): x (global_batch_size, ...) in whatever structure preprocess gives; y (global_batch_size,)
      int64, -1 where the source has no labels, or (global_batch_size, ...) float32 of targets, or
      (global_batch_size, number of classes) float32 of mixed labels; weight (global_batch_size,) float32, 1 or 0.
    Returns: a data set of known cardinality, not sharded by workers, with attributes more: `steps_per_epoch`,
      `num_examples`, `global_batch_size`; `from_epoch(first_epoch, first_step, share)`: an endless data set of the
      epochs from there on, which reads ahead over their ends, of some replicas only where share is (first, end, number
      of all); `examples([(indices, epoch), ...])`: these examples in this order, as they are in that epoch, each part
      padded to whole batches; `plan`: which examples are in which batch, see EqualPlan;
      `targets(*row of a plan)`: a graph function, y and weight of its batch, not mixed; and `source`, `encode`,
      `seed`, `shuffle` and `mixing` as given.
    Raises: InputError for an empty source, for labels that cannot be used, and for arguments out of range.

    Example:
      >>> from kft.data import from_arrays
      >>> source = from_arrays(np.zeros((3, 8, 8), np.uint8), [0, 1, 1])
      >>> dataset = batches(source, encode=lambda raw, seed: raw["image"], preprocess=lambda x: x, global_batch_size=2)
      >>> [(y.numpy().tolist(), weight.numpy().tolist()) for x, y, weight in dataset]
      [([0, 1], [1.0, 1.0]), ([1, 0], [1.0, 0.0])]
    """
    import tensorflow as tf

    _check(source, global_batch_size, seed, mixing)
    given = source.labels if source.targets is None else source.targets
    balanced = labels_to_balance(source, sampling, shuffle=shuffle)
    plan = EqualPlan(source.num_examples, global_batch_size, seed, shuffle, balanced)

    def numbered(batches: EpochPlan) -> EpochPlan:
        """With numbers for indices: another one each time that an example comes, but for padding."""
        if balanced is None:
            return batches
        order = batches.indices.reshape(-1)[: source.num_examples]
        numbers = order + times_before(order) * source.num_examples
        return batches._replace(indices=np.resize(numbers, batches.indices.shape))

    def drawn_in(epoch: int) -> np.ndarray:
        if balanced is None:
            return np.arange(source.num_examples)
        return numbered(plan.epoch(epoch)).indices.reshape(-1)[: source.num_examples]

    def rows(batches: EpochPlan, epoch: int):
        numbers, weights = batches.indices.reshape(-1), batches.weights.reshape(-1)
        indices = numbers % source.num_examples
        keys = np.full_like(indices, epoch_key(seed=seed, epoch=epoch))
        columns = indices, np.stack([keys, numbers], 1), given[indices], weights
        if not mixing:
            return columns
        partners = partners_of(numbers, drawn_in(epoch), seed=seed, epoch=epoch)
        others = partners % source.num_examples
        return *columns, others, np.stack([keys, partners], 1), given[others]

    first = rows(plan.of(np.arange(1)), 0)

    def rows_of(epoch, share=None):
        def plan_of(epoch: np.ndarray):
            batches = numbered(plan.epoch(int(epoch)))
            return rows(share_of(batches, *share) if share else batches, int(epoch))

        columns = tf.numpy_function(plan_of, [epoch], [column.dtype for column in first])
        for column, like in zip(columns, first, strict=True):
            column.set_shape((None, *like.shape[1:]))
        return tf.data.Dataset.from_tensor_slices(tuple(columns))

    def example(index, example_seed, target, weight, *partner):
        x = encode(source.load(index), example_seed)
        if partner:
            other, other_seed, other_target = partner
            if source.targets is None:
                target, other_target = (tf.one_hot(label, len(source.label_names)) for label in (target, other_target))
            x, target = mixing.mix(x, encode(source.load(other), other_seed), target, other_target, example_seed)
        return x, target, weight

    def of(dataset, batch_size=global_batch_size):
        dataset = dataset.map(example, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
        dataset = dataset.batch(batch_size, drop_remainder=True)
        dataset = dataset.map(lambda x, y, weight: (preprocess(x), y, weight))
        options = tf.data.Options()
        options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
        return dataset.prefetch(tf.data.AUTOTUNE).with_options(options)

    iterators = iter(range(2**62))
    each_time_the_next = tf.data.Dataset.range(1).map(
        lambda _: tf.ensure_shape(tf.numpy_function(lambda: np.int64(next(iterators)), [], tf.int64), ())
    )
    steps_per_epoch = -(-source.num_examples // global_batch_size)
    dataset = of(each_time_the_next.flat_map(rows_of))
    dataset = dataset.apply(tf.data.experimental.assert_cardinality(steps_per_epoch))
    dataset.steps_per_epoch = steps_per_epoch
    dataset.num_examples = source.num_examples
    dataset.global_batch_size = global_batch_size
    dataset.source, dataset.encode, dataset.seed, dataset.shuffle, dataset.plan = source, encode, seed, shuffle, plan
    dataset.mixing = mixing
    dataset.targets = lambda indices, weights, *_: (tf.gather(given, indices), weights)

    def from_epoch(first_epoch, first_step=0, share=None):
        first, end, num_replicas = share or (0, 1, 1)
        size = global_batch_size // num_replicas
        read = tf.data.Dataset.counter(first_epoch).flat_map(lambda epoch: rows_of(epoch, share))
        return of(read.skip(first_step * (end - first) * size), size)

    dataset.from_epoch = from_epoch
    dataset.examples = lambda parts: of(
        tf.data.Dataset.from_tensor_slices(
            tuple(map(np.concatenate, zip(*(rows(plan.of(indices), epoch) for indices, epoch in parts), strict=True)))
        )
    )
    return dataset


def _check(source: Source, global_batch_size: int, seed: int, mixing: Mixing | None) -> None:
    if source.num_examples < 1:
        raise errors.InputError(f"Got no examples in {source.name!r}. Expected at least one. kft.data.check tells why.")
    if global_batch_size < 1:
        raise errors.InputError(f"Got global_batch_size={global_batch_size!r}. Expected an int >= 1. Use 32.")
    if seed < 0:
        raise errors.InputError(f"Got seed={seed!r}. Expected an int >= 0. Use 0.")
    if mixing and source.targets is None and not source.label_names:
        raise errors.InputError(f"Got {mixing!r} for {source.name!r}. Expected labels to mix. Leave it out.")
    if mixing and mixing.cutmix and source.targets is not None and source.targets.ndim == 1:
        raise errors.InputError(
            f"Got cutmix={mixing.cutmix!r} for the numbers of {source.name!r}. Expected classes, as a part of an image "
            "does not have its part of a number. Use mixup, or leave it out."
        )
    wrong = np.flatnonzero(source.labels < 0)
    if source.label_names and source.targets is None and wrong.size:
        raise errors.InputError(
            f"Got a label that cannot be used for {source.keys[wrong[0]]!r}, one of {wrong.size}. Expected whole "
            f"numbers below {len(source.label_names)}. kft.data.check lists them all."
        )
