"""Moving statistics of BatchNorm that each replica keeps for itself."""

import keras
import tensorflow as tf

from kft.training import step_parts


def average_statistics(model: keras.Model) -> None:
    """Gives all replicas the mean of their moving statistics, where they have some that differ.

    Each replica normalises by its own part of the batch and moves its own statistics; the mean over the replicas is
    what is evaluated, saved, and gone on with. Nothing is done on one replica, or where BatchNorm is frozen.
    """
    strategy = model.distribute_strategy
    if strategy.num_replicas_in_sync == 1 or model.batchnorm != "train":
        return
    parameters = {id(variable) for variable in model.parameters}
    moving = [weight.value for weight in model.weights if id(weight) not in parameters]
    moving = [variable for variable in moving if variable.dtype.is_floating]
    if not moving:
        return

    def on_replica():
        means = tf.distribute.get_replica_context().all_reduce("MEAN", [tf.identity(variable) for variable in moving])
        for variable, mean in zip(moving, means, strict=True):
            variable.assign(mean)

    if getattr(model, "_average_statistics", None) is None:
        model._average_statistics = step_parts.graph(lambda: strategy.run(on_replica))
    model._average_statistics()
