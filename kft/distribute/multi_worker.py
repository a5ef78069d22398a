"""Several processes, on one machine or many, each with its devices, a copy of the model and a share of every batch."""

import os
from collections.abc import Sequence

import tensorflow as tf

from kft import errors
from kft.distribute.cluster import Cluster, find_cluster
from kft.distribute.peers import Peers

_made: dict[Cluster, tuple[tf.distribute.Strategy, Peers]] = {}


def multi_worker(
    devices: Sequence[str] | None = None, *, workers: Sequence[str] = (), worker_index: int = -1
) -> tf.distribute.Strategy:
    """A MultiWorkerMirroredStrategy over a cluster; it waits until all workers are there.

    Call it before anything is computed. Called again in the same process it gives the same strategy. A worker whose
    peer is lost ends with exit code 75 within 20 seconds; see `kft.distribute.peers`.

    Args:
      devices: None; each worker takes all GPUs that it sees, or its CPU.
      workers, worker_index: see `kft.distribute.cluster.find_cluster`.

    Raises: InputError for a cluster that is not described, or if TensorFlow has computed something before;
      ConnectionError if a worker does not come.
    """
    if devices is not None:
        raise errors.InputError(
            f"Got devices={list(devices)!r} for multi_worker. Expected none, as each worker takes what it sees. Set "
            "CUDA_VISIBLE_DEVICES."
        )
    cluster = find_cluster(workers, worker_index)
    if cluster in _made:
        return _made[cluster][0]
    os.environ["TF_CONFIG"] = cluster.tf_config()
    peers = Peers(cluster)
    try:
        strategy = tf.distribute.MultiWorkerMirroredStrategy()
    except RuntimeError as error:
        raise errors.InputError(
            f"Got a multi_worker strategy that TensorFlow refuses: {error} Expected it before anything is computed. "
            "Make it first."
        ) from error
    _made[cluster] = strategy, peers
    return strategy
