"""The examples in the docstrings of the room."""

import doctest
import importlib
import pathlib

import pytest

import kft.inspection

MODULES = sorted(path.stem for path in pathlib.Path(kft.inspection.__file__).parent.glob("[!_]*.py"))


@pytest.mark.parametrize("module", MODULES)
def test_the_examples_are_true(module):
    assert doctest.testmod(importlib.import_module(f"kft.inspection.{module}")).failed == 0
