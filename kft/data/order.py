"""The order of the data: a plain array, a function of (seed, epoch)."""

import numpy as np


def epoch_order(num_examples: int, *, seed: int, epoch: int, shuffle: bool) -> np.ndarray:
    """The indices of all examples in the order of one epoch.

        order = argsort(Philox(seed, epoch).random_raw(num_examples))

    The raw words of a bit generator are the same in every version of NumPy, so the order is too.

    Args:
      num_examples: int >= 0.
      seed: int >= 0.
      epoch: int >= 0.
      shuffle: without it the order is 0, 1, 2, ... in every epoch.

    Shapes: (num_examples,) int64.

    Example:
      >>> sorted(epoch_order(5, seed=0, epoch=0, shuffle=True).tolist())
      [0, 1, 2, 3, 4]

    Reference: Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3".
    """
    if not shuffle:
        return np.arange(num_examples, dtype=np.int64)
    words = np.random.Philox(np.random.SeedSequence(seed, spawn_key=(epoch, 0))).random_raw(num_examples)
    return np.argsort(words, kind="stable").astype(np.int64)


def epoch_key(*, seed: int, epoch: int) -> int:
    """The first half of every example's augmentation seed in an epoch; the second is the example's index.

    Args:
      seed: int >= 0.
      epoch: int >= 0.

    Returns: an int64 that no other (seed, epoch) is likely to share, nor the order to depend on.
    """
    word = np.random.SeedSequence(seed, spawn_key=(epoch, 1)).generate_state(1, np.uint64)
    return int(word.view(np.int64)[0])


def pad(order: np.ndarray, batch_size: int) -> tuple[np.ndarray, np.ndarray]:
    """Repeats examples of the epoch, with weight 0, until the last batch is full.

    Args:
      order: (num_examples,) with num_examples >= 1.
      batch_size: int >= 1.

    Returns: (indices, weights), both of a multiple of batch_size in length; weights are float32, 1 or 0.

    Example:
      >>> pad(np.array([2, 0, 1]), 2)
      (array([2, 0, 1, 2]), array([1., 1., 1., 0.], dtype=float32))
    """
    size = -(-len(order) // batch_size) * batch_size
    return np.resize(order, size), (np.arange(size) < len(order)).astype(np.float32)
