"""`compiled`: numba's `njit` with the settings that all loops of the pure core share; `cores`: how many may run.

Machine code is cached on disk, so that only the first run on a machine pays for compiling (some 20 s in all).  Numba
writes the cache beside the module, or, where that folder is read-only, into the user's cache folder (`~/.cache`,
`%LOCALAPPDATA%`); `NUMBA_CACHE_DIR` overrides both.  Where no folder at all can be written (a locked-down container)
numba refuses to decorate; then the functions are compiled in memory in each process instead of failing.

>>> @compiled
... def double(x):
...     return 2 * x
>>> double(4)
8
"""

from __future__ import annotations

import os
from pathlib import Path

from numba import njit

__all__ = ["compiled", "cores", "root"]


def compiled(function):
    """Compile `function` without the GIL, cached on disk where that is possible."""
    try:
        return njit(cache=True, nogil=True)(function)
    except RuntimeError:  # "no locator available": nowhere to keep the cache
        return njit(nogil=True)(function)


@compiled
def root(parent, i):
    """Union-find: the root of `i`; each element on the way is hung one step higher."""
    while parent[i] != i:
        parent[i] = parent[parent[i]]
        i = parent[i]
    return i


def cores() -> int:
    """Cores this process may use: what the scheduler allows, less where a container is limited further."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        if quota != "max":
            allowed = min(allowed, max(1, round(int(quota) / int(period))))
    except (OSError, ValueError):
        pass  # no container, or another system
    return allowed
