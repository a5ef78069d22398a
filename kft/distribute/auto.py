"""The strategy that fits what is there."""

import json
import os
from collections.abc import Mapping, Sequence

import tensorflow as tf

from kft import errors


def auto(devices: Sequence[str] | None = None) -> tf.distribute.Strategy:
    """The first that fits: multi_worker, tpu, mirrored, one_device; see `choose`.

    Args:
      devices: names such as "GPU:0"; several are mirrored.
    """
    from kft import distribute

    name = choose(os.environ, lambda: len(tf.config.list_physical_devices("GPU")), devices)
    return distribute.make_strategy(name, devices=devices)


def choose(environment: Mapping[str, str], num_gpus, devices: Sequence[str] | None = None) -> str:
    """The name of the strategy.

        multi_worker   TF_CONFIG names several workers, or Slurm runs several tasks in this step
        tpu            TPU_NAME is set
        mirrored       several GPUs, or several devices given
        one_device     else

    Args:
      environment: variables of the process.
      num_gpus: function that counts them; called only if needed, as it starts TensorFlow.
      devices: as given; they must be of this machine.
    """
    if devices is not None:
        return "mirrored" if len(devices) > 1 else "one_device"
    try:
        cluster = json.loads(environment.get("TF_CONFIG") or "{}").get("cluster", {})
        num_workers = len(cluster.get("worker", ())) + len(cluster.get("chief", ()))
    except (ValueError, AttributeError, TypeError) as error:
        raise errors.InputError(
            f"Got TF_CONFIG={environment['TF_CONFIG']!r}. Expected JSON. Correct or remove it."
        ) from error
    tasks = environment.get("SLURM_STEP_NUM_TASKS", "1")
    if num_workers > 1 or ("SLURM_PROCID" in environment and tasks.isdigit() and int(tasks) > 1):
        return "multi_worker"
    if environment.get("TPU_NAME"):
        return "tpu"
    return "mirrored" if num_gpus() > 1 else "one_device"
