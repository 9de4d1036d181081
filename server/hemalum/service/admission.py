"""`Admission`: who may work now, who waits for a place, who is told to come back later.

People go before batch work, else whoever came first; a caller who has as many places as one caller may have waits until
one of them is free, and others pass by.

>>> admission = Admission(places=1, waiting=1)
>>> first, second = admission.enter(), admission.enter()
>>> first.granted, second.granted, second.place
(True, False, 1)
>>> try:
...     admission.enter()
... except Busy as busy:
...     print(busy, busy.retry_after)
this server is busy with 1 run, and 1 more waits; try again when one has finished 10.0
>>> first.leave(); second.granted
True
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable

from hemalum.errors import Busy, ServerUnavailable

UNKNOWN = 10.0  # s, of a retry hint before any run has ended
SOONEST, LATEST = 2.0, 60.0  # s, of a retry hint
WEIGHT = 0.2  # of the last run in the mean time of a run


class Ticket:
    """A place, or a place in the queue; to be given back by `leave`, once or more often.

    Attributes:
        granted: it is a place.
    """

    def __init__(self, admission: Admission, caller: str, person: bool):
        self.caller, self.person, self.granted = caller, person, False
        self.since = time.monotonic()
        self._admission = admission

    @property
    def place(self) -> int:
        """1: the next; 0: granted, or given back."""
        return self._admission._place(self)

    def wait(self, seconds: float) -> bool:
        """Whether it was granted within so many seconds; raises `ServerUnavailable` where the server shuts down."""
        return self._admission._wait(self, seconds)

    def leave(self) -> None:
        self._admission._leave(self)

    def __enter__(self) -> Ticket:
        return self

    def __exit__(self, *_) -> None:
        self.leave()


class Admission:
    """Thread-safe.

    Args:
        places: how many work at a time.  waiting: how many more wait.
        each: of the places, what one caller may have; asked whenever it counts.
        noun: what they are, in sentences.
    """

    def __init__(self, places: int, waiting: int, each: Callable[[], int] | None = None, noun: str = "run"):
        self._places, self._waiting, self._noun = places, waiting, noun
        self._each = each or (lambda: places)
        self._changed = threading.Condition()
        self._inside: set[Ticket] = set()
        self._queue: list[Ticket] = []
        self._mean = 0.0
        self._closed = False

    def enter(self, caller: str = "", person: bool = False) -> Ticket:
        """A ticket, granted or in the queue.

        Args:
            person: someone waits, who goes before those who do not.

        Raises:
            Busy: the queue is full, or this caller's part of it.  ServerUnavailable: shutting down.
        """
        ticket = Ticket(self, caller, person)
        with self._changed:
            self._check_open()
            later = [number for number, other in enumerate(self._queue) if person and not other.person]
            self._queue.insert(later[0] if later else len(self._queue), ticket)
            self._grant()
            if not ticket.granted and self._too_many(ticket):
                self._queue.remove(ticket)
                raise self._busy(caller)
        return ticket

    @property
    def count(self) -> int:
        """Places that are taken."""
        return len(self._inside)

    @property
    def queue(self) -> int:
        return len(self._queue)

    def busy(self, caller: str = "") -> Busy:
        """What is said to someone who does not wait any longer."""
        with self._changed:
            return self._busy(caller)

    def close(self) -> None:
        """Nobody enters any more; takes no lock, so that a signal handler may call it."""
        self._closed = True

    def wait_empty(self, seconds: float) -> None:
        """Wait until no place is taken, at most so long."""
        with self._changed:
            self._changed.wait_for(lambda: not self._inside, seconds)

    def _check_open(self) -> None:
        if self._closed:
            raise ServerUnavailable("the server is shutting down and takes no new run; try again in a minute")

    def _too_many(self, ticket: Ticket) -> bool:
        # whoever may not have every place may not have the whole queue either
        share = self._waiting if self._each() >= self._places else max(1, self._waiting // 2)
        own = sum(other.caller == ticket.caller for other in self._queue)
        return len(self._queue) > self._waiting or own > share

    def _grant(self) -> None:
        taken, each = Counter(ticket.caller for ticket in self._inside), self._each()
        for ticket in list(self._queue):
            if len(self._inside) >= self._places:
                break
            if taken[ticket.caller] < each:
                self._queue.remove(ticket)
                self._inside.add(ticket)
                taken[ticket.caller] += 1
                ticket.granted, ticket.since = True, time.monotonic()
        self._changed.notify_all()

    def _leave(self, ticket: Ticket) -> None:
        with self._changed:
            if ticket in self._inside:
                self._inside.remove(ticket)
                held = time.monotonic() - ticket.since
                self._mean = held if not self._mean else (1 - WEIGHT) * self._mean + WEIGHT * held
            elif ticket in self._queue:
                self._queue.remove(ticket)
            self._grant()

    def _place(self, ticket: Ticket) -> int:
        with self._changed:
            return self._queue.index(ticket) + 1 if ticket in self._queue else 0

    def _wait(self, ticket: Ticket, seconds: float) -> bool:
        with self._changed:
            self._changed.wait_for(lambda: ticket.granted or self._closed, seconds)
            if not ticket.granted:
                self._check_open()
            return ticket.granted

    def _busy(self, caller: str) -> Busy:
        own = sum(ticket.caller == caller for ticket in self._inside)
        if own >= self._each() < self._places:
            sentence = f"this server takes {_many(self._each(), self._noun)} of one user at a time"
        else:
            sentence = f"this server is busy with {_many(len(self._inside), self._noun)}"
            if waiting := len(self._queue):
                sentence += f", and {waiting} more wait{'s' * (waiting == 1)}"
        expected = self._mean * (len(self._queue) + 1) / self._places if self._mean else UNKNOWN
        hint = min(LATEST, max(SOONEST, expected))
        return Busy(f"{sentence}; try again when one has finished", round(hint, 1))


def _many(count: int, noun: str) -> str:
    return f"{count} {noun}{'s' * (count != 1)}"
