"""Which operations of a functional graph run in inference mode, because they are frozen."""

from collections.abc import Collection

import keras


def inference_operations(
    model: keras.Model,
    trained: Collection[keras.Variable],
    *,
    parameters: Collection[keras.Variable],
    freeze_batchnorm: bool,
    head_prefix: str = "head",
) -> frozenset[int]:
    """The operations that run in inference mode, by `id`.

    An operation with weights of its own does if none of them trains; BatchNorm also if its statistics are
    frozen. One without weights (dropout, noise) does if everything that feeds it does, at each of its calls.
    The head's operations without weights never do: its dropout belongs to what trains.

    Args:
      model: functional model, flat.
      trained: the variables that train now.
      parameters: the variables that may ever train: not moving statistics, not random seeds.
      freeze_batchnorm: BatchNorm layers use their moving statistics and leave them alone, even where their
        scale and offset train.
      head_prefix: the names of the head's layers start with it.
    """
    trained = {id(variable) for variable in trained}
    parameters = {id(variable) for variable in parameters}
    inference: set[int] = set()
    for depth in sorted(model._nodes_by_depth, reverse=True):
        for node in model._nodes_by_depth[depth]:
            operation = node.operation
            weights = [weight for weight in getattr(operation, "weights", []) if id(weight) in parameters]
            if node.is_input or (isinstance(operation, keras.layers.BatchNormalization) and freeze_batchnorm):
                frozen = True
            elif weights:
                frozen = not any(id(weight) in trained for weight in weights)
            elif operation.name.startswith(head_prefix):
                frozen = False
            else:
                makers = [tensor._keras_history.operation for tensor in node.input_tensors]
                frozen = all(id(maker) in inference for maker in makers)
            if frozen:
                inference.add(id(operation))
            else:
                inference.discard(id(operation))
    return frozenset(inference)
