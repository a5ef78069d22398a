"""The sums of a step have one order, whichever thread is first: nothing in the graph that is run leaves it open.

On a CPU TensorFlow's AddN begins with the first of its inputs whose memory nobody else needs any more. With three or
more, of which some have other consumers, it depends on what these have already done, and so does the last bit.
"""

import collections

import keras
import pytest
import tensorflow as tf
from tensorflow.python.eager import context

from kft import models, optimizers
from kft.inspection.block_measures import BlockMeasures
from kft.optimizers import gradients
from kft.training import FineTuneModel
from tests.training.models import crossentropy, examples, padded
from tests.training.test_remat import make_deep

SAME_MEMORY = {"Identity", "Reshape", "Squeeze", "ExpandDims", "Switch", "Merge", "Enter", "Exit", "StopGradient"}
NEVER_FREE = {"Const", "ReadVariableOp", "_Arg", "VariableV2"}


def open_sums(graph):
    """Names of the AddN of an optimized graph whose order is open."""
    nodes = {node.name: node for node in graph.node}
    after, readers = collections.defaultdict(set), collections.defaultdict(set)
    for node in graph.node:
        for edge in node.input:
            source = edge.lstrip("^").split(":")[0]
            if nodes[source].op != "NextIteration":
                after[source].add(node.name)
            if not edge.startswith("^"):
                readers[source].add(node.name)

    def owner(name):
        while nodes[name].op in SAME_MEMORY:
            name = nodes[name].input[0].split(":")[0]
        return name

    def consumers(name):
        return {c for r in readers[name] for c in (consumers(r) if nodes[r].op in SAME_MEMORY else {r})}

    def is_before(name, other):
        seen, left = set(), [name]
        while left:
            new = after[left.pop()] - seen
            seen, left = seen | new, [*left, *new]
        return other in seen

    def first_free(total):
        """Which inputs may be the first whose memory is free."""
        possible = set()
        for place, edge in enumerate(edge for edge in total.input if not edge.startswith("^")):
            source = owner(edge.split(":")[0])
            if nodes[source].op in NEVER_FREE:
                continue
            possible.add(place)
            others = consumers(source) - {total.name}
            if all(is_before(other, total.name) for other in others):
                return possible
        return possible | {0}  # none: as if it was the first

    sums = [node for node in graph.node if node.op == "AddN" and len(node.input) > 2]
    # a + b is b + a: whether it begins with the first or the second makes no difference.
    return [node.name for node in sums if len({max(place, 1) for place in first_free(node)}) > 1]


def graphs_of(run):
    """The graphs that are run, as TensorFlow has optimized them."""
    context.context().enable_run_metadata()
    try:
        run()
        metadata = context.context().export_run_metadata()
    finally:
        context.context().disable_run_metadata()
    return [graph for function in metadata.function_graphs for graph in function.partition_graphs]


def make_bert():
    keras.utils.set_random_seed(1)
    backbone = models.make_backbone("bert_tiny_random", weights="none")
    outputs = keras.layers.Dense(3, name="head")(backbone.features(backbone.model.output).pooled)
    return FineTuneModel(backbone.model.input, outputs, blocks=(*backbone.blocks, "head/.*"))


def batches_for(model):
    x, y = examples(16)
    if isinstance(model.input, dict):
        x = {name: (x > 0).astype(part.dtype) for name, part in model.input.items()}
        return tf.data.Dataset.from_tensor_slices((x, y)).batch(8)
    return padded(x, y, 8)


@pytest.mark.parametrize("make", [make_deep, make_bert])
def test_no_order_is_open_in_a_step_whose_norms_are_looked_at(make):
    model = make()
    rule = optimizers.make_rule("adamw", learning_rate=1e-3, options={"global_clipnorm": 1.0, "use_ema": True})
    model.compile(rule, crossentropy(), metrics=["accuracy"])
    BlockMeasures(model).listen()
    graphs = graphs_of(lambda: model.fit(batches_for(model), epochs=1, verbose=0))
    assert any("Adam" in node.op for graph in graphs for node in graph.node)
    assert [name for graph in graphs for name in open_sums(graph)] == []


def test_an_open_order_is_found_and_is_one():
    """The norm of gradients, as it was: a second consumer of what is summed changes the sum."""
    values = tf.constant([1e8, -5e7, 0.125])

    def total(hold):
        first, second, third = (value * factor for value, factor in zip(tf.unstack(values), (2.0, 4.0, 8.0)))
        added = tf.add_n([first, second, third])
        with tf.control_dependencies([added] if hold else []):
            return added, tf.stack([first, second])

    kept, held = (tf.function(total, autograph=False).get_concrete_function(hold) for hold in (False, True))
    assert float(held()[0]) == 0.0  # third + second + first
    assert [name for graph in graphs_of(tf.function(lambda: kept())) for name in open_sums(graph)]
    squares = gradients.squares([tf.sqrt(tf.abs(value)) for value in tf.unstack(values)])
    assert float(tf.reduce_sum(squares)) == pytest.approx(1.5e8)
