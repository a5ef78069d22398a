"""What memory a training takes, from the graph of its step, before it runs."""

import math
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from kft.training import graph_memory, step_parts

# Measured on a CPU, see experiments/README.md: what TensorFlow's allocator takes for each byte of tensors, as chunks
# are not cut to size; an operation of the graph, as Python, TensorFlow's optimizer and its executor hold it; what is
# left of making a model; and batches that are read ahead.
ALLOCATED = 1.1
OPERATION_BYTES = 55_000
BESIDE_BYTES = 60 * 2**20
BATCHES_AHEAD = 4


def peak_bytes(model: Any, data: Any, trained: Sequence[keras.Variable]) -> int:
    """The most memory that a training takes, beyond that of the process before there is a model.

    On a GPU that is what its tensors take there; else also the graph and what is around it.

    Args:
      model: FineTuneModel, compiled, of which the variables train that are to.
      data: of `kft.data.batches` or `kft.data.token_batches`.
      trained: what any phase trains, which the optimizer keeps something of.
    """
    step, operations = step_bytes(model, data)
    x, *_ = step_parts.unpack_spec(_largest_batch(model, data))
    ahead = BATCHES_AHEAD * sum(map(graph_memory.size_of, keras.tree.flatten(x)))
    tensors = round(ALLOCATED * (state_bytes(model, trained) + step + ahead))
    if tf.config.list_physical_devices("GPU"):
        return tensors
    return tensors + OPERATION_BYTES * operations + BESIDE_BYTES


def state_bytes(model: Any, trained: Sequence[keras.Variable]) -> int:
    """Bytes that are there from the first step to the last: all variables, and what the optimizer keeps.

    Args:
      model: FineTuneModel, compiled.
      trained: what any phase trains. For a rule of Keras' own two slots of each are taken.
    """
    if hasattr(model.optimizer, "bytes_kept"):
        kept = model.optimizer.bytes_kept(trained)
    else:
        kept = 2 * bytes_of(trained)
    starts = model.mixout.bytes if model.mixout is not None else 0
    return bytes_of(model.variables) + kept + starts


def step_bytes(model: Any, data: Any) -> tuple[int, int]:
    """The most bytes that the tensors of one step take on one replica, with what trains now and the largest batch.

    The step without XLA is traced and its tensors are followed; see `graph_memory.peak_bytes`.

    Args:
      model, data: as of `peak_bytes`.

    Returns: the bytes, and the number of operations of forward and backward pass.
    """
    x, y, weight = step_parts.unpack_spec(_largest_batch(model, data))
    if weight is None:
        weight = tf.TensorSpec(keras.tree.flatten(x)[0].shape[:1], tf.float32)
    step_parts.build_losses_and_metrics(model, (x, y, weight))
    variables = model.trainable_variables
    before, model._inference = model._inference, model.inference_operations()
    try:
        traced = step_parts.graph(model._forward_backward(variables)).get_concrete_function(x, y, weight)
    finally:
        model._inference = before
    gradients = sum(map(graph_memory.size_of, traced.outputs))
    update = gradients + _update_bytes(model.optimizer, variables)
    step = graph_memory.peak_bytes(traced.graph, traced.outputs)
    return max(step, update), len(traced.graph.get_operations())


def _update_bytes(optimizer, variables):
    """What an update makes beside the gradients, as it was measured.

    Of one variable after the other the gradient with all rows, and copies where it decays, as it is read meanwhile; one
    more for its average, two for what is not updated by a kernel; and of all of them the accumulated gradients.
    """
    copies = 3 + bool(getattr(optimizer, "use_ema", False)) + 2 * (getattr(optimizer, "slot_dtype", "") == "bfloat16")
    accumulated = bytes_of(variables) if getattr(optimizer, "accumulate_steps", 1) > 1 else 0
    return copies * max(map(_bytes, variables)) + accumulated


def bytes_of(variables: Sequence[keras.Variable]) -> int:
    """Of the values of variables, each counted once."""
    return sum(_bytes(variable) for variable in {id(variable): variable for variable in variables}.values())


def _bytes(variable):
    return math.prod(variable.shape) * tf.as_dtype(variable.dtype).size


def _largest_batch(model, data):
    """The spec of the batch of an epoch that has most tokens; of one replica."""
    plan = data.plan.epoch(0)
    largest = int(np.argmax(plan.counts * np.maximum(plan.lengths, 1)))
    rows = -(-int(plan.counts[largest]) // model.distribute_strategy.num_replicas_in_sync)
    length = int(plan.lengths[largest])

    def static(spec):
        sides = [rows, *(length if side is None else side for side in spec.shape[1:])]
        return tf.TensorSpec(sides, spec.dtype)

    return keras.tree.map_structure(static, data.element_spec)
