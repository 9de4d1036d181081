"""The tiles of a job computed by Dask workers: one plan, pieces on disk, seams settled here, the same nuclei.

Workers read the slide and write pieces into the job's folder, so both must be reachable under the same paths; the scheduler carries
only names.  A worker that is killed costs the tiles it had; Dask gives them to another one.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np

from hemalum.batch import pieces as store
from hemalum.batch.slide_run import PieceRun, Reader, key_of
from hemalum.errors import HemalumError, ServerUnavailable, UsageError, VersionMismatch

TILES, TRIES = 2, 3  # tiles a task: what a killed worker costs; workers a tile may take down before it is set aside
AHEAD = 4  # tasks in the cluster per worker


class Cluster:
    """A Dask cluster as the `compute` of `hemalum.batch.job.work_on`; a context manager.

    Args:
        workers: processes of one thread each on this machine, where no scheduler is given.
        scheduler: address of a running scheduler.

    Raises:
        UsageError: Dask is not installed.  ServerUnavailable: the scheduler cannot be reached.
    """

    def __init__(self, workers: int | None = None, scheduler: str | None = None):
        try:
            import dask
            from distributed import Client, LocalCluster
        except ImportError:
            raise UsageError("--workers and --scheduler need Dask; install it with `pip install hemalum[batch]`") from None
        dask.config.set({"distributed.scheduler.allowed-failures": TRIES - 1})
        self._local = None
        if scheduler is None:
            self._local = LocalCluster(n_workers=workers or 1, threads_per_worker=1, processes=True, dashboard_address=None, memory_limit=0)
        try:
            self.client = Client(self._local or scheduler, timeout=10)
        except (OSError, TimeoutError, ValueError) as error:
            raise ServerUnavailable(f"the Dask scheduler {scheduler} cannot be reached ({error}); check address and port") from None

    def __enter__(self) -> Cluster:
        return self

    def __exit__(self, *_) -> None:
        self.client.close()
        if self._local is not None:
            self._local.close()

    def __call__(self, run: PieceRun, reader: Reader, pieces: store.Pieces) -> Iterator:
        """The events of a run whose missing tiles are computed by the workers."""
        broken: list[BaseException] = []
        stop = threading.Event()

        def feed() -> None:
            try:
                self._feed(run, pieces, stop)
            except BaseException as error:                      # said by the reader of the events
                broken.append(error)
                run.cancel()

        thread = threading.Thread(target=feed, name="hemalum-dask", daemon=True)
        thread.start()
        try:
            yield from run.events()
        except BaseException:
            if broken:
                raise broken[0] from None
            raise
        finally:
            stop.set()
            run.cancel()
            thread.join()

    def _feed(self, run: PieceRun, pieces: store.Pieces, stop: threading.Event) -> None:
        from distributed import as_completed

        key, missing = key_of(run), []
        for index in range(len(run.plan.tiles)):
            kept = pieces.take(index) if index in pieces.tiles else None
            if kept is None:
                pieces.tiles.pop(index, None)
                missing.append(index)
            else:
                run.restore(index, kept)
        tasks = [missing[start : start + TILES] for start in range(0, len(missing), TILES)]
        job = {**run.source, "settings": run.settings}
        scattered = self.client.scatter((job, run.plan), broadcast=True, hash=False)

        def submit(tiles: list[int]):
            path = str(pieces.folder.resolve() / f"{900_000 + tiles[0]}-{len(tiles)}.npz")
            future = self.client.submit(compute, scattered, tiles, path, key, pure=False)
            of[future.key] = tiles, path
            return future

        of: dict[str, tuple[list[int], str]] = {}
        waiting = iter(tasks)
        ahead = AHEAD * max(1, len(self.client.scheduler_info()["workers"]))
        running = as_completed([submit(tiles) for tiles in islice(waiting, ahead)])
        for future in running:
            if stop.is_set():
                running.clear()
                return
            tiles, path = of.pop(future.key)
            failed: dict[int, str] = {}
            if (error := future.exception()) is None:
                failed = future.result()
            elif isinstance(error, HemalumError):
                raise error
            elif len(tiles) > 1:                                # one of them is poisonous; find out which
                for tile in tiles:
                    running.add(submit([tile]))
                continue
            else:
                failed = {tiles[0]: f"set aside after {TRIES} tries ({type(error).__name__}: {error})"}
            good = [tile for tile in tiles if tile not in failed]
            pieces.adopt(Path(path), good)
            for tile in good:
                if (kept := pieces.take(tile)) is None:
                    failed[tile] = "its piece is damaged"
                    pieces.tiles.pop(tile)
                else:
                    run.restore(tile, kept)
            for tile, reason in failed.items():
                run.fail(tile, reason)
            if (tiles := next(waiting, None)) is not None:
                running.add(submit(tiles))
        run.end()


_engines: dict[tuple, object] = {}


def compute(job_and_plan: tuple, tiles: list[int], path: str, key: str) -> dict[int, str]:
    """In a worker: compute tiles and commit them as one piece; returns the tiles that failed, with reasons.

    Raises:
        VersionMismatch: the worker has other weights under this model's name.
    """
    import cv2

    from hemalum.engine import open_engine
    from hemalum.models import find
    from hemalum.postprocess import tile_nuclei
    from hemalum.resample import model_tile

    job, plan = job_and_plan
    cv2.setNumThreads(1)
    options, wanted = job["options"], job["model"]
    engine = _engines.get(name := (wanted["sha256"], options["device"], options["threads"], options["precision"]))
    if engine is None:
        folder = Path(wanted["folder"])
        model = find(wanted["id"], [folder] if folder.is_dir() else [])
        if model.digest != wanted["sha256"]:
            has, needs = model.digest[:12], wanted["sha256"][:12]
            raise VersionMismatch(f"a worker has the model {model.id} with sha256 {has}…, not {needs}…; install the same model there")
        engine = _engines[name] = open_engine(model, options["device"], options["threads"], options["precision"])
    found, failed = {}, {}
    with Reader(Path(job["path"]), job["mpp"], job["series"]) as reader:
        for index in tiles:
            tile = plan.tiles[index]
            try:
                pixels = model_tile(reader.read(tile.read, plan.scale.n), tile, plan)
            except HemalumError as error:
                failed[index] = str(error)
                continue
            maps = engine.maps(np.stack([pixels]))[0]
            found[index] = tile_nuclei(maps, pixels, tile, plan, job["settings"])
    if found:
        store.save(Path(path), key, found)
    return failed
