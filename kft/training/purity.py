"""Proof that a graph function gives the same each time: by what its graph holds, not by trying."""

from collections.abc import Collection
from typing import Any

import keras
import tensorflow as tf

DRAWS = (
    "RandomUniform",
    "RandomUniformInt",
    "RandomStandardNormal",
    "TruncatedNormal",
    "ParameterizedTruncatedNormal",
    "RandomGamma",
    "RandomPoisson",
    "RandomPoissonV2",
    "Multinomial",
    "RandomShuffle",
    "SampleDistortedBoundingBox",
    "SampleDistortedBoundingBoxV2",
    "StatefulUniform",
    "StatefulStandardNormalV2",
    "StatefulRandomBinomial",
)


def stateful_operations(concrete: Any) -> list[str]:
    """The kinds of operations in a graph, and in all that it calls, that draw at random or change a variable.

    Args:
      concrete: a concrete function of TensorFlow.
    """
    graph = concrete.graph.as_graph_def()
    nodes = [*graph.node, *(node for function in graph.library.function for node in function.node_def)]
    return sorted({node.op for node in nodes if node.op in DRAWS or node.op.startswith(("Assign", "ResourceScatter"))})


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
