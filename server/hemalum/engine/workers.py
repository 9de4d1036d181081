"""Threads or processes that turn maps into nuclei beside the network.

>>> with Workers(1) as workers:
...     workers.submit(pow, 2, 5).result()
32
"""

from __future__ import annotations

import os
import threading
import time
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from multiprocessing.shared_memory import SharedMemory

import cv2
import numpy as np

from hemalum.grid.tiling import Plan, Tile, plan_tiles
from hemalum.nuclei.from_maps import MapSettings, tile_nuclei
from hemalum.nuclei.nuclei import Nuclei


class Workers:
    """Threads or processes for `tile_nuclei`, shared by all runs; a context manager.

    Threads suffice where one core keeps up with the engine (the compiled loops release the GIL); processes pay where a
    GPU outruns one core.  Maps travel to processes through shared memory.

    Args:
        count: workers, ≥ 1.
        processes: processes instead of threads.
    """

    def __init__(self, count: int = 1, processes: bool = False):
        self.count, self.processes = count, processes
        self._lock = threading.Lock()
        self._free: list[SharedMemory] = []
        self._blocks: list[SharedMemory] = []
        self._pool: Executor
        if processes:  # spawn: a forked child would inherit gRPC's and the engine's threads
            self._pool = ProcessPoolExecutor(count, mp_context=get_context("spawn"), initializer=_one_thread)
        else:
            self._pool = ThreadPoolExecutor(count, thread_name_prefix="hemalum-post", initializer=_one_thread)

    def submit(self, function, *arguments) -> Future:
        """Run a function (importable, with small arguments where processes are used)."""
        return self._pool.submit(function, *arguments)

    def tile(self, maps: np.ndarray, pixels: np.ndarray, tile: Tile, plan: Plan, settings: MapSettings) -> Future:
        """A future of `tile_nuclei` of a tile and the seconds it took."""
        if not self.processes:
            return self._pool.submit(_timed, maps, pixels, tile, plan, settings)
        memory = self._block(maps.nbytes + pixels.nbytes)
        np.ndarray(maps.shape, np.float32, memory.buf)[:] = maps
        np.ndarray(pixels.shape, np.uint8, memory.buf, maps.nbytes)[:] = pixels
        small = replace(plan, tiles=())  # a slide's whole plan need not travel with each tile
        future = self._pool.submit(_in_process, memory.name, maps.shape, pixels.shape, tile, small, settings)
        future.add_done_callback(lambda _: self._give_back(memory))
        return future

    def _block(self, size: int) -> SharedMemory:
        """A block that is free again, else a new one: touching fresh memory costs as much as copying the maps."""
        with self._lock:
            for position, memory in enumerate(self._free):
                if memory.size >= size:
                    return self._free.pop(position)
            memory = SharedMemory(create=True, size=size)
            self._blocks.append(memory)
            return memory

    def _give_back(self, memory: SharedMemory) -> None:
        with self._lock:
            self._free.append(memory)

    def warm(self) -> None:
        """Load (or compile) the loops in every worker, so that the first tile does not wait for them."""
        for future in [self._pool.submit(_warm) for _ in range(self.count)]:
            future.result()

    def close(self) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)
        for memory in self._blocks:
            memory.close()
            memory.unlink()
        self._blocks, self._free = [], []

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, *_) -> None:
        self.close()


_attached: dict[str, SharedMemory] = {}


def _one_thread() -> None:
    # OpenCV's own threads would fight the network for the cores, and parallel workers with each other
    cv2.setNumThreads(1)


def _timed(*arguments) -> tuple[Nuclei, float]:
    started = time.perf_counter()
    nuclei = tile_nuclei(*arguments)
    return nuclei, time.perf_counter() - started


def _in_process(
    name: str, maps_shape, pixels_shape, tile: Tile, plan: Plan, settings: MapSettings
) -> tuple[Nuclei, float]:
    if name not in _attached:
        _attached[name] = SharedMemory(name=name)
    memory = _attached[name]
    maps = np.ndarray(maps_shape, np.float32, memory.buf)
    pixels = np.ndarray(pixels_shape, np.uint8, memory.buf, maps.nbytes)
    return _timed(maps, pixels, tile, plan, settings)


def _warm() -> int:
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
