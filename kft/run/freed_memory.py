"""How the process keeps the memory that its tensors had."""

import ctypes
import platform

# mallopt's names in malloc.h -> bytes: how much may be free at the end of a heap, how much a heap grows by at the least
# and keeps, and which blocks are not of a heap; glibc takes no more than these 32 MiB.
M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD = -1, -2, -3
KEPT = {M_MMAP_THRESHOLD: 2**25, M_TRIM_THRESHOLD: 2**28, M_TOP_PAD: 2**24}


def keep_freed_memory() -> bool:
    """Lets glibc keep what is freed, up to 256 MiB of a heap, for the next step; whether it does.

    Without it much that a step allocates is given back to the kernel, which clears each page when the next step asks
    for it: thousands of page faults in each step of a BERT. Elsewhere than with glibc it changes nothing.

    Reference: mallopt(3).
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    return all(mallopt(name, size) == 1 for name, size in KEPT.items())
