"""A picture of a schedule."""

import pathlib

import keras
import numpy as np
import tensorflow as tf


def picture(schedule: keras.optimizers.schedules.LearningRateSchedule, total_steps: int, path: str) -> pathlib.Path:
    """Draws the learning rate over the steps of a run into a PNG file.

    Args:
      schedule: any LearningRateSchedule.
      total_steps: int >= 1; step `total_steps` is drawn too, so that the end is seen.
      path: file to write, overwritten.

    Returns: the path.

    Example:
      >>> import tempfile
      >>> from kft.schedules import Cosine
      >>> picture(Cosine(0.1, 100), 100, f"{tempfile.mkdtemp()}/schedule.png").name
      'schedule.png'
    """
    from matplotlib.figure import Figure

    steps = np.unique(np.linspace(0, total_steps, 1001).astype(np.int64))

    @tf.function(autograph=False)
    def rates():  # one step at a time, as a schedule that is not ours may take no more
        return tf.map_fn(lambda step: tf.cast(schedule(step), tf.float64), steps, fn_output_signature=tf.float64)

    figure = Figure(figsize=(6, 3), layout="constrained")
    axes = figure.subplots()
    axes.plot(steps, rates().numpy())
    axes.set(xlabel="step", ylabel="learning rate", xlim=(0, total_steps), ylim=(0, None))
    axes.grid(alpha=0.3)
    figure.savefig(path, format="png", dpi=120)
    return pathlib.Path(path)
