"""A part of a model's graph, run over batches outside of training."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from kft.training import purity
from kft.training.split_graph import Subgraph

Values = tuple[dict[str, np.ndarray], ...]


class NotStoredError(Exception):
    """Why tensors are not stored: the run goes on without."""


class DrawsError(NotStoredError):
    """A part of the graph does not give the same each time.

    Args:
      operations: those that draw, by id; empty if only the kinds are known.
      stateful: kinds of operations in the graph.
    """

    def __init__(self, operations: frozenset[int], stateful: Sequence[str]):
        super().__init__(f"it draws at random or changes variables ({', '.join(stateful)})")
        self.operations = operations


class GraphPart:
    """The part between some tensors and others, with the model's strategy and XLA setting, in inference mode.

    Args:
      model: FineTuneModel.
      sources: the model's inputs, or other tensors of its graph.
      targets: tensors that depend on the sources and on variables alone.
    """

    def __init__(self, model: Any, sources: Sequence[keras.KerasTensor], targets: Sequence[keras.KerasTensor]):
        self._model = model
        self._subgraph = Subgraph(model, sources, targets)
        self.from_inputs = list(map(id, sources)) == list(map(id, model.inputs))
        forward, strategy = model._maybe_jit(self._forward), model.distribute_strategy

        def step(x):
            # A lambda, for `run` would pull a tf.function, and its XLA, over all replicas.
            return strategy.run(lambda x: forward(x), args=(x,))

        self._step = tf.function(step, autograph=False)
        self._proven = False

    def run(self, x: Any) -> Values:
        """The targets of a batch that the model's strategy distributed; traced once for batches of one shape.

        Raises: DrawsError if the graph does not give the same each time.
        """
        if not self._proven:
            self._prove(self._step.get_concrete_function(x))
            self._proven = True
        parts = self._model.distribute_strategy.experimental_local_results
        join = lambda value: np.concatenate([part.numpy() for part in parts(value)])  # noqa: E731
        return tuple({name: join(value) for name, value in item.items()} for item in self._step(x))

    def run_once(self, x: Any) -> Values:
        """The targets of a batch, operation by operation: for one batch quicker than to trace."""
        return tuple({name: value.numpy() for name, value in item.items()} for item in self._forward(x))

    def _forward(self, x: Any) -> Any:
        if self.from_inputs:
            x = tuple({"value": value} for value in keras.tree.flatten(self._model._standardize_inputs(x)))
        return self._subgraph(x, training=False)

    def _prove(self, concrete: Any) -> None:
        with self._model.distribute_strategy.scope():
            operations = purity.random_operations([node.operation for node in self._subgraph.nodes], concrete)
        stateful = purity.stateful_operations(concrete)
        if operations or stateful:
            raise DrawsError(operations, stateful)
