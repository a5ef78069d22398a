"""Event files as tests look at them."""

import collections
import pathlib

import tensorflow as tf
from tensorflow.core.util import event_pb2


def events(log_dir: pathlib.Path) -> dict:
    """(writer, tag) -> [(step, value)], in the order in which they were written."""
    found = collections.defaultdict(list)
    for path in sorted(log_dir.glob("*/events*")):
        for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
            event = event_pb2.Event.FromString(record)
            for value in event.summary.value:
                content = tf.make_ndarray(value.tensor)
                found[path.parent.name, value.tag].append(
                    (event.step, content.item() if not content.shape else content)
                )
    return dict(found)
