"""How much memory is free."""

import contextlib
import os
import pathlib


def free_memory() -> int:
    """Bytes of memory that may still be used, by this machine's count and by the container's limit."""
    free = []
    with contextlib.suppress(OSError, StopIteration, ValueError):
        lines = pathlib.Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        free.append(int(next(line for line in lines if line.startswith("MemAvailable")).split()[1]) * 1024)
    with contextlib.suppress(OSError, ValueError):
        limit = pathlib.Path("/sys/fs/cgroup/memory.max").read_text(encoding="ascii")
        used = pathlib.Path("/sys/fs/cgroup/memory.current").read_text(encoding="ascii")
        free.append(max(int(limit) - int(used), 0))
    if not free:
        free.append(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2)
    return min(free)
