"""How long a run is, and how large its batches can be."""

from kft import errors
from kft.duration import Duration


def epochs_of(length: str, lengths: dict[str, int]) -> int:
    """Whole epochs, rounded up."""
    steps = Duration.parse(length).to_steps(**lengths)
    epochs = -(-steps // lengths["steps_per_epoch"])
    if epochs < 1:
        raise errors.InputError(f"Got length={length!r}. Expected one step at least. Use '10 epochs'.")
    return epochs


def check_batch(global_batch_size: int, num_replicas: int) -> None:
    """Raises InputError for batches that the replicas cannot share."""
    if global_batch_size % num_replicas:
        down = global_batch_size // num_replicas * num_replicas
        ways = f"{down} or {down + num_replicas}" if down else str(num_replicas)
        raise errors.InputError(
            f"Got global_batch_size={global_batch_size} with {num_replicas} replicas. Expected a multiple of the "
            f"number of replicas. Use {ways}."
        )
