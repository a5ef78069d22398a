"""Which rows of tokens go into which batch, and how long it is: plain arrays, a function of (seed, epoch)."""

import dataclasses
from typing import NamedTuple

import numpy as np

from kft import errors
from kft.data.order import balanced_order, epoch_order, pad

POOL_BATCHES = 64
MOST_LENGTHS = 6
LENGTH_UNIT = 8


class EpochPlan(NamedTuple):
    """The batches of one epoch, in their order.

    Shapes: indices (batches, largest batch) int64, filled up with -1 behind what belongs to the batch; weights alike,
      float32; counts (batches,) int64, how many of a row of indices belong to the batch; lengths (batches,) int64.
    """

    indices: np.ndarray
    weights: np.ndarray
    counts: np.ndarray
    lengths: np.ndarray


@dataclasses.dataclass(frozen=True, eq=False)
class EqualPlan:
    """Cuts examples of one shape into batches, the last one padded: see `pad` and `epoch_order`.

    Args:
      num_examples, batch_size, seed, shuffle: as of `kft.data.batches`.
      balanced: (num_examples,) the labels, for as many examples of each class; None for every example once.
    """

    num_examples: int
    batch_size: int
    seed: int = 0
    shuffle: bool = False
    balanced: np.ndarray | None = None
    row_lengths = None  # nothing differs in length

    def epoch(self, epoch: int) -> EpochPlan:
        """The batches of an epoch."""
        return self.of(_order(self.num_examples, self, epoch))

    def of(self, indices: np.ndarray) -> EpochPlan:
        """These examples in this order."""
        indices, weights = (column.reshape(-1, self.batch_size) for column in pad(indices, self.batch_size))
        return EpochPlan(indices, weights, np.full(len(indices), self.batch_size), np.zeros(len(indices), np.int64))


