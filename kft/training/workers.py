"""What is different where several processes train one model."""

import contextlib
import time
from collections.abc import Iterator
from typing import Any

import keras
import tensorflow as tf

from kft import distribute, errors

LOST = (tf.errors.UnavailableError, tf.errors.AbortedError, tf.errors.InternalError, tf.errors.CancelledError)
SECONDS_TO_NAME_IT = 20.0


class SharedBatches:
    """Batches of kft of which each worker reads, decodes and augments its replicas' share only.

    For replica r of R, batch by batch: examples r * size / R, ..., (r + 1) * size / R - 1 of the global batch, so that
    together they see what one device sees, in its order.

    Args:
      data: of `kft.data.batches` or `kft.data.token_batches`.
      strategy: of several workers.
    """

    def __init__(self, data: Any, strategy: tf.distribute.Strategy):
        self.data, self.strategy = data, strategy
        worker, num_workers = distribute.worker_of(strategy)
        num_replicas = strategy.num_replicas_in_sync
        if data.global_batch_size % num_replicas:
            raise errors.InputError(
                f"Got batches of {data.global_batch_size} examples with {num_replicas} replicas. Expected a multiple "
                "of the number of replicas. Change the batch size."
            )
        local = num_replicas // num_workers
        self.share = (worker * local, (worker + 1) * local, num_replicas)

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(self.data, name)

    def from_epoch(self, first_epoch: int, first_step: int = 0) -> tf.distribute.DistributedDataset:
        """The endless batches of the epochs from there on."""
        read = self.data.from_epoch(first_epoch, first_step, self.share)
        endless = read.apply(tf.data.experimental.assert_cardinality(tf.data.INFINITE_CARDINALITY))
        return self.strategy.distribute_datasets_from_function(lambda _: endless)


def shared(model: keras.Model, data: Any) -> Any:
    """Data to train on: as it is, or shared out where the model is one of several workers'."""
    several = distribute.worker_of(model.distribute_strategy)[1] > 1
    if not several or not hasattr(data, "from_epoch") or isinstance(data, SharedBatches):
        return data
    return SharedBatches(data, model.distribute_strategy)


def one_epoch(model: keras.Model, data: Any) -> tuple[Any, int | None]:
    """Data to evaluate or predict on, and how many steps that are; None where the data knows."""
    data = shared(model, data)
    return (data.from_epoch(0), data.steps_per_epoch) if isinstance(data, SharedBatches) else (data, None)


@contextlib.contextmanager
def losing_peers(strategy: tf.distribute.Strategy) -> Iterator[None]:
    """Where TensorFlow first sees that a worker is lost, `kft.distribute.peers` gets the time to say which, and end."""
    try:
        yield
    except LOST:
        if distribute.worker_of(strategy)[1] > 1:
            time.sleep(SECONDS_TO_NAME_IT)
        raise


def check_checkpoint(strategy: tf.distribute.Strategy, every: Any) -> None:
    """Raises InputError for checkpoints by the clock: workers would not save at the same step."""
    if every.unit == "minutes" and distribute.worker_of(strategy)[1] > 1:
        raise errors.InputError(
            "Got checkpoints every so many minutes with several workers, whose clocks differ. Expected steps or "
            "epochs. Use checkpoint_every='500 steps'."
        )


def cache_of(strategy: tf.distribute.Strategy, cache: str) -> str:
    """The cache of a frozen part, which cannot be stored yet where each worker sees a part of the data.

    Raises: InputError if it is asked for with several workers; "auto" is "off" then.
    """
    if distribute.worker_of(strategy)[1] == 1:
        return cache
    if cache not in ("off", "auto"):
        raise errors.not_available_yet("cache", cache, "Use cache='off' with several workers.")
    return "off"


def of_all_replicas(strategy: tf.distribute.Strategy, rows: Any) -> Any:
    """The rows of all replicas, in their order; of several workers each gets all.

    Args:
      strategy: of the model.
      rows: what `strategy.run` gave, or a structure of such.
    """
    if distribute.worker_of(strategy)[1] > 1:
        return tf.nest.map_structure(lambda values: strategy.gather(values, axis=0), rows)
    local = strategy.experimental_local_results(rows)
    return keras.tree.map_structure(lambda *tensors: tf.concat(tensors, 0), *local)
