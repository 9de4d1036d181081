"""How long this side waits for the other, and what watches a stream for silence."""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Iterator
from typing import NamedTuple

import grpc

from hemalum.errors import HemalumError, ServerLost, ServerUnavailable
from hemalum.v1 import nuclei_pb2 as pb

LOOK = 0.5  # s between looks at the clock


class Patience(NamedTuple):
    """Seconds.

    Attributes:
        busy: in all, for a place on a server that has none.
        silence: of a server that has announced heartbeats.
        opening: of any other, while a run is being opened; then nothing limits it.
        reconnect: for a server that was lost in mid-run to come back; 0: it is not waited for.
    """

    busy: float = 3600
    silence: float = 120
    opening: float = 600
    reconnect: float = 60


PATIENCE = Patience()


class Listening:
    """The replies of a call, which is cancelled where the server says nothing for too long.

    Time counts only while somebody waits for a reply: a slow reader does not make the server look silent.

    Args:
        patience: how long.  heartbeat: what the server has announced, s; 0: nothing.

    Attributes:
        error: why the call was cancelled, or None.  opened: whether the run is.
    """

    def __init__(self, call: grpc.Call, patience: Patience, heartbeat: float):
        self.error: HemalumError | None = None
        self.opened = False
        self._call, self._patience, self._heartbeat = call, patience, heartbeat
        self._since: float | None = None
        self._ended = threading.Event()
        # holds no reference while it sleeps: a run that is dropped takes its call with it
        watch = threading.Thread(target=_watch, args=(weakref.ref(self), self._ended), daemon=True)
        watch.name = "hemalum-listening"
        watch.start()

    def replies(self) -> Iterator[pb.SegmentReply]:
        """Every reply; raises `grpc.RpcError`."""
        while True:
            self._since = time.monotonic()
            try:
                reply = next(self._call, None)
            finally:
                self._since = None
            if reply is None:
                return
            yield reply

    def end(self) -> None:
        """Watch no longer."""
        self._ended.set()

    def __del__(self):
        self._ended.set()

    def look(self) -> None:
        """Cancel the call if the server has been silent for too long."""
        since, limit = self._since, self._limit()
        if since is None or limit is None or time.monotonic() - since < limit:
            return
        said = f"the server has said nothing for {limit:g} s"
        if self.opened:
            self.error = ServerLost(f"{said}; see whether it still runs, and run again")
        else:
            self.error = ServerUnavailable(f"{said} while the run was being opened; see whether it still runs")
        self._ended.set()
        self._call.cancel()

    def _limit(self) -> float | None:
        if self._heartbeat > 0:
            return max(self._patience.silence, 4 * self._heartbeat)
        return None if self.opened else self._patience.opening


def _watch(listening: weakref.ref[Listening], ended: threading.Event) -> None:
    while not ended.wait(LOOK):
        there = listening()
        if there is None:
            return
        there.look()
        del there
