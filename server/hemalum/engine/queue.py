"""One fair queue of tiles from all runs in front of the engines.

Each run has a `Lane`.  The queue's one worker thread takes a batch from one lane at a time: lanes in which a person
waits before batch work, but after four such turns batch work gets one, so nothing starves; within a class the lanes
take turns.  A lane whose post-processing is behind (`held` maps not yet released) is passed over, so memory stays
bounded and no lane blocks another.

>>> class Twice:
...     batch, tile = 1, 2
...     def maps(self, tiles): return tiles * 2
>>> import numpy as np, threading
>>> done, results = threading.Event(), []
>>> def result(index, pixels, maps, error):
...     results.append((index, int(maps[0, 0, 0])))
...     lane.release()
...     done.set()
>>> with TileQueue() as queue:
...     lane = queue.lane(Twice(), result)
...     lane.put(7, np.ones((2, 2, 3), np.uint8))
...     _ = done.wait(10)
>>> results
[(7, 2)]
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np

from hemalum.engine.base import Engine
from hemalum.engine.turns import Turns
from hemalum.errors import Cancelled

Result = Callable[[int, np.ndarray, np.ndarray | None, BaseException | None], Any]


class Lane:
    """A run's own place in the queue; made by `TileQueue.lane`."""

    def __init__(
        self,
        queue: TileQueue,
        engine: Engine,
        result: Result,
        taken: Callable[[int], Any],
        interactive: bool,
        room: int,
    ):
        self.engine, self.result, self.taken = engine, result, taken
        self.interactive, self.room = interactive, room
        self.seconds = 0.0
        self._queue = queue
        self._waiting: deque[tuple[int, np.ndarray]] = deque()
        self._held, self._open = 0, True

    def put(self, index: int, pixels: np.ndarray) -> None:
        """Add a tile (T×T×3 uint8).  Never blocks: whoever calls respects the run's credits.

        Raises:
            Cancelled: the lane was closed.
        """
        with self._queue._changed:
            if not self._open:
                raise Cancelled("the run has ended; start a new one")
            self._waiting.append((index, pixels))
            self._queue._changed.notify()

    def release(self, count: int = 1) -> None:
        """Say that the maps of `count` tiles are no longer held."""
        with self._queue._changed:
            self._held -= count
            self._queue._changed.notify()

    def close(self) -> None:
        """Forget the waiting tiles and take none any more; a tile in work still comes back."""
        with self._queue._changed:
            self._open = False
            self._waiting.clear()
            self._queue._lanes = [lane for lane in self._queue._lanes if lane is not self]

    def __len__(self) -> int:
        return len(self._waiting)

    def _ready(self) -> bool:
        return bool(self._waiting) and self._held < self.room

    def _take_batch(self) -> list[tuple[int, np.ndarray]]:
        """The next tiles that are computed together: tiles at an image's edge are smaller, and a batch has one size."""
        most = min(self.engine.batch, len(self._waiting), self.room - self._held)
        tiles = [self._waiting.popleft()]
        while len(tiles) < most and self._waiting[0][1].shape == tiles[0][1].shape:
            tiles.append(self._waiting.popleft())
        self._held += len(tiles)
        return tiles


class TileQueue:
    """The queue and its worker thread; a context manager.

    Args:
        first: what the thread calls before its first tile.
    """

    def __init__(self, first: Callable[[], Any] = lambda: None):
        self._first = first
        self._changed = threading.Condition()
        self._lanes: list[Lane] = []
        self._turns, self._stopped = Turns(), False
        self._thread = threading.Thread(target=self._work, name="hemalum-engine", daemon=True)
        self._thread.start()

    def lane(
        self,
        engine: Engine,
        result: Result,
        taken: Callable[[int], Any] = lambda index: None,
        interactive: bool = False,
        room: int = 4,
    ) -> Lane:
        """A place for one run.

        Args:
            engine: what computes this run's maps; runs of one model share one engine.
            result: called with (index, pixels, maps 2×H×W or None, error or None) in the worker thread: must not take
                long.
            taken: called with the index when the engine takes the tile's pixels.
            interactive: a person waits.
            room: maps that may be held before `release`.
        """
        room = max(room, engine.batch)
        lane = Lane(self, engine, result, taken=taken, interactive=interactive, room=room)
        with self._changed:
            self._lanes.append(lane)
        return lane

    def close(self) -> None:
        """Stop after the batch in work and wait for the worker's end; waiting tiles are forgotten."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
        if threading.current_thread() is not self._thread:
            self._thread.join()

    def __enter__(self) -> TileQueue:
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def _choose(self) -> Lane | None:
        ready = [lane for lane in self._lanes if lane._ready()]
        people = [lane for lane in ready if lane.interactive]
        batch = [lane for lane in ready if not lane.interactive]
        if not ready:
            return None
        lane = people[0] if self._turns.person(bool(people), bool(batch)) else batch[0]
        self._lanes.remove(lane)  # to the back: the lanes of a class take turns
        self._lanes.append(lane)
        return lane

    def _work(self) -> None:
        self._first()
        while self._one_batch():  # a frame of its own: an idle queue holds no pixels and no run
            pass

    def _one_batch(self) -> bool:
        """Wait for a batch and compute it; False at the end."""
        with self._changed:
            lane = None
            while not self._stopped and (lane := self._choose()) is None:
                self._changed.wait()
            if self._stopped or lane is None:
                return False
            tiles = lane._take_batch()
        for index, _ in tiles:
            lane.taken(index)
        started = time.perf_counter()
        maps, error = None, None
        try:
            maps = lane.engine.maps(np.stack([pixels for _, pixels in tiles]))
        except Exception as caught:  # a tile that cannot be computed must not stop other runs
            error = caught
        lane.seconds += time.perf_counter() - started
        for position, (index, pixels) in enumerate(tiles):
            lane.result(index, pixels, None if maps is None else maps[position], error)
        return True
