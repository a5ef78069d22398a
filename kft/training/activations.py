"""The frozen tensors of one data set: computed once, stored by example, read in the order of each epoch."""

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from kft import errors
from kft.training import activation_store, graph_part, stored_batches

TOLERANCES = {"exact": 1e-4, "fast": 3e-2}
BATCHES_TO_MEASURE = 4
SAMPLE_SEED = 2


class Activations:
    """The stored tensors of one data set.

    Args:
      model: FineTuneModel.
      data: of `kft.data.batches` or `kft.data.token_batches`.
      mode: "exact" stores what is computed; "fast" stores float32 as bfloat16.
      views: int >= 1; view v holds the examples as they are in epoch v, and epoch e reads view e % views.
      storage: where rows are made.
    """

    def __init__(self, model: Any, data: Any, *, mode: str, views: int, storage: activation_store.Storage):
        self.model, self.data, self.mode, self.views, self.storage = model, data, mode, views, storage
        self.layout = stored_batches.Layout(data, views)
        self.tensors: dict[int, stored_batches.Stored] = {}
        self.seconds_per_batch: float | None = None

    # What there is.

    def is_ragged(self, tensor: keras.KerasTensor) -> bool:
        """Whether examples of a tensor differ in length, along their first axis.

        Raises: NotStoredError if they may differ in another way.
        """
        unknown = [side is None for side in tensor.shape[1:]]
        if not any(unknown):
            return False
        if self.layout.lengths is None or unknown.index(True) or sum(unknown) > 1:
            raise graph_part.NotStoredError(f"examples differ in shape: {tuple(tensor.shape)}")
        return True

    def size(self, tensors: Sequence[keras.KerasTensor]) -> int:
        """Bytes that the tensors would take, all examples and views, without masks."""
        size = 0
        for tensor in tensors:
            ragged = self.is_ragged(tensor)
            row = tensor.shape[2:] if ragged else tensor.shape[1:]
            size += self.layout.num_rows(ragged) * activation_store.size_of(row, self._stored_dtype(tensor.dtype))
        return size

    def keep_only(self, keys: Collection[int]) -> None:
        """Gives back all tensors but these, by id."""
        for key in self.tensors.keys() - set(keys):
            self._free(self.tensors.pop(key))

    def _free(self, stored: stored_batches.Stored) -> None:
        for rows in stored.rows.values():
            self.storage.free(rows)

    # Compute.

    def compute(
        self,
        part: graph_part.GraphPart,
        sources: Sequence[keras.KerasTensor],
        targets: Sequence[keras.KerasTensor],
        *,
        keys: Mapping[int, str],
        pays: Callable[[float, float, Callable[[Sequence[keras.KerasTensor]], float]], bool],
    ) -> float:
        """Runs a part of the graph once over all examples and stores what comes out.

        Args:
          part: from sources to targets.
          sources: the model's inputs, or stored tensors.
          targets: tensors that are not stored yet.
          keys: what each target depends on, hashed, by id.
          pays: whether to go on, from the seconds of a batch to compute and to write, and a function that gives those
            to read some of the tensors.

        Returns: seconds.
        Raises: NotStoredError if it is not worth it, or the values are not the same each time; nothing is kept then.
        """
        began = time.perf_counter()
        made: list[stored_batches.Stored] = []
        try:
            self._fill(made, part, sources, targets, keys, pays)
        except BaseException:
            for stored in made:
                self._free(stored)
            raise
        self.tensors.update((id(tensor), stored) for tensor, stored in zip(targets, made, strict=True))
        return time.perf_counter() - began

    def _fill(self, made, part, sources, targets, keys, pays) -> None:
        views = [(self.layout.order, view) for view in range(self.views)]
        batches = self._batches(part, sources, [*views, (self._sample(), 0)])
        iterator = iter(self.model.distribute_strategy.experimental_distribute_dataset(batches))
        began, writing, places, positions = 0.0, 0.0, 0, {True: 0, False: 0}
        for number, plan in enumerate(plan for indices, _ in views for plan in _rows_of(self.data.plan.of(indices))):
            values = part.run(iterator)
            if number == 0:
                made.extend(self._make_stored(targets, values, keys))
                began = time.perf_counter()
            before = time.perf_counter()
            counts = self._write(made, values, plan, positions)
            positions = {ragged: position + counts[ragged] for ragged, position in positions.items()}
            now = time.perf_counter()
            writing += now - before if number else 0.0
            places += plan.count * plan.length if number else 0
            if number == min(BATCHES_TO_MEASURE, self.data.steps_per_epoch - 1) and number:
                scale = self._places_per_batch() / (places / number) if places else 1.0  # the shortest come first
                computing = scale * (now - began - writing) / number
                if part.from_inputs:
                    self.seconds_per_batch = computing
                known = self.tensors | {id(tensor): stored for tensor, stored in zip(targets, made, strict=True)}
                reading = lambda tensors: scale * self._time_to_read(known, tensors, plan)  # noqa: B023, E731
                if not pays(computing, scale * writing / number, reading):
                    raise graph_part.NotStoredError("storing would cost more than computing")
        for plan in _rows_of(self.data.plan.of(self._sample())):  # once more and in other company
            self._compare(part.run(iterator), made, plan)

    def _batches(self, part, sources, parts) -> tf.data.Dataset:
        if part.from_inputs:
            return self.data.examples(parts)
        return stored_batches.in_order(self.data, [self.tensors[id(t)] for t in sources], self.layout, parts)

    def _make_stored(self, targets, values, keys) -> list[stored_batches.Stored]:
        size = self.size(targets)
        place = self.storage.place_for(size)
        if place is None:
            raise graph_part.NotStoredError(f"{size / 2**20:,.0f} MiB do not fit {self.storage.limits}")
        made = []
        for tensor, item in zip(targets, values, strict=True):
            ragged = self.is_ragged(tensor)
            rows = {
                name: self.storage.make(
                    (self.layout.num_rows(ragged), *value.shape[1 + ragged :]), self._stored_dtype(value.dtype), place
                )
                for name, value in item.items()
            }
            dtypes = {name: tf.as_dtype(value.dtype) for name, value in item.items()}
            made.append(stored_batches.Stored(rows, dtypes, ragged, keys[id(tensor)]))
        return made

    def _write(self, made, values, plan, positions) -> dict[bool, int]:
        """Writes a batch, and returns how many rows that is: by place, and by example."""
        count = int(plan.weights.sum())  # what only fills the batch up is behind
        inside = None if self.layout.lengths is None else self._inside(plan)
        for stored, item in zip(made, values, strict=True):
            for name, rows in stored.rows.items():
                value = item[name][:count]
                if stored.ragged:
                    if value.shape[1] != plan.length:
                        raise graph_part.NotStoredError(f"its length, {value.shape[1]}, is not that of the examples")
                    value = value[inside[:count]]
                rows.write(positions[stored.ragged], value.astype(rows.dtype))
        return {True: 0 if inside is None else int(inside[:count].sum()), False: count}

    def _inside(self, plan) -> np.ndarray:
        """Which places of a batch, (examples, length), are within their examples."""
        return np.arange(plan.length) < self.layout.lengths[plan.indices[: plan.count], None]

    def _time_to_read(self, known, tensors, plan) -> float:
        """Seconds for a batch of rows that are written already; the first time, which prepares more, does not count."""
        stored = [known[id(tensor)] for tensor in tensors]
        self._read(stored, plan)
        before = time.perf_counter()
        self._read(stored, plan)
        return time.perf_counter() - before

    def _places_per_batch(self) -> float:
        """The mean over all batches of their examples times the length that they are padded to, if they have one."""
        plan = self.data.plan.of(self.layout.order)
        return float((plan.counts * plan.lengths).mean())

    def _read(self, made: Sequence[stored_batches.Stored], plan: "_Batch") -> list[dict[str, np.ndarray]]:
        """What is stored of a batch, in view 0."""
        found = []
        for stored in made:
            starts, counts = map(tf.constant, self.layout.rows(plan.indices[: plan.count], 0, stored.ragged))
            found.append({name: stored.read(name, starts, counts, plan.length).numpy() for name in stored.rows})
        return found

    def _stored_dtype(self, dtype: str | np.dtype) -> np.dtype:
        dtype = np.dtype(dtype)
        return activation_store.REDUCED.get(dtype.name, dtype) if self.mode == "fast" else dtype

    # Check.

    def check(self, part: graph_part.GraphPart, tensors: Sequence[keras.KerasTensor]) -> None:
        """Computes a sample of the examples again, from the data on.

        Args:
          part: from the model's inputs to the tensors.
          tensors: stored ones.

        Raises: NotStoredError if what is stored differs.
        """
        stored = [self.tensors[id(tensor)] for tensor in tensors]
        batches = self.data.examples([(self._sample(), 0)])
        for (x, *_), plan in zip(batches, _rows_of(self.data.plan.of(self._sample())), strict=True):
            self._compare(part.run_once(x), stored, plan)

    def check_padding(self, whole: graph_part.GraphPart, rest: graph_part.GraphPart, tensors) -> None:
        """Compares what the model says of a sample with what it says by stored tensors, zero where nothing is stored.

        Args:
          whole: from the model's inputs to its outputs.
          rest: from the tensors to its outputs.
          tensors: stored ones.

        Raises: NotStoredError if that differs, for what is behind the end of an example then has a part in it.
        """
        sample = [(self._sample(), 0)]
        batches = self._batches(rest, tensors, sample)
        for (x, _, weight), (stored, *_) in zip(self.data.examples(sample), batches, strict=True):
            counts = weight.numpy() > 0
            for new, old in zip(whole.run_once(x), rest.run_once(stored), strict=True):
                self._same(old["value"][counts], new["value"][counts], "by what is behind the end of examples")

    def _sample(self) -> np.ndarray:
        """A batch of examples from all over the data."""
        count, size = self.data.num_examples, self.data.global_batch_size
        return np.random.default_rng(SAMPLE_SEED).permutation(count)[: min(size, count)]

    def _compare(self, values: graph_part.Values, made: Sequence[stored_batches.Stored], plan: "_Batch") -> None:
        """A batch of view 0, as computed now and as it was stored."""
        count = int(plan.weights.sum())
        for stored, old, new in zip(made, self._read(made, plan), values, strict=True):
            within = self._inside(plan)[:count] if stored.ragged else slice(None)
            for name in stored.rows:
                self._same(old[name][:count][within], new[name][:count][within], "from what was stored")

    def _same(self, old: np.ndarray, new: np.ndarray, what: str) -> None:
        old, new = old.astype(np.float64), new.astype(np.float64)
        difference = np.abs(old - new).max(initial=0.0)
        if not difference <= TOLERANCES[self.mode] * np.abs(new).max(initial=0.0):
            raise graph_part.NotStoredError(f"a sample computed again differs by {difference:.2g} {what}")

    # Read.

    def batches(self, tensors: Sequence[keras.KerasTensor], name: str) -> tf.data.Dataset:
        """The batches that the data gives, with stored tensors in the place of the model's inputs.

        Args:
          tensors: stored ones.
          name: see `FineTuneModel.set_entry`.
        """
        return stored_batches.in_epochs(self.data, [self.tensors[id(t)] for t in tensors], self.layout, name=name)


class _Batch(NamedTuple):
    indices: np.ndarray
    weights: np.ndarray
    count: int
    length: int


def _rows_of(plan: Any) -> list[_Batch]:
    """The batches of a plan."""
    return [_Batch(*row) for row in zip(*plan, strict=True)]


def check_views(data: Any, views: int) -> int:
    """The views to store: 1 where each epoch gives the same examples.

    Args:
      data: of `kft.data.batches` or `kft.data.token_batches`.
      views: as asked for; 0 for none.

    Raises: InputError for mixed examples, and for random augmentation without views.
    """
    if getattr(data, "mixing", None):
        raise errors.InputError(
            f"Got a cache of the frozen part with {data.mixing!r}. Expected examples that are not mixed, as their "
            "targets are not stored. Use cache='off', or neither mixup nor cutmix."
        )
    if not graph_part.depends_on_epoch(data):
        return 1
    if views < 1:
        raise errors.InputError(
            "Got a cache of the frozen part with random augmentation. Expected examples that are the same in each "
            "epoch. Set cache_views=4, say, to store so many augmented views of each, or train without augmentation."
        )
    return views
