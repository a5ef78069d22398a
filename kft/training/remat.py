"""Gradient checkpointing: what a block computes is computed again for the backward pass instead of being kept."""

import itertools
import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import keras
import tensorflow as tf
from keras.src.backend.common import masking

from kft.training import split_graph


class _Segment(NamedTuple):
    """Calls of operations that follow each other, the tensors they need from before, and those needed later."""

    nodes: list[Any]
    sources: list[keras.KerasTensor]
    targets: list[keras.KerasTensor]


def run_through_graph(model: Any, inputs: Any, operation_fn: Callable[[Any], Callable[..., Any]]) -> Any:
    """The outputs of a functional model, of which the backward pass finds what lies between two blocks only.

    Random numbers are those of the first computation, and statistics are moved once. The last block and the head, which
    the backward pass begins with, are kept.

    Args:
      model: FineTuneModel, with `blocks`.
      inputs: standardised.
      operation_fn: from an operation to what is called in its place.
    """
    known = dict(zip(map(id, model.inputs), keras.tree.flatten(inputs), strict=True))
    *below, top = segments(model)
    for segment in below:
        if _can_be_repeated(segment):
            _run_twice(model, segment, known, operation_fn)
        else:
            _run(segment.nodes, known, operation_fn)
    _run(top.nodes, known, operation_fn)
    return keras.tree.pack_sequence_as(model._outputs_struct, [known[id(tensor)] for tensor in model.outputs])


def segments(model: Any) -> list[_Segment]:
    """The graph cut where a block ends, the last block and the head in one."""
    nodes = [node for node in split_graph.nodes_in_order(model) if not node.is_input]
    last: dict[int, int] = {}
    for place, node in enumerate(nodes):
        for weight in getattr(node.operation, "weights", ()):
            last |= {
                number: place for number, block in enumerate(model.blocks[:-2]) if re.fullmatch(block, weight.path)
            }
    cuts = sorted({0, len(nodes), *(place + 1 for place in last.values())})
    parts = [nodes[begin:end] for begin, end in itertools.pairwise(cuts)]
    return [_segment(part, [node for later in parts[n + 1 :] for node in later], model) for n, part in enumerate(parts)]


def _segment(nodes, later, model):
    made = {id(tensor): tensor for node in nodes for tensor in node.outputs}
    needed = {id(tensor): tensor for node in nodes for tensor in node.input_tensors}
    used = {id(tensor) for node in later for tensor in node.input_tensors} | {id(tensor) for tensor in model.outputs}
    sources = [tensor for key, tensor in needed.items() if key not in made]
    return _Segment(nodes, sources, [tensor for key, tensor in made.items() if key in used])


def _can_be_repeated(segment: _Segment) -> bool:
    """Not with outputs that have no gradient, nor with penalties on what a layer gives."""
    penalties = (getattr(node.operation, "activity_regularizer", None) for node in segment.nodes)
    return all(_is_float(tensor) for tensor in segment.targets) and not any(penalties)


def _is_float(tensor: Any) -> bool:
    return tf.as_dtype(tensor.dtype).is_floating


def _run(nodes: Sequence[Any], known: dict[int, Any], operation_fn: Callable) -> None:
    for node in nodes:
        args, kwargs = node.arguments.fill_in(known)
        outputs = operation_fn(node.operation)(*args, **kwargs)
        known.update(zip(map(id, node.outputs), keras.tree.flatten(outputs), strict=False))


def _run_twice(model, segment, known, operation_fn):
    parameters = {id(variable) for variable in model.parameters}
    operations = {id(node.operation): node.operation for node in segment.nodes}.values()
    touched = {id(v): v for operation in operations for v in getattr(operation, "variables", ())}
    touched = [variable for key, variable in touched.items() if key not in parameters]
    passed = [tensor for tensor in segment.sources if _is_float(known[id(tensor)])]
    before: list[tuple[keras.Variable, tf.Tensor]] | None = None
    masks: list[Any] = []

    def compute(*values):
        nonlocal before
        local = {id(tensor): known[id(tensor)] for tensor in segment.sources}
        for tensor, value in zip(passed, values, strict=True):
            mask = masking.get_keras_mask(known[id(tensor)])
            local[id(tensor)] = value
            if mask is not None:
                masking.set_keras_mask(value, mask)
        if before is None:  # seeds and statistics, as they are before the first time
            before = [(variable, tf.identity(variable.value)) for variable in touched]
            _run(segment.nodes, local, operation_fn)
            masks.extend(masking.get_keras_mask(local[id(tensor)]) for tensor in segment.targets)
        else:
            with keras.StatelessScope(state_mapping=before):
                _run(segment.nodes, local, operation_fn)
        return tuple(local[id(tensor)] for tensor in segment.targets)

    results = tf.recompute_grad(compute)(*(known[id(tensor)] for tensor in passed))
    for tensor, value, mask in zip(segment.targets, keras.tree.flatten(results), masks, strict=True):
        if mask is not None:
            masking.set_keras_mask(value, mask)
        known[id(tensor)] = value
