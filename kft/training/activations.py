"""The frozen tensors of one data set: computed once, stored by example, read in the order of each epoch."""

import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from kft import errors
from kft.data.order import epoch_order, pad
from kft.training import activation_store, purity
from kft.training.split_graph import Subgraph

TOLERANCES = {"exact": 1e-4, "fast": 3e-2}
BATCHES_TO_MEASURE = 4
SAMPLE_SPAWN_KEY = 2


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


class NotStoredError(Exception):
    """Why tensors are not stored: the run goes on without."""


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
        self.tensors: dict[int, Stored] = {}
        self.seconds_per_batch: float | None = None

    # What there is.

    def row_size(self, tensor: keras.KerasTensor) -> int:
        """Bytes of one example of a tensor, without a mask."""
        if None in tensor.shape[1:]:
            raise NotStoredError(f"examples differ in shape: {tuple(tensor.shape)}")
        return activation_store.size_of(tensor.shape[1:], self._stored_dtype(np.dtype(tensor.dtype)))

    def size(self, tensors: Sequence[keras.KerasTensor]) -> int:
        """Bytes that the tensors would take, all examples and views."""
        return sum(map(self.row_size, tensors)) * self.data.num_examples * self.views

    def drop(self, keep: Callable[[int], bool] = lambda _: False) -> None:
        """Gives back the tensors that are not to be kept."""
        for key in [key for key in self.tensors if not keep(key)]:
            for rows in self.tensors.pop(key).rows.values():
                self.storage.free(rows)

    # Compute.

    def compute(
        self,
        subgraph: Subgraph,
        sources: Sequence[keras.KerasTensor],
        targets: Sequence[keras.KerasTensor],
        *,
        keys: Mapping[int, str],
        pays: Callable[[float, float, float], bool],
    ) -> float:
        """Runs a part of the graph once over all examples and stores what comes out.

        Args:
          subgraph: from sources to targets.
          sources: the model's inputs, or stored tensors.
          targets: tensors that are not stored yet.
          keys: what each target depends on, hashed, by id.
          pays: whether to go on, from the seconds of a batch to compute, to write and to read.

        Returns: seconds.
        Raises: NotStoredError if it is not worth it, or the values are not the same each time; nothing is kept then.
        """
        from_inputs = list(map(id, sources)) == list(map(id, self.model.inputs))
        batches = self._input_batches() if from_inputs else self._stored_source_batches(sources)
        began = time.perf_counter()
        made: list[dict[str, Any]] = []
        try:
            self._fill(made, subgraph, targets, batches, from_inputs, pays)
        except BaseException:
            for rows in (rows for columns in made for rows in columns["rows"].values()):
                self.storage.free(rows)
            raise
        for tensor, columns in zip(targets, made, strict=True):
            self.tensors[id(tensor)] = Stored(**columns, key=keys[id(tensor)])
        return time.perf_counter() - began

    def _fill(self, made, subgraph, targets, batches, from_inputs, pays) -> None:
        count, size = self.data.num_examples, self.data.global_batch_size
        step = self._step(subgraph, from_inputs)
        began, writing = 0.0, 0.0
        steps = self.data.steps_per_epoch
        for number, (x, *_) in enumerate(self.model.distribute_strategy.experimental_distribute_dataset(batches)):
            values = self._whole(step(x))
            if number == 0:
                made.extend(self._make_rows(targets, values))
                began = time.perf_counter()
            view, place = divmod(number, steps)
            if view == self.views:  # the sample, once more and in other company
                self._compare(values, [columns["rows"] for columns in made], self._sample(), view=0)
                continue
            before = time.perf_counter()
            start, kept = view * count + place * size, min(size, count - place * size)
            for columns, item in zip(made, values, strict=True):
                for name, rows in columns["rows"].items():
                    rows.write(start, item[name][:kept].astype(rows.dtype, copy=False))
            writing += time.perf_counter() - before if number else 0.0
            if number == min(BATCHES_TO_MEASURE, steps - 1):
                spent = (time.perf_counter() - began - writing) / max(number, 1)
                before = time.perf_counter()
                for columns in made:
                    for rows in columns["rows"].values():
                        rows.read(np.arange(min(size, count)))
                reading = time.perf_counter() - before
                if from_inputs:
                    self.seconds_per_batch = spent
                if number and not pays(spent, writing / number, reading):
                    raise NotStoredError("storing would cost more than computing")

    def _make_rows(self, targets, values) -> list[dict[str, Any]]:
        made = []
        place = self.storage.place_for(self.size(targets))
        if place is None:
            raise NotStoredError(f"{self.size(targets) / 2**20:,.0f} MiB fit neither the budget nor the disk")
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

    def _step(self, subgraph: Subgraph, from_inputs: bool) -> Callable[[Any], Any]:
        """The part of the graph over one batch, with the XLA setting of the model, proven to draw nothing."""
        model = self.model

        def forward(x):
            if from_inputs:
                x = tuple({"value": value} for value in keras.tree.flatten(model._standardize_inputs(x)))
            return subgraph(x, training=False)

        forward = model._maybe_jit(forward)
        step = tf.function(lambda x: model.distribute_strategy.run(forward, args=(x,)), autograph=False)
        proven = []

        def checked(x):
            if not proven:
                concrete = step.get_concrete_function(x)
                with model.distribute_strategy.scope():
                    operations = purity.random_operations([node.operation for node in subgraph.nodes], concrete)
                stateful = purity.stateful_operations(concrete)
                if operations or stateful:
                    raise DrawsError(operations, stateful)
                proven.append(True)
            return step(x)

        return checked

    def _whole(self, values: tuple[dict[str, Any], ...]) -> tuple[dict[str, np.ndarray], ...]:
        """The replicas' parts of a batch, together again."""
        join = lambda value: np.concatenate(  # noqa: E731
            [part.numpy() for part in self.model.distribute_strategy.experimental_local_results(value)]
        )
        return tuple({name: join(value) for name, value in item.items()} for item in values)

    # Check.

    def check(self, subgraph: Subgraph, tensors: Sequence[keras.KerasTensor]) -> None:
        """Computes a sample of the examples again, from the data on.

        Args:
          subgraph: from the model's inputs to the tensors.
          tensors: stored ones.

        Raises: NotStoredError if what is stored differs.
        """
        step = self._step(subgraph, True)
        batches = self.data.examples([(self._sample(), 0)])
        for x, *_ in self.model.distribute_strategy.experimental_distribute_dataset(batches):
            stored = [self.tensors[id(tensor)].rows for tensor in tensors]
            self._compare(self._whole(step(x)), stored, self._sample(), view=0)

    def _sample(self) -> np.ndarray:
        """A batch of examples from all over the data."""
        count, size = self.data.num_examples, self.data.global_batch_size
        return np.random.default_rng(SAMPLE_SPAWN_KEY).permutation(count)[: min(size, count)]

    def _compare(self, values, stored, indices, *, view: int) -> None:
        for item, rows in zip(values, stored, strict=True):
            for name, column in rows.items():
                old = column.read(indices + view * self.data.num_examples).astype(np.float64)
                new = item[name][: len(indices)].astype(np.float64)
                difference = np.abs(old - new).max(initial=0.0)
                if not difference <= TOLERANCES[self.mode] * np.abs(new).max(initial=0.0):
                    raise NotStoredError(f"a sample computed again differs by {difference:.2g} from what was stored")

    # Read.

    def _input_batches(self) -> tf.data.Dataset:
        """Every example in the order of the data, view by view, and then the sample."""
        whole = np.arange(self.data.num_examples)
        return self.data.examples([*((whole, view) for view in range(self.views)), (self._sample(), 0)])

    def _stored_source_batches(self, sources: Sequence[keras.KerasTensor]) -> tf.data.Dataset:
        whole = np.arange(self.data.num_examples)
        orders = [(whole, view) for view in range(self.views)] + [(self._sample(), 0)]
        return self._read(sources, [self._plan(*order) for order in orders])

    def _plan(self, order: np.ndarray, view: int) -> tuple[np.ndarray, ...]:
        """Rows, labels and weights, one line a batch."""
        indices, weights = pad(order, self.data.global_batch_size)
        columns = indices + view * self.data.num_examples, self.data.source.labels[indices], weights
        return tuple(column.reshape(-1, self.data.global_batch_size) for column in columns)

    def _epoch_plan(self, epoch: int) -> tuple[np.ndarray, ...]:
        data = self.data
        order = epoch_order(data.num_examples, seed=data.seed, epoch=epoch, shuffle=data.shuffle)
        return self._plan(order, epoch % self.views)

    def _read(self, tensors: Sequence[keras.KerasTensor], plans: Any, name: str | None = None) -> tf.data.Dataset:
        """Batches of stored tensors, for plans that are at hand or a data set of plans."""
        stored = [self.tensors[id(tensor)] for tensor in tensors]
        columns = [(rows, item.dtypes[name]) for item in stored for name, rows in item.rows.items()]
        size = self.data.global_batch_size

        def read(indices, labels, weights):
            values = tf.numpy_function(
                lambda rows: [column.read(rows) for column, _ in columns],
                [indices],
                [tf.as_dtype(column.dtype) for column, _ in columns],
            )
            values = [
                tf.cast(tf.ensure_shape(value, (size, *column.shape[1:])), dtype)
                for value, (column, dtype) in zip(values, columns, strict=True)
            ]
            values = iter(values)
            x = tuple({name: next(values) for name in item.rows} for item in stored)
            x = x if name is None else {name: x}
            return x, tf.ensure_shape(labels, (size,)), tf.ensure_shape(weights, (size,))

        if isinstance(plans, list):
            plans = tf.data.Dataset.from_tensor_slices(tuple(map(np.concatenate, zip(*plans, strict=True))))
        options = tf.data.Options()
        options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
        dataset = plans.map(read, num_parallel_calls=2, deterministic=True)
        return dataset.prefetch(tf.data.AUTOTUNE).with_options(options)

    def batches(self, tensors: Sequence[keras.KerasTensor], name: str) -> tf.data.Dataset:
        """The batches that the data gives, of stored tensors: {name: values} in the place of the model's inputs.

        Args:
          tensors: stored ones.
          name: see `FineTuneModel.set_entry`.

        Returns: the first epoch, with what `FineTuneModel.fit` asks of a data set: `from_epoch`, `steps_per_epoch`.
        """
        def rows_of(epoch):
            plan = tf.numpy_function(lambda e: self._epoch_plan(int(e)), [epoch], (tf.int64, tf.int64, tf.float32))
            return tf.data.Dataset.from_tensor_slices(tuple(tf.ensure_shape(part, (None, None)) for part in plan))

        dataset = self._read(tensors, [self._epoch_plan(0)], name)
        dataset.steps_per_epoch = self.data.steps_per_epoch
        dataset.num_examples, dataset.global_batch_size = self.data.num_examples, self.data.global_batch_size
        dataset.from_epoch = lambda first: self._read(
            tensors, tf.data.Dataset.counter(first).flat_map(rows_of), name
        )
        return dataset


class DrawsError(NotStoredError):
    """A part of the graph does not give the same each time."""

    def __init__(self, operations: frozenset[int], stateful: Sequence[str]):
        super().__init__(f"it draws at random or changes variables ({', '.join(stateful)})")
        self.operations = operations


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
