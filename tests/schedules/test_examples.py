"""The examples in the docstrings of the room."""

import doctest
import importlib
import pathlib

import pytest

import kft.schedules

MODULES = sorted(path.stem for path in pathlib.Path(kft.schedules.__file__).parent.glob("[!_]*.py"))


@pytest.mark.parametrize("module", MODULES)
def test_the_examples_are_true(module):
    assert doctest.testmod(importlib.import_module(f"kft.schedules.{module}")).failed == 0
