"""The calls of a functional model, done again on other tensors."""

from collections.abc import Callable, Sequence
from typing import Any

import keras

Instead = Callable[[keras.Operation], keras.Operation]
Done = Callable[[keras.Operation, list[keras.KerasTensor]], list[keras.KerasTensor]]


def is_graph(layer: Any) -> bool:
    """Whether a layer is a model that is its graph: functional or Sequential, and its `call` is Keras' own."""
    own_call = any("call" in vars(kind) for kind in type(layer).__mro__ if not kind.__module__.startswith("keras."))
    return isinstance(layer, keras.Model) and isinstance(layer, (keras.Function, keras.Sequential)) and not own_call


def run_again(
    model: keras.Model,
    inputs: Sequence[keras.KerasTensor],
    done: Done | None = None,
    *,
    instead: Instead | None = None,
) -> list[keras.KerasTensor]:
    """Calls the layers of a model again on new inputs, those of models within it one by one.

    Goes by nodes (one call of a layer each), not by layers, as a layer may be called at several places.

    Args:
      model: functional or Sequential.
      inputs: instead of the model's.
      done: told each operation that was called and its outputs; what it returns goes on in their place.
      instead: asked before each operation is called; what it returns is called in its place.

    Returns: the outputs.
    """
    graph = keras.Model(model.inputs, model.outputs)
    known = {id(tensor): _as_dtype(new, tensor.dtype) for tensor, new in zip(model.inputs, inputs)}
    for depth in sorted(graph._nodes_by_depth, reverse=True):
        for node in graph._nodes_by_depth[depth]:
            if node.is_input:
                continue
            args, kwargs = node.arguments.fill_in(known)
            if is_graph(node.operation):
                within = keras.tree.flatten(args[0] if args else kwargs["inputs"])
                results = run_again(node.operation, within, done, instead=instead)
            else:
                operation = instead(node.operation) if instead else node.operation
                results = keras.tree.flatten(operation(*args, **kwargs))
            results = done(node.operation, results) if done else results
            known.update((id(tensor), new) for tensor, new in zip(node.outputs, results))
    return [known[id(tensor)] for tensor in model.outputs]


def _as_dtype(tensor: keras.KerasTensor, dtype: str) -> keras.KerasTensor:
    return tensor if tensor.dtype == dtype else keras.ops.cast(tensor, dtype)
