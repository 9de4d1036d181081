"""`compiled`: numba's `njit` with the settings that all loops of the pure core share; `cores`: how many may run.

Machine code is cached on disk, so that only the first run on a machine pays for compiling (some 20 s in all, paid by
`hemalum check --compile` for all of them).  Numba writes the cache beside the module, or, where that folder is
read-only, into the user's cache folder (`~/.cache`, `%LOCALAPPDATA%`); `NUMBA_CACHE_DIR` overrides both.  What lies
there and is damaged, half-written or not to be read is compiled again; where nothing can be written at all, the
functions are compiled in memory in each process.

>>> @compiled
... def double(x):
...     return 2 * x
>>> double(4)
8
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import pickle
from pathlib import Path

from numba import njit
from numba.core.caching import FunctionCache, IndexDataCacheFile

__all__ = ["compiled", "cores", "root"]


SUM = 32  # bytes of sha256


class _CheckedFile(IndexDataCacheFile):
    """Numba's cache of one function, with sums: machine code of which a bit is wrong would end the process."""

    def _save_data(self, name, data):
        content = self._dump(data)
        with self._open_for_write(self._data_path(name)) as file:
            file.write(hashlib.sha256(content).digest() + content)

    def _load_data(self, name):
        content = Path(self._data_path(name)).read_bytes()
        if hashlib.sha256(content[SUM:]).digest() != content[:SUM]:
            raise ValueError("damaged")
        return pickle.loads(content[SUM:])

    def _load_index(self):
        try:
            return super()._load_index()
        except Exception:  # of a file that is damaged anything may be raised
            return {}


class _Cache(FunctionCache):
    """Numba's cache, but one that never ends a run: what cannot be loaded is compiled, what cannot be saved is not."""

    def __init__(self, function):
        super().__init__(function)
        self._cache_file.__class__ = _CheckedFile

    def load_overload(self, sig, target_context):
        try:
            return super().load_overload(sig, target_context)
        except Exception:
            return None

    def save_overload(self, sig, data):
        try:
            super().save_overload(sig, data)
        except Exception:  # a full disk, a folder of another user
            return


def compiled(function):
    """Compile `function` without the GIL, cached on disk where that is possible."""
    dispatcher = njit(nogil=True)(function)
    with contextlib.suppress(RuntimeError, OSError):  # "no locator available": nowhere to keep the cache
        dispatcher._cache = _Cache(function)
    return dispatcher


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
