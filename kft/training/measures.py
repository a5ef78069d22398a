"""What a model tells of its steps to those who look on; where nobody does, nothing of it is in the graph."""

import dataclasses
from collections.abc import Callable
from typing import Any

import tensorflow as tf


@dataclasses.dataclass
class Measures:
    """Set before a function of the model is traced.

    Args:
      waited: float64 on the host; train steps add the seconds in which they waited for their batch. None: not measured.
      tells_outputs: whether the test function tells what it saw.
      on_evaluated: called with labels, outputs and weights of each batch of an evaluation, or None.
    """

    waited: tf.Variable | None = None
    tells_outputs: bool = False
    on_evaluated: Callable[[Any, Any, Any], None] | None = None

    def tell(self, strategy: tf.distribute.Strategy, outputs: tuple[Any, Any, Any] | None) -> None:
        """Hands on what each replica returned, in the order of the batch."""
        if outputs is None or self.on_evaluated is None:
            return
        flat = [strategy.experimental_local_results(part) for part in tf.nest.flatten(outputs)]
        for replica in range(len(flat[0])):
            self.on_evaluated(*tf.nest.pack_sequence_as(outputs, [part[replica] for part in flat]))


def next_batch(iterator: Any, waited: tf.Variable | None) -> Any:
    """The next batch; in a graph."""
    if waited is None:
        return next(iterator)
    began = tf.timestamp()
    with tf.control_dependencies([began]):
        batch = next(iterator)
    with tf.control_dependencies(tf.nest.flatten(batch, expand_composites=True)):
        waited.assign_add(tf.timestamp() - began)
    return batch
