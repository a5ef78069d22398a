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


def balanced_order(labels: np.ndarray, *, seed: int, epoch: int) -> np.ndarray:
    """As many indices as there are examples, as many of each class, in the order of one epoch.

        round r of a class:  its examples in the order of Philox(seed, epoch, r)
        drawn of each class: the first num_examples / num_classes of its rounds, one after the other
        order:               all that was drawn, mixed

    So an example of a small class comes several times in an epoch, equally often but for one time, and not all examples
    of a large class come in each epoch. What cannot be divided is one more for the first classes, which begin one later
    in each epoch.

    Args:
      labels: (num_examples,) int64, none below 0; classes without examples are passed over.
      seed, epoch: int >= 0.

    Shapes: (num_examples,) int64.

    Example:
      >>> labels = np.array([0, 0, 0, 0, 0, 1])
      >>> np.bincount(labels[balanced_order(labels, seed=0, epoch=0)])
      array([3, 3])
    """
    random = np.random.Philox(np.random.SeedSequence(seed, spawn_key=(epoch, 4)))
    classes = np.unique(labels)
    counts = np.full(len(classes), len(labels) // len(classes))
    counts[(np.arange(len(labels) % len(classes)) + epoch) % len(classes)] += 1
    drawn = []
    for label, count in zip(classes, counts):
        members = np.flatnonzero(labels == label)
        rounds = -(-int(count) // len(members))
        drawn += [members[_argsort(random, len(members))] for _ in range(rounds)]
        drawn[-1] = drawn[-1][: count - (rounds - 1) * len(members)]
    order = np.concatenate(drawn)
    return order[_argsort(random, len(order))]


def _argsort(random: np.random.Philox, size: int) -> np.ndarray:
    return np.argsort(random.random_raw(size), kind="stable")


def times_before(indices: np.ndarray) -> np.ndarray:
    """For each place, how often the index that is there came before.

    Example:
      >>> times_before(np.array([3, 1, 3, 3, 1])).tolist()
      [0, 0, 1, 2, 1]
    """
    order = np.argsort(indices, kind="stable")
    _, counts = np.unique(indices, return_counts=True)
    times = np.empty(len(indices), np.int64)
    times[order] = np.arange(len(indices)) - np.repeat(np.cumsum(counts) - counts, counts)
    return times


def partners(num_examples: int, *, seed: int, epoch: int) -> np.ndarray:
    """For each example the one that it is mixed with in an epoch: a random permutation, in which few meet themselves.

    Args:
      num_examples, seed, epoch: as of `epoch_order`.

    Shapes: (num_examples,) int64.
    """
    words = np.random.Philox(np.random.SeedSequence(seed, spawn_key=(epoch, 3))).random_raw(num_examples)
    return np.argsort(words, kind="stable").astype(np.int64)


def partners_of(numbers: np.ndarray, drawn: np.ndarray, *, seed: int, epoch: int) -> np.ndarray:
    """What each of these is mixed with: what is at its partner's place in the epoch; see `partners`.

    Args:
      numbers: of which the partners are asked for; one that was not drawn gets any other.
      drawn: (num_examples,) numbers of what the epoch draws, each once, without padding.
      seed, epoch: as of `epoch_order`.

    Shapes: that of numbers.
    """
    sorter = np.argsort(drawn, kind="stable")
    places = sorter[np.minimum(np.searchsorted(drawn, numbers, sorter=sorter), len(drawn) - 1)]
    places = np.where(drawn[places] == numbers, places, numbers % len(drawn))
    return drawn[partners(len(drawn), seed=seed, epoch=epoch)[places]]


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
