"""How long the phases of a training will take, and what memory, before it runs."""

import dataclasses
import math
import time
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from kft import paths
from kft.training import memory_plan, split_graph

BACKWARD = 2.0  # a backward pass computes two products where the forward computes one
BATCHES = 3


@dataclasses.dataclass(frozen=True)
class Estimate:
    """What a phase will take.

    Args:
      seconds: of its training steps, reading included, validation not.
      memory_bytes: the most that is there at once: weights, what the optimizer keeps, and the tensors of a step,
        gradients among them. Beyond what the process has without a model, and without what is stored.
      stored_bytes: activations at the cut, of all examples, where what is frozen is computed once; else 0.
    """

    seconds: float
    memory_bytes: int
    stored_bytes: int


def estimate(model: Any, data: Any, phases: Sequence[tuple[int, int, Any]], *, cache: bool) -> list[Estimate]:
    """Times the forward pass of some batches, and shares it out over the graph by the number of multiplications.

    What no such number says, such as how well an operation uses the machine, is not in it: right within a factor
    of two or so. The first steps, which trace, are not in it.

    Args:
      model: FineTuneModel, compiled.
      data: of `kft.data.batches` or `kft.data.token_batches`.
      phases: (first epoch, end, phase), as of `kft.trainable.epochs_of_phases`.
      cache: whether what is frozen is computed once.

    Returns: one for each phase.
    """
    reading, forward = _measure(model, data)
    nodes = split_graph.nodes_in_order(model)
    whole = sum(map(_work, nodes)) or 1.0
    mean = 1 if data.plan.row_lengths is None else float(data.plan.row_lengths.mean())
    trained = paths.select(
        [variable.path for variable in model.parameters],
        [pattern for *_, phase in phases for pattern in phase.trainable],
        what="trainable",
    )
    trained = [variable for variable in model.parameters if variable.path in {*trained}]
    estimates = []
    for first, end, phase in phases:
        model.set_trainable(phase.trainable)
        inference = model.inference_operations()
        frozen = split_graph.frozen_tensors(model, inference)
        crossing = split_graph.frontier(model, frozen)
        rest = [node for node in nodes if not all(id(tensor) in frozen for tensor in node.outputs)]
        share = sum(map(_work, rest)) / whole
        below = split_graph.needed_nodes(model, model.inputs, crossing)
        epochs = end - first
        prefix, step = reading + (1 - share) * forward, share * forward * (1 + BACKWARD)
        times = 1 if cache and below else epochs
        estimates.append(
            Estimate(
                seconds=data.steps_per_epoch * (times * prefix + epochs * step),
                memory_bytes=memory_plan.peak_bytes(model, data, trained),
                stored_bytes=round(sum(_bytes(t, mean) for t in crossing) * data.num_examples) if times < epochs else 0,
            )
        )
    return estimates


def _measure(model: Any, data: Any) -> tuple[float, float]:
    """Seconds to read a batch, and to run it forward."""
    forward = tf.function(
        lambda x: model(x, training=False),
        input_signature=[data.element_spec[0]],
        autograph=False,
        jit_compile=bool(model.jit_compile),
    )
    count = min((BATCHES + 1) * data.global_batch_size, data.num_examples)
    batches = list(data.examples([(np.arange(count), 0)]).take(1))
    began = time.perf_counter()
    batches = [x for x, *_ in data.examples([(np.arange(count), 0)])]
    reading = (time.perf_counter() - began) / len(batches)
    forward(batches[0])
    began = time.perf_counter()
    for x in batches[-BATCHES:]:
        keras.tree.flatten(forward(x))[0].numpy()
    return reading, (time.perf_counter() - began) / len(batches[-BATCHES:])


def _work(node: Any) -> float:
    """Multiplications for one example: each kernel once for each position, and a few for each output."""
    if node.is_input:
        return 0.0
    work = 0.0
    for tensor in node.outputs:
        size = math.prod(side or 1 for side in tensor.shape[1:])
        kernels = [
            math.prod(weight.shape)
            for weight in getattr(node.operation, "weights", ())
            if len(weight.shape) > 1 and not weight.path.endswith("embeddings")
        ]
        work += size + size / (tensor.shape[-1] or 1) * sum(kernels)
    return work


def _bytes(tensor: keras.KerasTensor, length: float) -> float:
    """Of one example, with `length` where examples differ in size."""
    return math.prod(side or length for side in tensor.shape[1:]) * tf.as_dtype(tensor.dtype).size