@dataclasses.dataclass(frozen=True, eq=False)
class BatchPlan:
    """Cuts rows of differing length into batches with little padding.

        for pool in pools of POOL_BATCHES * batch_size rows of epoch_order(epoch):
            batches += cut(sorted(pool, by length), batch_size)
        batches in an order of their own

    so that every row comes once in each epoch, every epoch has as many batches, and what is in a batch depends on
    (seed, epoch) alone. The one batch that is not full repeats its own rows with weight 0. Without `shuffle`, all rows
    are one pool, and its batches stay in their order, the shortest first.

    With `tokens_per_batch` rows are parted by length first, and batches have tokens_per_batch // length rows.

    Args:
      row_lengths: (rows,) tokens of each row.
      batch_size: rows of a batch.
      seed: int >= 0.
      shuffle: a new order in each epoch.
      static_lengths: the only lengths that batches may have, rising, the last at least the longest row; () lets each
        batch be as long as its longest row.
      tokens_per_batch: instead of batch_size; 0 for batch_size.
      multiple_of: batch sizes are multiples of it, the number of replicas.
      balanced: (rows,) the labels, for as many rows of each class; None for every row once. Not with tokens_per_batch.
    """

    row_lengths: np.ndarray
    batch_size: int
    seed: int = 0
    shuffle: bool = False
    static_lengths: tuple[int, ...] = ()
    tokens_per_batch: int = 0
    multiple_of: int = 1
    balanced: np.ndarray | None = None

    def __post_init__(self):
        longest = int(self.row_lengths.max(initial=0))
        if self.balanced is not None and self.tokens_per_batch:
            raise errors.InputError(
                f"Got tokens_per_batch={self.tokens_per_batch} with balanced sampling, which makes epochs of differing "
                "steps. Expected one of both. Use global_batch_size."
            )
        if self.static_lengths and self.static_lengths[-1] < longest:
            raise errors.InputError(
                f"Got static_lengths={self.static_lengths!r} with a row of {longest} tokens. Expected the last to be "
                "as long. Use kft.data.static_lengths."
            )
        if 0 < self.tokens_per_batch < longest * self.multiple_of:
            raise errors.InputError(
                f"Got tokens_per_batch={self.tokens_per_batch} with an example of {longest} tokens on "
                f"{self.multiple_of} replica(s). Expected at least {longest * self.multiple_of}. Raise it."
            )

    @property
    def num_batches(self) -> int:
        """Batches of each epoch."""
        return sum(-(-count // size) for count, size in self._parts())

    @property
    def mean_batch_size(self) -> int:
        """Rows of a batch on average, rounded up."""
        return -(-len(self.row_lengths) // self.num_batches) if self.tokens_per_batch else self.batch_size

    def epoch(self, epoch: int) -> EpochPlan:
        """The batches of an epoch."""
        order = _order(len(self.row_lengths), self, epoch)
        batches = []
        if self.tokens_per_batch:
            part_of = np.searchsorted(self._bounds(), self.row_lengths[order])
            for part, (_, size) in enumerate(self._parts()):
                batches += self._cut(order[part_of == part], size)
        else:
            batches = self._cut(order, self.batch_size)
        if self.shuffle:
            words = np.random.Philox(np.random.SeedSequence(self.seed, spawn_key=(epoch, 2))).random_raw(len(batches))
            batches = [batches[place] for place in np.argsort(words, kind="stable")]
        return self._arrays(batches)

    def of(self, indices: np.ndarray) -> EpochPlan:
        """These rows in this order, cut into batches as they come, each as large as its rows' lengths allow."""
        parts, sizes = np.zeros(len(indices), np.int64), [self.batch_size]
        if self.tokens_per_batch:
            parts = np.searchsorted(self._bounds(), self.row_lengths[indices])
            sizes = [size for _, size in self._parts()]
        batches, first = [], 0
        while first < len(indices):
            alike = parts[first : first + sizes[parts[first]]] == parts[first]
            end = first + (len(alike) if alike.all() else int(alike.argmin()))
            batches.append(indices[first:end])
            first = end
        return self._arrays(batches)

    def shapes(self, epoch: int = 0) -> set[tuple[int, int]]:
        """(rows, tokens) of the batches of an epoch; the same ones in every epoch where lengths are static."""
        plan = self.epoch(epoch)
        return set(zip(plan.counts.tolist(), plan.lengths.tolist()))

    def padding(self, epoch: int = 0) -> float:
        """The part of all positions of an epoch that hold no token of a row of weight 1."""
        plan = self.epoch(epoch)
        return 1.0 - float(self.row_lengths.sum()) / float((plan.counts * plan.lengths).sum())

    def _cut(self, order: np.ndarray, size: int) -> list[np.ndarray]:
        pool_size = POOL_BATCHES * size if self.shuffle else max(len(order), 1)
        batches = []
        for first in range(0, len(order), pool_size):
            pool = order[first : first + pool_size]
            pool = pool[np.argsort(self.row_lengths[pool], kind="stable")]
            # What does not fill a batch is taken from the shortest, whose repetition costs least.
            rest = len(pool) % size
            starts = [*([0] if rest else []), *range(rest, len(pool), size)]
            batches += [pool[start : start + (rest if rest and start == 0 else size)] for start in starts]
        return batches

    def _arrays(self, batches: list[np.ndarray]) -> EpochPlan:
        sizes = [self._size_of(batch) for batch in batches]
        indices = np.full((len(batches), max(sizes)), -1, np.int64)
        weights = np.zeros(indices.shape, np.float32)
        for place, (batch, size) in enumerate(zip(batches, sizes)):
            indices[place, :size] = np.resize(batch, size)
            weights[place, : len(batch)] = 1
        lengths = np.array([self.row_lengths[batch].max() for batch in batches], np.int64)
        if self.static_lengths:
            lengths = np.array(self.static_lengths)[np.searchsorted(self.static_lengths, lengths)]
        return EpochPlan(indices, weights, np.array(sizes, np.int64), lengths)

    def _size_of(self, batch: np.ndarray) -> int:
        if not self.tokens_per_batch:
            return self.batch_size
        part = int(np.searchsorted(self._bounds(), self.row_lengths[batch].max()))
        return self._size_in(self._bounds()[part])

    def _size_in(self, length: int) -> int:
        return self.tokens_per_batch // length // self.multiple_of * self.multiple_of

    def _bounds(self) -> tuple[int, ...]:
        """The longest row of each part that is batched for itself."""
        return self.static_lengths or static_lengths(self.row_lengths, most=2 * MOST_LENGTHS, unit=1)

    def _parts(self) -> list[tuple[int, int]]:
        """(rows, batch size) of each part."""
        if not self.tokens_per_batch:
            return [(len(self.row_lengths), self.batch_size)]
        bounds = self._bounds()
        counts = np.bincount(np.searchsorted(bounds, self.row_lengths), minlength=len(bounds))
        return [(int(count), self._size_in(bound)) for count, bound in zip(counts, bounds)]


def _order(num_examples: int, plan: EqualPlan | BatchPlan, epoch: int) -> np.ndarray:
    if plan.balanced is not None:
        return balanced_order(plan.balanced, seed=plan.seed, epoch=epoch)
    return epoch_order(num_examples, seed=plan.seed, epoch=epoch, shuffle=plan.shuffle)


def share_of(batches: EpochPlan, first: int, end: int, of: int) -> EpochPlan:
    """What some of the replicas get of each batch: for each batch one of each of these replicas, in their order.

    Args:
      batches: of sizes that are multiples of `of`.
      first, end: replicas first, ..., end - 1.
      of: number of all replicas.

    Example:
      >>> plan = EqualPlan(5, 4, 0, False).epoch(0)
      >>> share_of(plan, 1, 2, 2).indices.tolist()
      [[2, 3], [1, 2]]
    """
    sizes = batches.counts // of
    width = int(sizes.max())
    places = [
        np.minimum(np.arange(width) + replica * size, count - 1)
        for size, count in zip(sizes, batches.counts, strict=True)
        for replica in range(first, end)
    ]
    rows = np.repeat(np.arange(len(sizes)), end - first)[:, np.newaxis]
    return EpochPlan(
        batches.indices[rows, places],
        batches.weights[rows, places],
        np.repeat(sizes, end - first),
        np.repeat(batches.lengths, end - first),
    )


def static_lengths(row_lengths: np.ndarray, *, most: int = MOST_LENGTHS, unit: int = LENGTH_UNIT) -> tuple[int, ...]:
    """The few lengths that pad these rows least, when each row is as long as the next of them.

    Found exactly, over all choices of at most `most` multiples of `unit` that cover the longest row.

    Args:
      row_lengths: (rows,), at least one.
      most: how many there may be.
      unit: of which they are multiples.

    Example:
      >>> static_lengths(np.array([3, 9, 9, 10, 60]), most=2)
      (16, 64)
    """
    units = -(-np.maximum(row_lengths, 1) // unit)
    places, counts = np.unique(units, return_counts=True)
    sums = np.concatenate([[0], np.cumsum(counts)])
    costs = np.full(len(places) + 1, np.inf)
    costs[0] = 0.0
    choices = []
    for _ in range(min(most, len(places))):
        # candidate[i, j]: rows up to place j, of which those behind the first i are as long as place j
        candidate = costs[:-1, None] + (sums[None, 1:] - sums[:-1, None]) * places[None, :]
        candidate[np.tril_indices(len(places), -1)] = np.inf
        best = candidate.argmin(axis=0)
        choices.append(best)
        costs = np.concatenate([[0.0], candidate[best, np.arange(len(places))]])
    end, chosen = len(places), []
    for best in reversed(choices):
        if end == 0:
            break
        chosen.append(int(places[end - 1]) * unit)
        end = int(best[end - 1])
    return tuple(sorted(chosen))
