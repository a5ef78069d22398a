"""The most bytes at one time, against small graphs whose tensors are counted by hand: each is 1,000 bytes."""

import tensorflow as tf

from kft.training import graph_memory

ONE = tf.TensorSpec((10, 25), tf.float32)


def peak(function, *specs):
    traced = tf.function(function, autograph=False).get_concrete_function(*specs)
    return graph_memory.peak_bytes(traced.graph, traced.outputs) // 100 * 100  # the constants of axes left out


def test_a_tensor_is_there_until_its_last_reader():
    def chain(x):
        for _ in range(5):
            x = tf.cumsum(x)
        return x

    def sum_of_all(x):
        kept = [x := tf.cumsum(x) for _ in range(5)]
        return tf.concat(kept, 0)

    assert peak(chain, ONE) == 2000  # what is read and what is made
    assert peak(sum_of_all, ONE) == 5 * 1000 + 5000


def test_elementwise_operations_write_into_what_nobody_else_reads():
    assert peak(lambda x: tf.tanh(tf.exp(tf.cumsum(x))), ONE) == 2000  # x and the sum
    assert peak(lambda x: tf.cumsum(y := tf.cumsum(x)) + tf.tanh(y), ONE) == 3000 - 1000  # x is gone by then
    assert peak(lambda x: (y := tf.cumsum(x), tf.tanh(y), tf.exp(y)), ONE) == 3000  # results, two of them made of y


def test_another_view_of_a_tensor_takes_nothing():
    assert peak(lambda x: tf.identity(tf.reshape(tf.cumsum(x), (25, 10))[None]), ONE) == 2000


def test_what_leads_to_no_result_is_not_computed():
    def unused(x):
        tf.concat([x] * 50, 0)
        return tf.cumsum(x)

    assert peak(unused, ONE) == 2000


def test_a_variable_that_is_read_takes_nothing_more():
    variable = tf.Variable(tf.zeros((25, 25)))
    assert peak(lambda x: x @ variable, ONE) == 2000  # and not 4500


def test_the_backward_pass_finds_what_it_needs():
    """Each tanh is kept for its own gradient, which is written into another one's place."""
    x = tf.Variable(tf.zeros((10, 25)))

    def gradient():
        with tf.GradientTape() as tape:
            y = tf.cumsum(x)
            for _ in range(3):
                y = tf.tanh(tf.cumsum(y))
        return tape.gradient(y, x)

    assert peak(gradient) == 3000 + 1000
