"""Threads or processes that turn maps into nuclei beside the network.

Tiles of people who wait go first, and one worker more than the count is theirs alone.  A process that dies (the system
takes its memory, a library crashes) costs nothing: the processes are started anew, tried out, and what was in work is
computed again, tile by tile, so that only a tile that takes its process down a second time fails.  Where even the
trial fails, `problem` says so, and nothing is taken any more.

>>> with Workers(1) as workers:
...     workers.submit(pow, 2, 5).result()
32
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from multiprocessing import get_context
from typing import Any

import cv2
import numpy as np

from hemalum.engine.blocks import Blocks, attached
from hemalum.engine.courtesy import give_way
from hemalum.engine.turns import Turns
from hemalum.grid.tiling import Plan, Tile, plan_tiles
from hemalum.nuclei.from_maps import MapSettings, tile_nuclei
from hemalum.nuclei.nuclei import Nuclei

log = logging.getLogger("hemalum.engine")
Tell = Callable[[str], Any]
ENDING = "the process is shutting down"


class WorkersLost(RuntimeError):
    """Post-processing died on this tile, or is not there any more."""


@dataclass(eq=False)
class _Job:
    """A call that waits or is in work.  `future`: what its caller holds.  again: it was in work when processes died."""

    call: tuple
    interactive: bool
    future: Future = field(default_factory=Future)
    again: bool = False


class Workers:
    """Threads or processes for `tile_nuclei`, shared by all runs; a context manager.

    Threads suffice where one core keeps up with the engine (the compiled loops release the GIL); processes pay where a
    GPU outruns one core.  Maps travel to processes through shared memory.

    Args:
        count: workers, ≥ 1.
        processes: processes instead of threads.
        polite: threads for batch work give way to all others.
        lost: told `problem` once the workers are lost for good.

    Attributes:
        problem: a sentence once the workers are lost for good, else "".
    """

    def __init__(
        self, count: int = 1, processes: bool = False, polite: bool = False, lost: Tell = lambda sentence: None
    ):
        self.count, self.processes = count, processes
        self.problem, self._told = "", lost
        self._lock = threading.Lock()
        self._turns = Turns()
        self._people: deque[_Job] = deque()
        self._batch: deque[_Job] = deque()
        self._busy: set[_Job] = set()
        self._recovery: threading.Thread | None = None
        self._closed = False
        self._blocks = Blocks()
        self._pool = self._made()
        # of their own, since a thread that once gave way cannot be told otherwise
        self._background = ThreadPoolExecutor(count, "hemalum-post", _politely) if polite and not processes else None

    def submit(self, function: Callable, *arguments: Any, interactive: bool = False) -> Future:
        """Run a function (importable, with small arguments where processes are used).

        Args:
            interactive: a person waits.

        Raises:
            RuntimeError: the workers were closed.  WorkersLost: they are lost, see `problem`.
        """
        job = _Job((function, *arguments), interactive)
        with self._lock:
            if self.problem:
                raise WorkersLost(self.problem)
            if self._closed:
                raise RuntimeError(ENDING)
            (self._people if interactive else self._batch).append(job)
        self._start()
        return job.future

    def tile(
        self,
        maps: np.ndarray,
        pixels: np.ndarray,
        tile: Tile,
        plan: Plan,
        settings: MapSettings,
        interactive: bool = False,
    ) -> Future:
        """A future of `tile_nuclei` of a tile and the seconds it took; raises as `submit`."""
        if not self.processes:
            return self.submit(_timed, maps, pixels, tile, plan, settings, interactive=interactive)
        memory = self._blocks.take(maps.nbytes + pixels.nbytes)
        try:
            np.ndarray(maps.shape, np.float32, memory.buf)[:] = maps
            np.ndarray(pixels.shape, np.uint8, memory.buf, maps.nbytes)[:] = pixels
            small = replace(plan, tiles=())  # a slide's whole plan need not travel with each tile
            where = memory.name, maps.shape, pixels.shape
            future = self.submit(_in_process, *where, tile, small, settings, interactive=interactive)
        except BaseException:
            self._blocks.give_back(memory)
            raise
        future.add_done_callback(lambda _: self._blocks.give_back(memory))
        return future

    @property
    def blocks(self) -> int:
        """Blocks of shared memory in use."""
        return len(self._blocks)

    def warm(self) -> None:
        """Load (or compile) the loops in every worker, so that the first tile does not wait for them."""
        for future in [self.submit(_warm) for _ in range(self.count)]:
            future.result()

    def close(self) -> None:
        """End after what is in work; what waits is cancelled."""
        with self._lock:
            self._closed = True
            waiting = [*self._people, *self._batch]
            self._people.clear()
            self._batch.clear()
        for job in waiting:
            job.future.cancel()
            job.future.set_running_or_notify_cancel()
        if self._recovery is not None:
            self._recovery.join()
        for pool in (self._pool, self._background):
            if pool is not None:
                pool.shutdown(wait=True, cancel_futures=True)
        self._blocks.close()

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _made(self) -> Executor:
        most = self.count + 1
        if self.processes:  # spawn: a forked child would inherit gRPC's and the engine's threads
            return ProcessPoolExecutor(most, mp_context=get_context("spawn"), initializer=_one_thread)
        return ThreadPoolExecutor(most, thread_name_prefix="hemalum-post", initializer=_one_thread)

    def _start(self) -> None:
        """Give the pool as much as it has workers for."""
        while (job := self._next()) is not None:
            try:
                pool = self._pool if job.interactive or self._background is None else self._background
                inner = pool.submit(*job.call)
            except RuntimeError:  # broken, or closed in between
                self._put_back(job)
                return
            inner.add_done_callback(partial(self._ended, job))

    def _next(self) -> _Job | None:
        with self._lock:
            if self._recovery is not None:
                return None
            batch = bool(self._batch) and len(self._busy) < self.count
            if self._people and len(self._busy) <= self.count and self._turns.person(True, batch):
                job = self._people.popleft()
            elif batch:
                job = self._batch.popleft()
            else:
                return None
            self._busy.add(job)
            return job

    def _put_back(self, job: _Job) -> None:
        with self._lock:
            self._busy.discard(job)
            if not self._closed:
                (self._people if job.interactive else self._batch).appendleft(job)
        if self._closed:
            self._finish(job, error=RuntimeError(ENDING))
        else:
            self._lost()

    def _ended(self, job: _Job, inner: Future) -> None:
        if inner.cancelled():
            self._finish(job, error=RuntimeError(ENDING))
        elif isinstance(error := inner.exception(), BrokenExecutor):
            job.again = True
            self._lost()
        else:
            self._finish(job, None if error else inner.result(), error)
            self._start()

    def _finish(self, job: _Job, result: Any = None, error: BaseException | None = None) -> None:
        with self._lock:
            self._busy.discard(job)
        if error is not None:
            job.future.set_exception(error)
        else:
            job.future.set_result(result)

    def _lost(self) -> None:
        """Processes died."""
        with self._lock:
            if self._recovery is None and not self._closed:
                self._recovery = threading.Thread(target=self._recover, name="hemalum-recovery", daemon=True)
                self._recovery.start()

    def _recover(self) -> None:
        """Start the processes anew, compute what was in work, then go on."""
        self._pool.shutdown(wait=True)  # every job in work is reported by then
        with self._lock:
            again = [job for job in self._busy if job.again]
        log.warning("post-processing died; it is started anew, and %d tile(s) are computed again", len(again))
        problem = self._renewed()
        for job in again:
            if problem:
                break
            try:
                self._finish(job, self._pool.submit(*job.call).result())
            except BrokenExecutor:
                self._finish(job, error=WorkersLost("its process died on it twice; the machine may be short of memory"))
                self._pool.shutdown(wait=True)
                problem = self._renewed()
            except BaseException as error:
                self._finish(job, error=error)
        with self._lock:
            self._recovery = None
            self.problem = problem
            rest = [*self._busy, *self._people, *self._batch] if problem else []
            if problem:
                self._people.clear()
                self._batch.clear()
        if problem and not self._closed:
            self._told(problem)
        for job in rest:
            self._finish(job, error=WorkersLost(problem))
        self._start()

    def _renewed(self) -> str:
        """New processes, tried out; why they do not work, or ""."""
        self._pool = self._made()
        try:
            self._pool.submit(_warm).result()
        except Exception as error:
            if self._closed:
                return ENDING
            log.error("post-processing does not start again: %s", error)
            return "post-processing has died and does not start again; look at the machine's memory, start again"
        return ""


def _one_thread() -> None:
    # OpenCV's own threads would fight the network for the cores, and parallel workers with each other
    cv2.setNumThreads(1)


def _politely() -> None:
    _one_thread()
    give_way()


def _timed(*arguments: Any) -> tuple[Nuclei, float]:
    started = time.perf_counter()
    nuclei = tile_nuclei(*arguments)
    return nuclei, time.perf_counter() - started


def _in_process(
    name: str, maps_shape: tuple, pixels_shape: tuple, tile: Tile, plan: Plan, settings: MapSettings
) -> tuple[Nuclei, float]:
    memory = attached(name)
    maps = np.ndarray(maps_shape, np.float32, memory.buf)
    pixels = np.ndarray(pixels_shape, np.uint8, memory.buf, maps.nbytes)
    return _timed(maps, pixels, tile, plan, settings)


def _warm() -> int:
    """The process's id, after one tile."""
    maps = np.zeros((2, 128, 128), np.float32)
    maps[:, 40:60, 40:60] = 1
    plan = plan_tiles((64, 64), 0.5, 0.5, core=64, halo=0)
    settings = MapSettings(
        foreground=0.5,
        marker=0.5,
        sigma=1.0,
        min_area_um2=1.0,
        largest_nucleus_um=25.0,
        output_scale=2,
        stain_matrix=((0.65, 0.7, 0.29), (0.07, 0.99, 0.11)),
    )
    tile_nuclei(maps, np.zeros((64, 64, 3), np.uint8), plan.tiles[0], plan, settings)
    return os.getpid()
