"""What is freed stays with the process, so that the next step has no page faults."""

import subprocess
import sys

import pytest

from kft.run import freed_memory

FAULTS = """
import ctypes, resource, sys
from kft.run import freed_memory
if sys.argv[1] == "kept":
    assert freed_memory.keep_freed_memory()
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
def step():
    blocks = [libc.malloc(20 * 2**20) for _ in range(3)]
    for block in blocks:
        ctypes.memset(ctypes.c_void_p(block), 1, 20 * 2**20)
    for block in blocks:
        libc.free(block)
step()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(5):
    step()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(how):
    return int(subprocess.run([sys.executable, "-c", FAULTS, how], capture_output=True, text=True, check=True).stdout)


def test_freed_memory_is_not_asked_for_again():
    if not freed_memory.keep_freed_memory():
        pytest.skip("glibc is missing")
    assert faults("kept") < 100 < faults("as it is")
