"""The frozen tensors of one data set: computed once, stored by example, read in the order of each epoch."""

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from kft import errors
from kft.training import activation_store, graph_part, purity, stored_batches

TOLERANCES = {"exact": 1e-4, "fast": 3e-2}
BATCHES_TO_MEASURE = 4
SAMPLE_SEED = 2


class Activations:
    """The stored tensors of one data set.

    Args:
      model: FineTuneModel.
      data: of `kft.data.batches`.
      mode: "exact" stores what is computed; "fast" stores float32 as bfloat16.
      views: int >= 1; view v holds the examples as they are in epoch v, and epoch e reads view e % views.
      storage: where rows are made.
    """

    def __init__(self, model: Any, data: Any, *, mode: str, views: int, storage: activation_store.Storage):
        self.model, self.data, self.mode, self.views, self.storage = model, data, mode, views, storage
        self.tensors: dict[int, stored_batches.Stored] = {}
        self.seconds_per_batch: float | None = None

    # What there is.

    def row_size(self, tensor: keras.KerasTensor) -> int:
        """Bytes of one example of a tensor, without a mask."""
        if None in tensor.shape[1:]:
            raise graph_part.NotStoredError(f"examples differ in shape: {tuple(tensor.shape)}")
        return activation_store.size_of(tensor.shape[1:], self._stored_dtype(np.dtype(tensor.dtype)))

    def size(self, tensors: Sequence[keras.KerasTensor]) -> int:
        """Bytes that the tensors would take, all examples and views."""
        return sum(map(self.row_size, tensors)) * self.data.num_examples * self.views

    def keep_only(self, keys: Collection[int]) -> None:
        """Gives back all tensors but these, by id."""
        for key in self.tensors.keys() - set(keys):
            for rows in self.tensors.pop(key).rows.values():
                self.storage.free(rows)

    # Compute.

    def compute(
        self,
        part: graph_part.GraphPart,
        sources: Sequence[keras.KerasTensor],
        targets: Sequence[keras.KerasTensor],
        *,
        keys: Mapping[int, str],
        pays: Callable[[float, float, float], bool],
    ) -> float:
        """Runs a part of the graph once over all examples and stores what comes out.

        Args:
          part: from sources to targets.
          sources: the model's inputs, or stored tensors.
          targets: tensors that are not stored yet.
          keys: what each target depends on, hashed, by id.
          pays: whether to go on, from the seconds of a batch to compute, to write and to read.

        Returns: seconds.
        Raises: NotStoredError if it is not worth it, or the values are not the same each time; nothing is kept then.
        """
        if part.from_inputs:
            batches = self.data.examples(self._parts())
        else:
            batches = stored_batches.in_order(self.data, [self.tensors[id(t)] for t in sources], self._parts())
        began = time.perf_counter()
        made: list[dict[str, Any]] = []
        try:
            self._fill(made, part, targets, batches, pays)
        except BaseException:
            for rows in (rows for columns in made for rows in columns["rows"].values()):
                self.storage.free(rows)
            raise
        for tensor, columns in zip(targets, made, strict=True):
            self.tensors[id(tensor)] = stored_batches.Stored(**columns, key=keys[id(tensor)])
        return time.perf_counter() - began

    def _fill(self, made, part, targets, batches, pays) -> None:
        count, size, steps = self.data.num_examples, self.data.global_batch_size, self.data.steps_per_epoch
        began, writing = 0.0, 0.0
        for number, (x, *_) in enumerate(self.model.distribute_strategy.experimental_distribute_dataset(batches)):
            values = part.run(x)
            if number == 0:
                made.extend(self._make_rows(targets, values))
                began = time.perf_counter()
            view, place = divmod(number, steps)
            columns = [column["rows"] for column in made]
            if view == self.views:  # the sample, once more and in other company
                self._compare(values, columns)
                continue
            before = time.perf_counter()
            for item, rows_of in zip(values, columns, strict=True):
                for name, rows in rows_of.items():
                    rows.write(view * count + place * size, item[name][: count - place * size].astype(rows.dtype))
            now = time.perf_counter()
            writing += now - before if number else 0.0
            if number == min(BATCHES_TO_MEASURE, steps - 1) and number:
                computing = (now - began - writing) / number
                if part.from_inputs:
                    self.seconds_per_batch = computing
                if not pays(computing, writing / number, self._time_to_read(columns)):
                    raise graph_part.NotStoredError("storing would cost more than computing")

    def _time_to_read(self, columns: Sequence[dict[str, Any]]) -> float:
        """Seconds for a batch of rows that are written already."""
        indices = np.arange(min(self.data.global_batch_size, self.data.num_examples))
        before = time.perf_counter()
        for rows_of in columns:
            for rows in rows_of.values():
                rows.read(indices)
        return time.perf_counter() - before

    def _make_rows(self, targets, values) -> list[dict[str, Any]]:
        made = []
        place = self.storage.place_for(self.size(targets))
        if place is None:
            raise graph_part.NotStoredError(
                f"{self.size(targets) / 2**20:,.0f} MiB fit neither the budget nor the disk"
            )
        for item in values:
            rows = {
                name: self.storage.make(
                    (self.views * self.data.num_examples, *value.shape[1:]), self._stored_dtype(value.dtype), place
                )
                for name, value in item.items()
            }
            made.append({"rows": rows, "dtypes": {name: tf.as_dtype(value.dtype) for name, value in item.items()}})
        return made

    def _stored_dtype(self, dtype: np.dtype) -> np.dtype:
        return activation_store.REDUCED.get(dtype.name, dtype) if self.mode == "fast" else dtype

    # Check.

    def check(self, part: graph_part.GraphPart, tensors: Sequence[keras.KerasTensor]) -> None:
        """Computes a sample of the examples again, from the data on.

        Args:
          part: from the model's inputs to the tensors.
          tensors: stored ones.

        Raises: NotStoredError if what is stored differs.
        """
        for x, *_ in self.data.examples([(self._sample(), 0)]):
            self._compare(part.run_once(x), [self.tensors[id(tensor)].rows for tensor in tensors])

    def _sample(self) -> np.ndarray:
        """A batch of examples from all over the data."""
        count, size = self.data.num_examples, self.data.global_batch_size
        return np.random.default_rng(SAMPLE_SEED).permutation(count)[: min(size, count)]

    def _compare(self, values: graph_part.Values, stored: Sequence[dict[str, Any]]) -> None:
        """View 0 of the sample, as computed now and as it was stored."""
        sample = self._sample()
        for item, rows_of in zip(values, stored, strict=True):
            for name, rows in rows_of.items():
                old, new = rows.read(sample).astype(np.float64), item[name][: len(sample)].astype(np.float64)
                difference = np.abs(old - new).max(initial=0.0)
                if not difference <= TOLERANCES[self.mode] * np.abs(new).max(initial=0.0):
                    raise graph_part.NotStoredError(
                        f"a sample computed again differs by {difference:.2g} from what was stored"
                    )

    # Read.

    def _parts(self) -> list[tuple[np.ndarray, int]]:
        """Every example in the order of the data, view by view, and then the sample."""
        whole = np.arange(self.data.num_examples)
        return [*((whole, view) for view in range(self.views)), (self._sample(), 0)]

    def batches(self, tensors: Sequence[keras.KerasTensor], name: str) -> tf.data.Dataset:
        """The batches that the data gives, with stored tensors in the place of the model's inputs.

        Args:
          tensors: stored ones.
          name: see `FineTuneModel.set_entry`.
        """
        return stored_batches.in_epochs(self.data, [self.tensors[id(t)] for t in tensors], views=self.views, name=name)


def check_views(data: Any, views: int) -> int:
    """The views to store: 1 where each epoch gives the same examples.

    Args:
      data: of `kft.data.batches`.
      views: as asked for; 0 for none.

    Raises: InputError for random augmentation without views.
    """
    if not purity.depends_on_epoch(data):
        return 1
    if views < 1:
        raise errors.InputError(
            "Got a cache of the frozen part with random augmentation. Expected examples that are the same in each "
            "epoch. Set cache_views=4, say, to store so many augmented views of each, or train without augmentation."
        )
    return views
