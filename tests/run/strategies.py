"""Configs with any values that their types allow, for hypothesis."""

from hypothesis import strategies as st

from kft.run import from_flat
from kft.run.config import LEAVES


def values_of(leaf):
    if leaf.type is tuple and leaf.item is str:
        return st.lists(st.sampled_from(["flip", "crop"]), unique=True).map(tuple)
    item = {
        bool: st.booleans(),
        int: st.integers(-(2**40), 2**40),
        float: st.floats(allow_nan=False, allow_infinity=False),
        str: st.text("abc =:,.#'\"/-_()%äß", max_size=20).map(str.strip),
    }[leaf.item or leaf.type]
    return st.lists(item, max_size=3).map(tuple) if leaf.type is tuple else item


configs = st.fixed_dictionaries({}, optional={name: values_of(leaf) for name, leaf in LEAVES.items()}).map(from_flat)
