"""What every run over a stream shares: its caller, its place, its heartbeats, and the end of one whose client is gone.

The call's own thread never waits for anything but the transport: what blocks runs in a thread beside it, so that it can
say something every `heartbeat_seconds` and give up a client that sends nothing.

>>> list(ahead(iter("abc"), tick=5))
['a', 'b', 'c']
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future
from concurrent.futures import TimeoutError as StillRunning  # another class than TimeoutError in Python 3.10
from contextlib import closing
from typing import TYPE_CHECKING, Any, TypeVar

import grpc

from hemalum.errors import Cancelled, RunLost
from hemalum.runs.events import Event, Finished, Progress
from hemalum.service.admission import Ticket
from hemalum.service.work import Work
from hemalum.v1 import nuclei_pb2 as pb
from hemalum.wire.api import HEARTBEAT_KEY
from hemalum.wire.events import reply_of

if TYPE_CHECKING:
    from hemalum.runs.run import Run

log = logging.getLogger("hemalum.service")
Result = TypeVar("Result")
TICK = 0.5  # s between looks at the clock
AHEAD = 8  # events taken from a run before the client has read those before them


class Watchdog:
    """Ends a run in which nothing has moved for `seconds` because of its client.

    Attributes:
        seconds: may be changed as the call goes on.
        sending: a reply is on its way to the client.  due: a message from the client is, and nothing keeps it from
            sending it.
        error: why the run was ended, or None.
    """

    def __init__(self, context: grpc.ServicerContext, seconds: float):
        self.seconds = seconds
        self.sending = self.due = False
        self.error: RunLost | None = None
        self.run: Run | None = None
        self._context = context
        self._moved, self._ended = time.monotonic(), threading.Event()
        threading.Thread(target=self._watch, name="hemalum-watchdog", daemon=True).start()

    def touch(self) -> None:
        """Something moved."""
        self._moved = time.monotonic()

    def end(self) -> None:
        self._ended.set()

    def _watch(self) -> None:
        while not self._ended.wait(min(5.0, self.seconds / 4)):
            if time.monotonic() - self._moved < self.seconds or not (self.sending or self.due):
                continue
            what = "read what was sent" if self.sending else "sent what was due"
            self.error = RunLost(
                f"the run was ended because the client has not {what} for {self.seconds:g} s; start it again"
            )
            log.warning("%s", self.error)
            if self.run is not None:
                self.run.cancel()
            if self.sending:  # the call's thread waits in the transport, which only this ends
                self._context.cancel()
            return


class Call:
    """A call that carries a run.

    Args:
        work: of the server.  context: of the call.  caller: name of its token.
    """

    def __init__(self, work: Work, context: grpc.ServicerContext, caller: str = ""):
        self._work, self._context, self._caller = work, context, caller
        self._stop = threading.Event()
        self._broken: BaseException | None = None
        self._run: Run | None = None
        self._spoken = time.monotonic()
        self._beat: pb.SegmentReply | None = None  # said before the run is open, where the client understands it
        self._tick = min(TICK, work.limits.heartbeat_seconds / 4)

    def replies(self) -> Iterator[pb.SegmentReply]:
        """Every reply; raises `HemalumError` for what ends the run early."""
        limits = self._work.limits
        self._context.send_initial_metadata(((HEARTBEAT_KEY, f"{limits.heartbeat_seconds:g}"),))
        self._watchdog = Watchdog(self._context, limits.first_seconds)
        try:
            yield from self._carried()
        except Cancelled:
            if cause := self._broken or self._watchdog.error:
                raise cause from None
            raise
        finally:
            self._watchdog.end()
            self._stop.set()
            if self._run is not None:
                self._run.cancel()

    def _carried(self) -> Iterator[pb.SegmentReply]:
        """Everything from the first message to the last."""
        raise NotImplementedError

    def _enter(self, person: bool) -> Ticket:
        """A ticket, to be used as a context; raises `Busy` where the queue is full."""
        return self._work.admission.enter(self._caller, person)

    def _in_turn(self, ticket: Ticket, told: bool) -> Iterator[pb.SegmentReply]:
        """Wait until a ticket is a place.

        Args:
            told: whether the client understands `Queued`; else it does not wait long.

        Raises:
            Busy: no place was free in time.  ServerUnavailable: shutting down.  Cancelled: the client has gone.
        """
        admission, place = self._work.admission, 0
        end = time.monotonic() + self._work.limits.slot_seconds
        while not ticket.granted:
            if told and (ticket.place != place or self._silent()):
                place = ticket.place
                yield from self._sent(queued_message(place, admission.count))
            elif not told and time.monotonic() > end:
                raise admission.busy(self._caller)
            ticket.wait(self._tick)
            self._check()
        if told:
            self._beat = queued_message(0, admission.count)
            if place:
                yield from self._sent(self._beat)

    def _opened(self, make: Callable[[], Run]) -> Run:
        """A run that is cancelled with its call, even where that ends while the run is being made."""
        run = self._run = self._watchdog.run = make()
        if self._stop.is_set() or not self._context.add_callback(run.cancel):
            run.cancel()
            raise Cancelled("the client has gone")
        return run

    def _told(self, run: Run, events: Iterator[Event]) -> Iterator[pb.SegmentReply]:
        """The events of a run as replies, with heartbeats between them."""
        started, last = time.monotonic(), Progress(0, len(run.plan.tiles), 0, 0.0)
        with closing(ahead(events, self._tick)) as coming:
            for event in coming:
                if event is None:
                    self._check()
                    if self._silent():
                        beat = Progress(last.done, last.total, last.nuclei, time.monotonic() - started)
                        yield from self._sent(reply_of(beat, run.model.digest, run.image.identity))
                    continue
                if isinstance(event, Progress):
                    last = event
                if self._wanted(event):
                    yield from self._sent(reply_of(event, run.model.digest, run.image.identity))
                self._after(event)
                if isinstance(event, Finished):
                    self._note(run, event)

    def _wanted(self, event: Event) -> bool:
        return True

    def _after(self, event: Event) -> None:
        """An event has been sent."""

    def _note(self, run: Run, event: Finished) -> None:
        summary = event.summary
        log.info(
            "run %s: %d nuclei, %d tiles, %d failed", run.run_id, summary.nuclei, summary.tiles, len(summary.failed)
        )
        self._work.finished(run, summary.seconds.get("engine", 0.0), summary.tiles)

    def _beside(self, work: Callable[[], Result]) -> Generator[pb.SegmentReply, None, Result]:
        """What `work` returns or raises; it runs in a thread, and meanwhile heartbeats are sent."""
        result: Future[Result] = Future()

        def run() -> None:
            try:
                result.set_result(work())
            except BaseException as error:
                result.set_exception(error)

        threading.Thread(target=run, name="hemalum-beside", daemon=True).start()
        while not _done(result, self._tick):
            self._check()
            if self._beat is not None and self._silent():
                yield from self._sent(self._beat)
        return result.result()

    def _sent(self, reply: pb.SegmentReply) -> Iterator[pb.SegmentReply]:
        watchdog = self._watchdog
        watchdog.touch()
        watchdog.sending = True
        yield reply  # gRPC comes back here when it could hand the message to the transport
        watchdog.sending = False
        watchdog.touch()
        self._spoken = time.monotonic()

    def _silent(self) -> bool:
        return time.monotonic() - self._spoken + self._tick >= self._work.limits.heartbeat_seconds

    def _check(self) -> None:
        if self._watchdog.error is not None:
            raise self._watchdog.error
        if not self._context.is_active():
            raise Cancelled("the client has gone")


def _done(result: Future, seconds: float) -> bool:
    """Whether a future is done within so many seconds."""
    try:
        result.exception(seconds)
    except StillRunning:  # of this wait: an exception of the work is returned, not raised
        return result.done()
    return True


def ahead(items: Iterator[Any], tick: float = TICK) -> Generator[Any, None, None]:
    """`items`, taken by a thread, at most `AHEAD` before they are wanted; None whenever `tick` s pass without one.

    Closing it closes `items`, in its own thread, once that has the next item.
    """
    coming: queue.Queue[tuple[bool, Any]] = queue.Queue(AHEAD)
    stop = threading.Event()

    def put(last: bool, item: Any) -> None:
        while not stop.is_set():
            try:
                return coming.put((last, item), timeout=tick)
            except queue.Full:
                continue

    def take() -> None:
        error = None
        try:
            for item in items:
                put(False, item)
                if stop.is_set():
                    break
        except BaseException as problem:
            error = problem
        finally:
            if hasattr(items, "close"):
                items.close()
        put(True, error)

    threading.Thread(target=take, name="hemalum-events", daemon=True).start()
    try:
        while True:
            try:
                last, item = coming.get(timeout=tick)
            except queue.Empty:
                yield None
                continue
            if not last:
                yield item
            elif item is not None:
                raise item
            else:
                return
    finally:
        stop.set()


def queued_message(place: int, runs: int) -> pb.SegmentReply:
    """What a client is told that waits."""
    if place:
        sentence = f"the server is busy with {runs} run{'s' * (runs != 1)}; this one is number {place} in the queue"
    else:
        sentence = "the run is being opened"
    return pb.SegmentReply(queued=pb.Queued(place=place, runs=runs, sentence=sentence))


__all__ = ["Call", "Watchdog", "ahead", "queued_message"]
