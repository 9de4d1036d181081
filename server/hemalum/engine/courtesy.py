"""Threads that give way: batch work at a server takes the cores that no person needs.

The system's scheduler knows better than any queue when a core is free, and it can interrupt a network in mid-tile.

>>> import threading
>>> thread = threading.Thread(target=give_way); thread.start(); thread.join()
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress

STEP = 10  # a thread that gives way gets about a tenth of a core for which it competes with one that does not


def give_way() -> None:
    """Let the calling thread, and those it starts, go after others.

    Only Linux counts a thread's niceness by itself; elsewhere all threads stay alike.
    """
    if sys.platform == "linux":
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, 0, min(19, os.getpriority(os.PRIO_PROCESS, 0) + STEP))
