"""A part of a model's graph, run over batches outside of training, and proof that it gives the same each time."""

from collections.abc import Collection, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from tensorflow.python.framework import op_def_registry

from kft.training.split_graph import Subgraph

Values = tuple[dict[str, np.ndarray], ...]
# Of the operations that TensorFlow declares stateful, those that only read, call, or check, the next batch included.
READS = frozenset(
    (
        "Assert",
        "Case",
        "HashTableV2",
        "If",
        "IteratorGetNext",
        "IteratorGetNextAsOptional",
        "LookupTableFindV2",
        "LookupTableSizeV2",
        "MultiDeviceIteratorGetNextFromShard",
        "ReadVariableOp",
        "RemoteCall",
        "ResourceGather",
        "ResourceGatherNd",
        "StatefulPartitionedCall",
        "VarHandleOp",
        "While",
    )
)


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

        def step(iterator):
            # A lambda, for `run` would pull a tf.function, and its XLA, over all replicas.
            return strategy.run(lambda x: forward(x), args=(next(iterator)[0],))

        self._step = tf.function(step, autograph=False)
        self._proven = False

    def run(self, iterator: Any) -> Values:
        """The targets of the next batch of a data set that the model's strategy distributed; traced once for each.

        Raises: DrawsError if the graph does not give the same each time.
        """
        if not self._proven:
            self._prove(self._step.get_concrete_function(iterator))
            self._proven = True
        parts = self._model.distribute_strategy.experimental_local_results
        join = lambda value: np.concatenate([part.numpy() for part in parts(value)])  # noqa: E731
        return tuple({name: join(value) for name, value in item.items()} for item in self._step(iterator))

    def run_once(self, x: Any) -> Values:
        """The targets of a batch, operation by operation: for one batch quicker than to trace."""
        return tuple({name: value.numpy() for name, value in item.items()} for item in self._forward(x))

    def _forward(self, x: Any) -> Any:
        if self.from_inputs:
            x = tuple({"value": value} for value in keras.tree.flatten(self._model._standardize_inputs(x)))
        return self._subgraph(x, training=False)

    def _prove(self, concrete: Any) -> None:
        with self._model.distribute_strategy.scope():
            operations = random_operations([node.operation for node in self._subgraph.nodes], concrete)
        stateful = stateful_operations(concrete)
        if operations or stateful:
            raise DrawsError(operations, stateful)


def stateful_operations(concrete: Any) -> list[str]:
    """The kinds of operations in a graph, and in all that it calls, that may draw at random or change something.

    All that TensorFlow declares stateful but READS, and functions of Python, of which nothing is known.

    Args:
      concrete: a concrete function of TensorFlow.
    """
    graph = concrete.graph.as_graph_def()
    nodes = [*graph.node, *(node for function in graph.library.function for node in function.node_def)]
    kinds = {node.op for node in nodes if node.op not in READS}
    return sorted(kind for kind in kinds if _is_stateful(kind))


def _is_stateful(kind: str) -> bool:
    definition = op_def_registry.get(kind)  # None for a call of a function of the graph, whose nodes are looked at
    return kind == "PyFuncStateless" or (definition is not None and definition.is_stateful)


def depends_on_epoch(data: Any) -> bool:
    """Whether an example of `kft.data.batches` may differ from epoch to epoch.

    It may not if nothing is mixed, the encoder's graph never looks at the seed that it is given, and it draws nothing
    by itself; rows of tokens have no encoder.

    Args:
      data: of `kft.data.batches` or `kft.data.token_batches`.
    """
    if data.encode is None:
        return False
    if getattr(data, "mixing", None):
        return True
    encode = tf.function(lambda index, seed: data.encode(data.source.load(index), seed), autograph=False)
    concrete = encode.get_concrete_function(tf.TensorSpec((), tf.int64), tf.TensorSpec((2,), tf.int64))
    return bool(concrete.inputs[1].consumers()) or bool(stateful_operations(concrete))


def random_operations(operations: Collection[Any], concrete: Any) -> frozenset[int]:
    """Those of the operations, by id, whose random seeds a graph reads: they draw even in inference mode.

    Called within the scope of the model's strategy.

    Args:
      operations: of a functional graph.
      concrete: the concrete function that runs them.
    """
    captured = {id(handle) for handle, _ in concrete.graph.captures}
    strategy = tf.distribute.get_strategy()

    def is_read(seed: keras.Variable) -> bool:
        return any(id(local.handle) in captured for local in strategy.experimental_local_results(seed.value))

    return frozenset(
        id(operation)
        for operation in operations
        for variable in getattr(operation, "non_trainable_variables", ())
        if "seed_generator_state" in variable.path and is_read(variable)
    )
