"""Proof that a graph function gives the same each time: by what its graph holds, not by trying."""

from collections.abc import Collection
from typing import Any

import keras
import tensorflow as tf
from tensorflow.python.framework import op_def_registry

# Of the operations that TensorFlow declares stateful, those that only read, call, or check.
READS = frozenset(
    ("Assert", "Case", "HashTableV2", "If", "LookupTableFindV2", "LookupTableSizeV2", "ReadVariableOp")
    + ("ResourceGather", "ResourceGatherNd", "StatefulPartitionedCall", "VarHandleOp", "While")
)


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

    It may not if the encoder's graph never looks at the seed that it is given, and draws nothing by itself.

    Args:
      data: of `kft.data.batches`.
    """
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
