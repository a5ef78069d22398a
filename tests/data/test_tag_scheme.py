"""Schemes of tags: the same entities in each, what is illegal, and what seqeval says."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from seqeval.metrics.sequence_labeling import get_entities

from kft import errors
from kft.data import tag_scheme
from kft.data.tag_scheme import Entity

# "a b c" is an entity of three words, "d" one of one word of the same type, after it at once, "f" one of another type.
SAME = {
    "iob1": ["I-x", "I-x", "I-x", "B-x", "O", "I-y"],
    "bio": ["B-x", "I-x", "I-x", "B-x", "O", "B-y"],
    "bioes": ["B-x", "I-x", "E-x", "S-x", "O", "S-y"],
    "bmes": ["B-x", "M-x", "E-x", "S-x", "O", "S-y"],
}
SPANS = st.lists(st.tuples(st.sampled_from(["x", "y-z"]), st.integers(1, 4), st.integers(0, 2)), max_size=6)


def tagged(spans, scheme):
    """Entities of (type, words, words outside after it), written in a scheme, by its definition."""
    tags, before = [], None
    for type_, length, gap in spans:
        words = {
            "iob1": ["B" if before == type_ else "I", *"I" * (length - 1)],
            "bio": ["B", *"I" * (length - 1)],
            "bioes": ["S"] if length == 1 else ["B", *"I" * (length - 2), "E"],
            "bmes": ["S"] if length == 1 else ["B", *"M" * (length - 2), "E"],
        }[scheme]
        tags += [f"{prefix}-{type_}" for prefix in words] + ["O"] * gap
        before = None if gap else type_
    return tags


@pytest.mark.parametrize("scheme", SAME)
def test_the_same_entities_in_every_scheme(scheme):
    assert tag_scheme.entities(SAME[scheme]) == [Entity("x", 0, 3), Entity("x", 3, 4), Entity("y", 5, 6)]
    assert tag_scheme.illegal_places(SAME[scheme], scheme) == []
    assert tag_scheme.detect([SAME[scheme]]) == scheme


@pytest.mark.parametrize("scheme", SAME)
@given(spans=SPANS)
def test_entities_come_back_from_their_tags(scheme, spans):
    tags = tagged(spans, scheme)
    expected, place = [], 0
    for type_, length, gap in spans:
        expected.append(Entity(type_, place, place + length))
        place += length + gap
    assert tag_scheme.entities(tags) == expected
    assert tag_scheme.illegal_places(tags, scheme) == []


@given(
    st.lists(st.sampled_from(["O", *(f"{prefix}-{kind}" for prefix in "BIES" for kind in ("x", "y-z"))]), max_size=9)
)
def test_entities_of_any_tags_are_those_of_seqeval(tags):
    expected = [Entity(type_, start, end + 1) for type_, start, end in get_entities(tags)]
    assert tag_scheme.entities(tags) == expected


@pytest.mark.parametrize(
    ("scheme", "tags", "places"),
    [
        ("bio", "I-x O", [0]),
        ("bio", "B-x I-y", [1]),
        ("bio", "B-x E-x", [1]),
        ("iob1", "B-x I-x", [0]),
        ("iob1", "I-x B-y", [1]),
        ("iob1", "I-x B-x B-x", []),
        ("bioes", "B-x O", [0]),
        ("bioes", "B-x", [0]),
        ("bioes", "B-x E-y", [0, 1]),
        ("bioes", "I-x E-x", [0]),
        ("bioes", "S-x E-x", [1]),
        ("bioes", "B-x M-x E-x", [1]),
        ("bmes", "B-x M-x S-x", [1]),
        ("bmes", "B-x I-x E-x", [1]),
    ],
)
def test_illegal_places(scheme, tags, places):
    assert tag_scheme.illegal_places(tags.split(), scheme) == places


def test_a_slip_does_not_change_the_scheme_that_is_found():
    many = [["B-x", "I-x", "O"], ["O", "B-y", "I-y"], ["B-y", "O", "B-x"], ["I-x", "O"]]
    assert tag_scheme.detect(many) == "bio"


def test_tags_without_entities():
    assert tag_scheme.entities(["O", "O"]) == []
    assert not tag_scheme.marks_entities(["O"])
    assert tag_scheme.marks_entities(["O", "B", "I"])


def test_an_unknown_scheme():
    with pytest.raises(errors.InputError, match="Did you mean 'bioes'"):
        tag_scheme.illegal_places(["O"], "bioe")
