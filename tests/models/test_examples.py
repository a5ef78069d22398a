"""The examples in the docstrings do what they say."""

import doctest
import importlib

import pytest

MODULES = ["kft.models", "kft.models.backbone", "kft.models.custom", "kft.models.heads"]


@pytest.mark.parametrize("name", MODULES)
def test_examples(name):
    module = importlib.import_module(name)
    results = doctest.testmod(module, extraglobs={"keras": importlib.import_module("keras")})
    assert results.attempted > 0
    assert results.failed == 0
