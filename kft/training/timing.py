"""How long the part of a step takes that XLA may compile, without a trace in the model."""

import dataclasses
import statistics
import time
from typing import Any

import keras

from kft.training import step_parts


@dataclasses.dataclass(frozen=True)
class Timing:
    """Of forward and backward pass.

    Args:
      first_seconds: of the first one, with tracing and compiling.
      seconds: of a later one, the median.
    """

    first_seconds: float
    seconds: float


def time_step(model: Any, batch: Any, *, xla: bool, count: int = 3) -> Timing:
    """Runs forward and backward pass of a batch some times; statistics and seeds are afterwards what they were.

    Args:
      model: FineTuneModel, compiled; what trains now is differentiated.
      batch: (x, y) or (x, y, weight).
      xla: whether XLA compiles them.
      count: int >= 1, after the first.
    """
    x, y, weight = step_parts.unpack(keras.tree.map_structure(keras.ops.convert_to_tensor, batch))
    step_parts.build_losses_and_metrics(model, (x, y, weight))
    parameters = {id(variable) for variable in model.parameters}
    touched = [variable for variable in model.variables if id(variable) not in parameters]
    before = [variable.numpy() for variable in touched]
    inference, model._inference = model._inference, model.inference_operations()
    function = step_parts.graph(
        model._forward_backward(model.trainable_variables), **({"jit_compile": True} if xla else {})
    )
    seconds = []
    try:
        for _ in range(1 + count):
            began = time.perf_counter()
            function(x, y, weight)[1].numpy()
            seconds.append(time.perf_counter() - began)
    finally:
        model._inference = inference
        for variable, value in zip(touched, before, strict=True):
            variable.assign(value)
    return Timing(seconds[0], statistics.median(seconds[1:]))
