"""The most memory that a graph of TensorFlow takes for what it computes, without running it."""

import collections
import math
import re
from collections.abc import Iterable

import tensorflow as tf

# Operations whose output is their input, in the same memory.
PASSED_ON = re.compile(
    "CheckNumerics|EnsureShape|ExpandDims|Identity|PreventGradient|Reshape|Snapshot|Squeeze|StopGradient"
)
# Operations on each element, that write into an input which nobody else will read.
IN_PLACE = re.compile(
    "Abs|Add|AddN|AddV2|BiasAdd|Div|DivNoNan|(Elu|LeakyRelu|Relu|Relu6|Rsqrt|Selu|Sigmoid|Softplus|Sqrt|Tanh)(Grad)?|Erf|"
    "Exp|Expm1|Log|Log1p|LogSoftmax|Maximum|Minimum|Mul|Neg|Pow|RealDiv|Softmax|Square|SquaredDifference|Sub"
)


def peak_bytes(graph: tf.Graph, results: Iterable[tf.Tensor]) -> int:
    """The most bytes that tensors take at one time, operation after operation in the order in which they were made.

    A tensor is there from the operation that makes it to the last one that reads it. What leads to no result is not
    computed; what the kernel of an operation takes for itself, and gives back, is not counted.

    Args:
      graph: of static shapes.
      results: tensors of it that are still there at the end.
    """
    results = list(results)
    operations = _needed(graph, results)
    readers = collections.Counter(id(tensor) for operation in operations for tensor in operation.inputs)
    readers.update(id(tensor) for tensor in results)
    owner: dict[int, int] = {}  # of a tensor: the one whose memory it lies in
    left: collections.Counter[int] = collections.Counter()  # readings of a memory that are still to come
    sizes: dict[int, int] = {}
    now = peak = 0

    def release(key):
        nonlocal now
        left[key] -= 1
        if not left[key]:
            now -= sizes[key]

    for operation in operations:
        inputs = [owner[id(tensor)] for tensor in operation.inputs]
        for tensor in operation.outputs:
            size = 0 if operation.type == "ReadVariableOp" else size_of(tensor)
            key = id(tensor)
            if PASSED_ON.fullmatch(operation.type):
                key = inputs[0]
            elif IN_PLACE.fullmatch(operation.type):
                own = (i for i in inputs if left[i] == inputs.count(i) and sizes[i] == size)
                key = next(own, key)
            owner[id(tensor)] = key
            if key not in sizes:
                sizes[key] = size
                now += size
            left[key] += readers[id(tensor)]
            if not left[key]:  # nobody reads it; it is there while the operation runs
                left[key] = 1
                inputs.append(key)
        peak = max(peak, now)
        for key in inputs:
            release(key)
    return peak


def size_of(tensor: tf.Tensor) -> int:
    """Bytes of a tensor; 0 of a handle, and where the shape is not known."""
    if tensor.dtype in (tf.resource, tf.variant, tf.string) or not tensor.shape.is_fully_defined():
        return 0
    return math.prod(tensor.shape) * tensor.dtype.size


def _needed(graph, results):
    """The operations that lead to the results, in the order in which they were made."""
    wanted = [tensor.op for tensor in results]
    found = set()
    while wanted:
        operation = wanted.pop()
        if operation.name not in found:
            found.add(operation.name)
            wanted += [tensor.op for tensor in operation.inputs]
            wanted += operation.control_inputs
    return [operation for operation in graph.get_operations() if operation.name in found]
