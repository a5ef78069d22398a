"""The examples in the docstrings do what they say."""

import doctest

import kft.tasks


def test_examples():
    results = doctest.testmod(kft.tasks)
    assert results.attempted > 0
    assert results.failed == 0
