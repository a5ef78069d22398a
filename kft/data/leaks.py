"""The same example, or one that looks the same, in two sources."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from kft.data.examination import Examination
from kft.data.source import Finding, Source

# Of 128; two images of which so few differ agree in one of 8 words of 16 bits.
NEAR_BITS = 7
_PAIRS_AT_ONCE = 1 << 20


class Leak(NamedTuple):
    """An example that an earlier source has too: in which role and place there, and what is the same."""

    index: int
    role: str
    place: int
    what: str


def leaked(examined: Mapping[str, Examination]) -> dict[str, list[Leak]]:
    """role -> the examples that an earlier role has too, by their bytes (of text: their letters), else their pixels."""
    found: dict[str, dict[int, Leak]] = {role: {} for role in examined}
    for what in ("content", "pixels"):
        seen: list[tuple[str, np.ndarray, np.ndarray]] = []
        for role, examination in examined.items():
            own = getattr(examination, what)
            for other, names, places in seen:
                inside = np.minimum(np.searchsorted(names, own), len(names) - 1)
                same = (names[inside] == own) & (own != np.zeros(1, own.dtype))
                for index in np.flatnonzero(same).tolist():
                    found[role].setdefault(index, Leak(index, other, int(places[inside[index]]), what))
            names, places = np.unique(own, return_index=True)
            if len(names):
                seen.append((role, names, places))
    return {role: sorted(leaks.values()) for role, leaks in found.items()}


def findings(sources: Mapping[str, Source], leaks: Mapping[str, Sequence[Leak]], *, most: int) -> Iterator[Finding]:
    """A finding for each leak, up to `most` of a role, and one more for all that nobody would read."""
    for role, found in leaks.items():
        keys = sources[role].keys
        for leak in found[:most]:
            what = {"content": "bytes" if sources[role].records is None else "text", "pixels": "pixels"}[leak.what]
            where = f"{leak.role} ({sources[leak.role].keys[leak.place]})"
            reason = f"Got the same {what} in {role} and in {where}. Expected different examples."
            yield Finding("leak", keys[leak.index], reason, "Remove one of them, or allow it (--allow_leakage).")
        if len(found) > most:
            rest = len(found) - most
            yield Finding("leak", sources[role].name, f"Got {rest} more of {role}.", "Remove them.", count=rest)


def near_duplicates(
    sources: Mapping[str, Source],
    examined: Mapping[str, Examination],
    leaks: Mapping[str, Sequence[Leak]],
    *,
    most: int,
) -> Iterator[Finding]:
    """Images that look like one of an earlier role, without those that are the same; up to `most` of a role."""
    roles = list(examined)
    for number, role in enumerate(roles):
        same = {leak.index for leak in leaks[role]}
        alike: dict[int, tuple[str, int]] = {}
        for other in roles[:number]:
            for index, place in nearest(examined[role].look, examined[other].look):
                if index not in same:
                    alike.setdefault(index, (other, place))
        for index, (other, place) in sorted(alike.items())[:most]:
            reason = f"Got an image in {role} that looks like {sources[other].keys[place]} in {other}."
            remedy = "Look at both; if they are one picture, remove one of them."
            yield Finding("near-duplicates", sources[role].keys[index], reason, remedy)
        if len(alike) > most:
            rest = len(alike) - most
            yield Finding(
                "near-duplicates", sources[role].name, f"Got {rest} more of {role}.", "Look at them.", count=rest
            )


def nearest(looks: np.ndarray, others: np.ndarray) -> Iterable[tuple[int, int]]:
    """(index, place) of each look of which at most NEAR_BITS differ from one of the others, with the nearest of them.

    Args:
      looks, others: of 16 bytes each; zeros are like nothing.
    """
    best: dict[int, tuple[int, int]] = {}
    rows, places = (np.flatnonzero(part != np.zeros(1, part.dtype)) for part in (looks, others))
    if not len(rows) or not len(places):
        return []
    mine, theirs = looks[rows], others[places]
    words = [part.view(np.uint16).reshape(-1, 8) for part in (mine, theirs)]
    bits = [part.view(np.uint64).reshape(-1, 2) for part in (mine, theirs)]
    for word in range(8):
        order = np.argsort(words[1][:, word], kind="stable")
        values = words[1][order, word]
        first = np.searchsorted(values, words[0][:, word], side="left")
        counts = np.searchsorted(values, words[0][:, word], side="right") - first
        for start, end in _parts(counts):
            row = np.repeat(np.arange(start, end), counts[start:end])
            inside = np.arange(len(row)) - np.repeat(
                np.cumsum(counts[start:end]) - counts[start:end], counts[start:end]
            )
            other = order[first[row] + inside]
            differing = np.bitwise_count(bits[0][row] ^ bits[1][other]).sum(axis=1)
            for near in np.flatnonzero(differing <= NEAR_BITS):
                index, found = int(rows[row[near]]), (int(differing[near]), int(places[other[near]]))
                best[index] = min(best.get(index, found), found)
    return [(index, place) for index, (_, place) in sorted(best.items())]


def _parts(counts: np.ndarray) -> Iterator[tuple[int, int]]:
    """Ranges of rows with at most some pairs each, so that memory is bounded."""
    start, total = 0, 0
    for row, count in enumerate(counts.tolist()):
        if total and total + count > _PAIRS_AT_ONCE:
            yield start, row
            start, total = row, 0
        total += count
    yield start, len(counts)
