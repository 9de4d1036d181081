"""Whose turn it is: people who wait before batch work, but after four such turns batch work gets one.

>>> turns = Turns()
>>> [turns.person(people=True, batch=True) for _ in range(6)]
[True, True, True, True, False, True]
"""

from __future__ import annotations

IN_A_ROW = 4  # turns of people who wait before batch work gets one


class Turns:
    """Not thread-safe: whoever asks holds a lock."""

    def __init__(self) -> None:
        self._count = 0

    def person(self, people: bool, batch: bool) -> bool:
        """Whether a person is next, where `people` or `batch` work (or both) waits."""
        if people and (not batch or self._count < IN_A_ROW):
            self._count += batch
            return True
        self._count = 0
        return False
