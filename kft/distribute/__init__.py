"""Where a model trains: strategies of tf.distribute by name."""

from collections.abc import Sequence
from typing import Any

from kft import tables

STRATEGIES = {
    "one_device": "kft.distribute.one_device:one_device",
    "mirrored": "kft.distribute.mirrored:mirrored",
}


def make_strategy(name: str, *, devices: Sequence[str] | None = None) -> Any:
    """A strategy by name; make the model within its `scope()`.

    Args:
      name: "one_device", or "mirrored" for all GPUs of this machine.
      devices: names such as "GPU:0", instead of the default ones.

    Returns: a tf.distribute.Strategy.
    Raises: InputError for an unknown name, or devices that this machine does not have.
    """
    return tables.lookup(STRATEGIES, name, what="strategy")(devices)
