"""Shared memory in which maps and pixels travel to post-processing processes.

>>> blocks = Blocks()
>>> memory = blocks.take(1000)
>>> blocks.give_back(memory); blocks.take(500) is memory, blocks.close()
(True, None)
"""

from __future__ import annotations

import threading
from multiprocessing.shared_memory import SharedMemory

ATTACHED = 16  # blocks a process keeps mapped: fewer than this are in use at once


class Blocks:
    """Blocks that are used again: touching fresh memory costs as much as copying the maps.  Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._free: list[SharedMemory] = []
        self._used: list[SharedMemory] = []

    def __len__(self) -> int:
        """Blocks that were taken and not given back."""
        return len(self._used)

    def take(self, size: int) -> SharedMemory:
        """A block of at least `size` bytes; it replaces a free one that is too small."""
        with self._lock:
            for position, memory in enumerate(self._free):
                if memory.size >= size:
                    self._used.append(self._free.pop(position))
                    return memory
            if self._free:
                _remove(self._free.pop(0))
            memory = SharedMemory(create=True, size=size)
            self._used.append(memory)
            return memory

    def give_back(self, memory: SharedMemory) -> None:
        with self._lock:
            self._used.remove(memory)
            self._free.append(memory)

    def close(self) -> None:
        """Remove every block, those in use too: nobody works any more."""
        with self._lock:
            for memory in [*self._free, *self._used]:
                _remove(memory)
            self._free, self._used = [], []


def _remove(memory: SharedMemory) -> None:
    memory.close()
    memory.unlink()


_attached: dict[str, SharedMemory] = {}


def attached(name: str) -> SharedMemory:
    """In a worker process: a block of its parent's, mapped once."""
    if name not in _attached:
        while len(_attached) >= ATTACHED:
            _attached.pop(next(iter(_attached))).close()
        _attached[name] = SharedMemory(name=name)
    return _attached[name]
