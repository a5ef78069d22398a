"""Parts of a functional graph, that call its own operations: nothing is copied, so the variables are the same."""

from collections.abc import Collection, Iterable, Sequence
from typing import Any

import keras
from keras.src.backend.common import masking
from keras.src.models.functional import operation_fn


class Subgraph(keras.layers.Layer):
    """The part of a functional graph between some of its tensors and others.

    Works by node, not by layer, so that a layer that is called at several places may be on both sides of a cut.

    Args:
      model: functional model, flat.
      sources: tensors of its graph that are given.
      targets: tensors of its graph that are asked for; each depends on sources and variables alone.
      inference: operations that run in inference mode, by id; None for all.

    Shapes: called with a tuple of one dict for each source, {"value": tensor} with its "mask" if it has a Keras
      mask; returns the same for the targets.
    """

    def __init__(
        self,
        model: keras.Model,
        sources: Sequence[keras.KerasTensor],
        targets: Sequence[keras.KerasTensor],
        inference: Collection[int] | None = None,
    ):
        super().__init__(autocast=False)
        self.nodes = needed_nodes(model, sources, targets)
        self._source_ids = [id(tensor) for tensor in sources]
        self._target_ids = [id(tensor) for tensor in targets]
        self._inference = inference
        # As attributes, so that Keras clears the penalties of these layers at each call of the whole.
        self.parts = [node.operation for node in self.nodes if isinstance(node.operation, keras.layers.Layer)]

    def call(self, values: tuple[dict[str, Any], ...], training=None):
        known = {}
        for key, item in zip(self._source_ids, values, strict=True):
            if "mask" in item:
                masking.set_keras_mask(item["value"], item["mask"])
            known[key] = item["value"]
        for node in self.nodes:
            args, kwargs = node.arguments.fill_in(known)
            frozen = self._inference is None or id(node.operation) in self._inference
            outputs = operation_fn(node.operation, training=False if frozen else training)(*args, **kwargs)
            known.update((id(t), value) for t, value in zip(node.outputs, keras.tree.flatten(outputs), strict=False))
        return tuple(_with_mask(known[key]) for key in self._target_ids)


def _with_mask(value: Any) -> dict[str, Any]:
    mask = masking.get_keras_mask(value)
    return {"value": value} if mask is None else {"value": value, "mask": mask}


def nodes_in_order(model: keras.Model) -> list[Any]:
    """The calls of operations of a functional graph, each after all that it depends on."""
    return [node for depth in sorted(model._nodes_by_depth, reverse=True) for node in model._nodes_by_depth[depth]]


def frozen_tensors(model: keras.Model, inference: Collection[int]) -> dict[int, keras.KerasTensor]:
    """Every tensor that depends on the model's inputs and on frozen operations alone, by id, bottom to top.

    Frozen is an operation that runs in inference mode and of which no weight trains now: a BatchNorm may use its
    moving statistics while its scale trains. One with a penalty on its outputs is not, as the penalty is part of the
    loss of each step.

    Args:
      model: functional model, flat.
      inference: operations that run in inference mode, by id.
    """
    tensors: dict[int, keras.KerasTensor] = {}
    for node in nodes_in_order(model):
        frozen = id(node.operation) in inference and _is_frozen(node.operation)
        if node.is_input or (frozen and all(id(tensor) in tensors for tensor in node.input_tensors)):
            tensors.update((id(tensor), tensor) for tensor in node.outputs)
    return tensors


def _is_frozen(operation: Any) -> bool:
    trains = any(weight.trainable for weight in getattr(operation, "weights", ()))
    return not trains and getattr(operation, "activity_regularizer", None) is None


def frontier(model: keras.Model, frozen: Collection[int]) -> tuple[keras.KerasTensor, ...]:
    """The frozen tensors that the rest of the graph needs, or that are the model's outputs.

    One whose examples differ in more than their length, such as a mask (batch, 1, length), is made again by the rest,
    from what it was made of.

    Args:
      model: functional model, flat.
      frozen: ids of tensors, as of `frozen_tensors`.
    """
    nodes = nodes_in_order(model)
    needed = {id(tensor) for tensor in model.outputs}
    crossing = {id(tensor): tensor for tensor in model.outputs if id(tensor) in frozen}
    for node in reversed(nodes):
        made = {id(tensor): tensor for tensor in node.outputs}
        again = any(None in crossing[key].shape[2:] for key in made.keys() & crossing.keys()) and not node.is_input
        if again:
            crossing = {key: tensor for key, tensor in crossing.items() if key not in made}
        if again or (made.keys() & needed and not made.keys() <= set(frozen)):
            needed |= {id(tensor) for tensor in node.input_tensors}
            crossing.update((id(tensor), tensor) for tensor in node.input_tensors if id(tensor) in frozen)
    place = {id(tensor): number for number, node in enumerate(nodes) for tensor in node.outputs}
    return tuple(sorted(crossing.values(), key=lambda tensor: place[id(tensor)]))


def needed_nodes(
    model: keras.Model, sources: Iterable[keras.KerasTensor], targets: Iterable[keras.KerasTensor]
) -> list[Any]:
    """The nodes that have to run to get from sources to targets, in order; input nodes among them have no call."""
    known = {id(tensor) for tensor in sources}
    wanted = {id(tensor) for tensor in targets} - known
    nodes = []
    for node in reversed(nodes_in_order(model)):
        if not node.is_input and any(id(tensor) in wanted for tensor in node.outputs):
            nodes.append(node)
            wanted.update(id(tensor) for tensor in node.input_tensors if id(tensor) not in known)
    return nodes[::-1]


def split_at_frozen_prefix(
    model: keras.Model, inference: Collection[int]
) -> tuple[Subgraph, Subgraph, tuple[keras.KerasTensor, ...]]:
    """Cuts a graph above its longest frozen prefix.

        suffix(prefix(inputs)) == model(inputs)

    Args:
      model: functional model, flat.
      inference: operations that run in inference mode, by id.

    Returns: prefix, from the model's inputs to the tensors that cross the cut; suffix, from there to its outputs;
      and these tensors.
    """
    crossing = frontier(model, frozen_tensors(model, inference))
    return Subgraph(model, model.inputs, crossing), Subgraph(model, crossing, model.outputs, inference), crossing
