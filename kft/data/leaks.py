"""The same example, or one that looks the same, in two sources or in one."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from kft.data.examination import Examination
from kft.data.source import Finding, Source

# Of 128; two images of which so few differ agree in one of 8 words of 16 bits.
NEAR_BITS = 7
# So many pairs agree in one of these words only where it says nothing, such as that the border is black.
_MOST_PAIRS = 1 << 27
_PAIRS_AT_ONCE = 1 << 18
# A group of more than this part of all, and of so many, is not a few pictures of one thing but data that looks alike.
LARGEST_SHARE, LARGEST = 0.01, 20


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
            yield Finding("leak", keys[leak.index], reason, "Remove one of them, or set allow_leakage.")
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
    for indices, places, differing in _near(looks, others):
        for index, place, bits in zip(indices.tolist(), places.tolist(), differing.tolist(), strict=True):
            best[index] = min(best.get(index, (bits, place)), (bits, place))
    return [(index, place) for index, (_, place) in sorted(best.items())]


def alike(examination: Examination) -> tuple[tuple[int, ...], ...]:
    """Groups of examples of one source that are the same, or images that look alike, and what is joined through others.

    Where looks join more than LARGEST examples and LARGEST_SHARE of all, as of data whose images all look alike, only
    the same bytes and the same pixels do.

    Returns: indices of two and more examples each, rising; no example is in two groups.
    """
    count = len(examination.content)
    parent = np.arange(count)
    for names in (examination.content, examination.pixels):
        told = np.flatnonzero(names != np.zeros(1, names.dtype))
        order = told[np.argsort(names[told], kind="stable")]
        same = names[order[1:]] == names[order[:-1]]
        _join(parent, order[1:][same], order[:-1][same])
    joined = parent.copy()
    for indices, places, _ in _near(examination.look, examination.look):
        _join(joined, indices, places)
    joined = _roots(joined, joined)
    sizes = np.bincount(joined, minlength=count)
    too_large = sizes[joined] > max(LARGEST, LARGEST_SHARE * count)
    joined = np.where(too_large, _roots(parent, parent), joined)
    order = np.argsort(joined, kind="stable")
    starts = np.flatnonzero(np.diff(joined[order])) + 1
    return tuple(tuple(group.tolist()) for group in np.split(order, starts) if len(group) > 1)


def _roots(parent: np.ndarray, places: np.ndarray) -> np.ndarray:
    while (parent[places] != places).any():
        places = parent[places]
    return places


def _join(parent: np.ndarray, ones: np.ndarray, others: np.ndarray) -> None:
    """Puts each pair into one group, whose root is its lowest index."""
    while len(ones):
        ones, others = _roots(parent, ones), _roots(parent, others)
        apart = ones != others
        ones, others = ones[apart], others[apart]
        np.minimum.at(parent, np.maximum(ones, others), np.minimum(ones, others))


def _near(looks: np.ndarray, others: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """(indices, places, differing bits) of pairs of which at most NEAR_BITS differ; some pairs several times."""
    rows, places = (np.flatnonzero(part != np.zeros(1, part.dtype)) for part in (looks, others))
    if not len(rows) or not len(places):
        return
    mine, theirs = looks[rows], others[places]
    words = [part.view(np.uint16).reshape(-1, 8) for part in (mine, theirs)]
    bits = [part.view(np.uint64).reshape(-1, 2) for part in (mine, theirs)]
    for word in range(8):
        order = np.argsort(words[1][:, word], kind="stable")
        values = words[1][order, word]
        first = np.searchsorted(values, words[0][:, word], side="left")
        counts = np.searchsorted(values, words[0][:, word], side="right") - first
        if counts.sum() > _MOST_PAIRS:
            continue
        for start, end in _parts(counts):
            row = np.repeat(np.arange(start, end), counts[start:end])
            inside = np.arange(len(row)) - np.repeat(
                np.cumsum(counts[start:end]) - counts[start:end], counts[start:end]
            )
            other = order[first[row] + inside]
            differing = np.bitwise_count(bits[0][row] ^ bits[1][other]).sum(axis=1)
            near = np.flatnonzero(differing <= NEAR_BITS)
            yield rows[row[near]], places[other[near]], differing[near]


def _parts(counts: np.ndarray) -> Iterator[tuple[int, int]]:
    """Ranges of rows with at most some pairs each, so that memory is bounded."""
    start, total = 0, 0
    for row, count in enumerate(counts.tolist()):
        if total and total + count > _PAIRS_AT_ONCE:
            yield start, row
            start, total = row, 0
        total += count
    yield start, len(counts)
