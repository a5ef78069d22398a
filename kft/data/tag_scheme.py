"""Tags that mark entities in a sequence of words: their schemes, what is illegal in them, and the entities."""

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from kft import errors

OUTSIDE = "O"

# Prefixes of words that begin an entity, are inside, end it, are all of it; "" where the scheme has no such word.
SCHEMES = {"iob1": "BI", "bio": "BI", "bioes": "BIES", "bmes": "BMES"}
_ENTITY_TAG = re.compile(r"[BIMES](-.+)?")


class Entity(NamedTuple):
    """Words [start, end) of a sequence are one thing of a type."""

    type: str
    start: int
    end: int


def parts(tag: str) -> tuple[str, str]:
    """Prefix and type of a tag.

    Example:
      >>> parts("B-creative-work")
      ('B', 'creative-work')
    """
    prefix, _, type_ = tag.partition("-")
    return prefix, type_


def marks_entities(tags: Iterable[str]) -> bool:
    """Whether a set of tags is that of a scheme, as opposed to tags without prefixes (such as parts of speech).

    Example:
      >>> marks_entities(["O", "B-person"]), marks_entities(["NOUN", "VERB"])
      (True, False)
    """
    tags = set(tags) - {OUTSIDE}
    return bool(tags) and all(_ENTITY_TAG.fullmatch(tag) for tag in tags)


def entities(tags: Sequence[str]) -> list[Entity]:
    """The entities in a sequence of tags of any of the schemes, legal or not, as CoNLL's evaluation reads them.

    A word begins an entity where its prefix is B or S, or where the word before is outside, of another type, or the end
    of an entity (E or S); else it goes on with the entity of the word before.

    Reference: the rules of conlleval of CoNLL-2000, which seqeval's default mode follows as well.

    Example:
      >>> entities(["B-x", "I-x", "O", "I-y", "B-y"])
      [Entity(type='x', start=0, end=2), Entity(type='y', start=3, end=4), Entity(type='y', start=4, end=5)]
    """
    found: list[Entity] = []
    before = (OUTSIDE, "")
    for place, tag in enumerate(tags):
        prefix, type_ = parts(tag)
        if prefix != OUTSIDE:
            goes_on = prefix not in "BS" and before[0] not in "OES" and before[1] == type_
            start = found.pop().start if goes_on else place
            found.append(Entity(type_, start, place + 1))
        before = prefix, type_
    return found


def illegal_places(tags: Sequence[str], scheme: str) -> list[int]:
    """The words whose tags may not be where they are.

        iob1   B only where the word before is of the same type, to part two entities; I else
        bio    I only after B or I of the same type
        bioes  after B and I there is I or E of the same type, and these are nowhere else; an entity of one word is S
        bmes   as bioes, with M for I

    An entity that is not ended is told at its last word.

    Args:
      tags: of one sequence.
      scheme: a key of SCHEMES.

    Raises: InputError for an unknown scheme.

    Example:
      >>> illegal_places(["O", "I-x", "B-y", "I-x"], "bio")
      [1, 3]
    """
    if scheme not in SCHEMES:
        raise errors.unknown_name("tag_scheme", scheme, SCHEMES)
    split = [parts(tag) for tag in tags]
    of_scheme = [prefix == OUTSIDE or prefix in SCHEMES[scheme] for prefix, _ in split]
    follows = [
        before[0] != OUTSIDE and before[1] == here[1]
        for before, here in zip([(OUTSIDE, ""), *split], split, strict=False)
    ]
    if scheme == "iob1":
        legal = [prefix != "B" or after for (prefix, _), after in zip(split, follows, strict=True)]
    elif scheme == "bio":
        legal = [prefix != "I" or after for (prefix, _), after in zip(split, follows, strict=True)]
    else:
        legal = _legal_with_ends(split, follows)
    return [place for place, fine in enumerate(legal) if not (fine and of_scheme[place])]


def _legal_with_ends(split: Sequence[tuple[str, str]], follows: Sequence[bool]) -> list[bool]:
    """For schemes that mark the end of an entity: whether each word may follow the one before, and be followed so."""
    open_before = [False, *(prefix in "BIM" for prefix, _ in split)]
    goes_on = [prefix in "IME" for prefix, _ in split]
    legal = []
    for place, after in enumerate(follows):
        begun = open_before[place] and after
        may_be_here = begun or not goes_on[place]
        must_go_on = open_before[place + 1]
        is_followed = place + 1 < len(split) and goes_on[place + 1] and follows[place + 1]
        legal.append(may_be_here and (is_followed or not must_go_on))
    return legal


def detect(sequences: Iterable[Sequence[str]]) -> str:
    """The scheme of tagged sequences: the one of SCHEMES in which the fewest places are illegal.

    Of equally good ones "bio" comes first, then "bioes".

    Args:
      sequences: tags of many sentences, together with all that tells the schemes apart.

    Example:
      >>> detect([["I-x", "I-x", "B-x"]]), detect([["B-x", "I-x"]]), detect([["B-x", "M-x", "E-x"]])
      ('iob1', 'bio', 'bmes')
    """
    distinct = {tuple(tags) for tags in sequences}
    order = ("bio", "bioes", "bmes", "iob1")
    wrong = {scheme: sum(len(illegal_places(tags, scheme)) for tags in distinct) for scheme in order}
    return min(order, key=wrong.__getitem__)
