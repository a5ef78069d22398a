"""A fixed split into training and evaluation data."""

import dataclasses
from collections.abc import Iterable, Sequence

import numpy as np

from kft import errors
from kft.data.check import by_type, check
from kft.data.source import Source, fingerprint, subset


def split(source: Source, *, fraction: float = 0.2, alike: Iterable[Sequence[int]] = ()) -> tuple[Source, Source]:
    """Splits by a hash of each example's content.

        evaluation = examples with fingerprint(content) / 2**64 < fraction
        train = the others

    So an example stays on its side when others come, go, or are renamed, and equal examples are on the same side. Those
    of one group of `alike` share the lowest of their hashes, and so a side.

    Args:
      source: any source.
      fraction: of the examples for evaluation, in (0, 1); met on average.
      alike: groups of indices of examples that are to be on one side, as of `kft.data.check(source, find_alike=True)`.

    Returns: training and evaluation data, both with the label names of the source.
    Raises: InputError if the fraction is out of range, or if a class would have no example on one side.
    """
    if not 0 < fraction < 1:
        raise errors.InputError(f"Got fraction={fraction!r}. Expected a number between 0 and 1. Use 0.2.")
    hashes = np.array([_hash(source, index) for index in range(source.num_examples)], np.uint64)
    for group in alike:
        hashes[list(group)] = hashes[list(group)].min()
    evaluates = hashes < np.uint64(fraction * 2**64)
    sides = []
    for side, chosen in (("train", ~evaluates), ("evaluation", evaluates)):
        part = subset(source, np.flatnonzero(chosen))
        sides.append(dataclasses.replace(part, name=f"{source.name} ({side} part)"))
    whole = by_type(source)
    for side in sides:
        lost = [name for name, count in by_type(side).items() if count == 0 and whole[name] > 0]
        if lost:
            raise errors.InputError(
                f"Got no example of {', '.join(map(repr, lost))} in {side.name}. Expected every class on both sides. "
                "Add examples of it, or give evaluation data of your own. What else is in the data:\n"
                + check(source).text()
            )
    return sides[0], sides[1]


def _hash(source: Source, index: int) -> int:
    try:
        content = (source.normalized or source.content)(index)
    except OSError:  # the pre-flight reports it
        content = source.keys[index].encode()
    return int.from_bytes(fingerprint(content)[:8], "big")
