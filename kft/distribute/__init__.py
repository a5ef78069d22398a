"""Where a model trains: strategies of tf.distribute by name."""

from collections.abc import Sequence
from typing import Any

from kft import tables

STRATEGIES = {
    "one_device": "kft.distribute.one_device:one_device",
    "mirrored": "kft.distribute.mirrored:mirrored",
    "multi_worker": "kft.distribute.multi_worker:multi_worker",
    "tpu": "kft.distribute.tpu:tpu",
    "auto": "kft.distribute.auto:auto",
}


def make_strategy(name: str, *, devices: Sequence[str] | None = None, **options: Any) -> Any:
    """A strategy by name; make the model within its `scope()`.

    Args:
      name: "one_device"; "mirrored" for all GPUs of this machine; "multi_worker" for several processes, before anything
        is computed; "tpu", which was never run; or "auto" for what fits.
      devices: names such as "GPU:0", instead of the default ones.
      **options: `workers` and `worker_index` of "multi_worker".

    Returns: a tf.distribute.Strategy.
    Raises: InputError for an unknown name, or devices that this machine does not have.
    """
    return tables.lookup(STRATEGIES, name, what="strategy")(devices, **options)


def is_chief(strategy: Any) -> bool:
    """Whether this process is the one that writes: it is, unless it is one of several workers and not the first."""
    return worker_of(strategy)[0] == 0


def worker_of(strategy: Any) -> tuple[int, int]:
    """Which worker this process is, and of how many: (0, 1) where there are not several."""
    resolver = strategy.cluster_resolver
    if not getattr(strategy.extended, "_in_multi_worker_mode", bool)() or resolver is None:
        return 0, 1
    spec = resolver.cluster_spec().as_dict()
    offset = len(spec.get("chief", ())) if resolver.task_type == "worker" else 0
    return offset + resolver.task_id, len(spec.get("chief", ())) + len(spec.get("worker", ()))
