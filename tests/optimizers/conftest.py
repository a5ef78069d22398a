"""The mirrored pair, for more than one test in a process."""

import pytest
import tensorflow as tf


@pytest.fixture(scope="session")
def mirrored_pair():
    """Two logical CPUs that reduce on one of them.

    TensorFlow numbers the collective operations of every strategy from 100: the second strategy of a process gets the
    first one's shapes, and fails. Reducing on one device needs no collective operations.
    """
    return tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"], cross_device_ops=tf.distribute.ReductionToOneDevice())
