"""The tiles of a job computed by Dask workers: one plan, pieces on disk, seams settled here, the same nuclei.

Workers read the slide and write pieces into the job's folder, so both must be reachable under the same paths; the
scheduler carries only names.  A worker that is killed costs the tiles it had; Dask gives them to another one.
"""

from __future__ import annotations

import asyncio
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from hemalum.errors import HemalumError, RunLost, ServerUnavailable, UsageError
from hemalum.grid.tiling import Tile
from hemalum.jobs.pieces import Pieces
from hemalum.jobs.slide_run import PieceRun, Reader, key_of, missing
from hemalum.jobs.worker import compute
from hemalum.runs.pipeline import alongside

TILES, TRIES = 2, 3  # tiles a task: what a killed worker costs; workers a tile may take down before it is set aside
AHEAD = 4  # tasks in the cluster per worker
MOST = 8  # slides in work at once
PATIENCE = 300  # s that workers of this machine may take to start again
TIMEOUT = (TimeoutError, asyncio.TimeoutError)  # two classes before Python 3.11


class Cluster:
    """A Dask cluster as the `compute` of `hemalum.jobs.job.work_on`; a context manager.

    Args:
        workers: processes of one thread each on this machine, where no scheduler is given.
        scheduler: address of a running scheduler.
        say: takes a sentence for the user.

    Raises:
        UsageError: Dask is not installed.  ServerUnavailable: the scheduler cannot be reached.
    """

    def __init__(self, workers: int | None = None, scheduler: str | None = None, say: Callable[[str], Any] = print):
        try:
            import dask
            from distributed import Client, LocalCluster
        except ImportError:
            raise UsageError(
                "--workers and --scheduler need Dask; install it with `pip install hemalum[batch]`"
            ) from None
        # a worker that is slow to start again is not given up
        dask.config.set(
            {
                "distributed.scheduler.allowed-failures": TRIES - 1,
                "distributed.deploy.lost-worker-timeout": f"{PATIENCE} s",
            }
        )
        self._local, self._stop, self._scheduler, self._say = None, threading.Event(), scheduler, say
        if scheduler is None:
            with _deaf_children():
                self._local = LocalCluster(
                    n_workers=workers or 1, threads_per_worker=1, processes=True, dashboard_address=None, memory_limit=0
                )
        try:
            self.client = Client(self._local or scheduler, timeout=10)
        except (OSError, ValueError, *TIMEOUT) as error:
            raise ServerUnavailable(
                f"the Dask scheduler {scheduler} cannot be reached ({error}); check address and port"
            ) from None
        self._seen = time.monotonic()
        self._told = False
        self._look()

    def __enter__(self) -> Cluster:
        return self

    def __exit__(self, *_) -> None:
        self.client.close()
        if self._local is not None:
            self._local.close()

    @property
    def abreast(self) -> int:
        """Slides to work on at once, so that small slides, too, keep every worker busy."""
        return min(MOST, self._workers() + 1)

    def stop(self) -> None:
        """End all runs with `Cancelled`."""
        self._stop.set()

    def __call__(self, run: PieceRun, reader: Reader, pieces: Pieces) -> Iterator:
        """The events of a run whose missing tiles are computed by the workers."""
        return alongside(run, lambda stop: self._feed(run, pieces, stop))

    def _workers(self) -> int:
        return len(self.client.nthreads())

    def _look(self) -> None:
        """Say that there are no workers; raise `RunLost` where those of this machine do not come back."""
        if self._workers():
            self._seen, self._told = time.monotonic(), False
        elif self._local is None and not self._told:
            self._told = True
            self._say(f"the Dask scheduler {self._scheduler} has no workers; waiting for one")
        elif self._local is not None and time.monotonic() - self._seen > PATIENCE:
            raise RunLost("the workers have died and do not start again; go on with `hemalum job resume`")

    def _feed(self, run: PieceRun, pieces: Pieces, stop: threading.Event) -> None:
        from distributed import CancelledError, wait

        tiles = [run.plan.tiles[index] for index in missing(run, pieces)]
        waiting = deque(tiles[start : start + TILES] for start in range(0, len(tiles), TILES))
        suspects: deque[list[Tile]] = deque()  # of tasks that took a worker down: one after the other, nothing beside
        plan, folder, key = replace(run.plan, tiles=()), str(pieces.folder.resolve()), key_of(run)
        work: dict = {}
        try:
            while waiting or suspects or work:
                room = AHEAD * max(1, self._workers()) if waiting else 1
                while (waiting or suspects) and len(work) < room:
                    some = (waiting or suspects).popleft()
                    work[self.client.submit(compute, run.source, plan, some, folder, key, pure=False)] = some
                try:
                    done = wait(list(work), timeout=1, return_when="FIRST_COMPLETED").done
                except TIMEOUT:
                    done = ()
                    self._look()
                if self._stop.is_set():
                    run.cancel()
                if stop.is_set() or self._stop.is_set():
                    return
                for future in done:
                    if not future.done():  # its worker died with the answer; it is computed again
                        continue
                    self._take(run, pieces, future, work.pop(future), suspects)
        except (CancelledError, OSError):
            raise RunLost(
                "the Dask scheduler was lost in mid-run; start it again and go on with `hemalum job resume`"
            ) from None
        finally:
            if work and self.client.status == "running":
                self.client.cancel(list(work))
        run.end()

    @staticmethod
    def _take(run: PieceRun, pieces: Pieces, future, tiles: list[Tile], suspects: deque) -> None:
        """Give a task's candidates to the run, or its tiles to `suspects`."""
        failed: dict[int, str] = {}
        if (error := future.exception()) is None:
            path, failed = future.result()
            if path is not None:
                pieces.adopt(Path(path), [tile.index for tile in tiles if tile.index not in failed])
        elif isinstance(error, HemalumError):
            raise error
        elif len(tiles) > 1:  # one of them is poisonous; find out which
            suspects.extend([tile] for tile in tiles)
            return
        else:
            workers = getattr(error, "allowed_failures", None)
            what = f"{type(error).__name__}: {error}" if workers is None else f"took down {workers + 1} workers"
            failed = {tiles[0].index: f"set aside: {what}"}
        for tile in tiles:
            if tile.index in failed:
                run.fail(tile.index, failed[tile.index])
            elif (kept := pieces.take(tile.index)) is None:
                run.fail(tile.index, "its piece is damaged")
            else:
                run.restore(tile.index, kept)


@contextmanager
def _deaf_children() -> Iterator[None]:
    """Processes that are started meanwhile take no notice of Ctrl-C: who started them ends them, without their
    tracebacks."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handler = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)
