"""From a slide to files: the loop that reads tiles, drives a `Run` and writes what it finds in plan order.

>>> from hemalum.models import list_models                                       # doctest: +SKIP
>>> with Pipeline() as pipeline, open_slide("slide.svs") as slide:               # doctest: +SKIP
...     outcome = segment_slide(slide, find("nuclei"), pipeline, Parameters(), ["geojson"], Path("out"))
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from hemalum.engine import Engine, TileQueue, cores, open_engine
from hemalum.errors import HemalumError, RunLost
from hemalum.events import Finished, ImageInfo, NucleiFound, Parameters, Progress, Summary, TileConsumed, TileFailed, TileSettled
from hemalum.models import Model
from hemalum.nuclei import Nuclei
from hemalum.postprocess import Workers
from hemalum.run import Run
from hemalum.runrecord import Stopwatch, record, write_record
from hemalum.sinks import Sink, Target, open_sinks
from hemalum.sinks.overlay import picture_of

__all__ = ["Outcome", "Pipeline", "PlanOrder", "Run", "drive", "image_info", "segment_slide", "write_run"]

KEPT_ENGINES = 3  # one model each; an engine holds several hundred MB of buffers


class Pipeline:
    """What all runs of a process share: the queue, the engines, the post-processing workers.  A context manager.

    Args:
        device, threads, precision: of engines; see `hemalum.engine.open_engine`.
        workers: post-processing workers; `None`: as many as the device can feed (a GPU outruns one core).
        processes: processes instead of threads; `None`: where CUDA is used.
    """

    def __init__(
        self,
        device: str = "auto",
        threads: int | None = None,
        precision: str = "auto",
        workers: int | None = None,
        processes: bool | None = None,
    ):
        self.device, self.threads, self.precision = device, threads, precision
        self._engines: dict[str, Engine] = {}
        self._lock = threading.Lock()
        self._choice = workers, processes
        self._workers: Workers | None = None
        self.queue = TileQueue()

    def engine(self, model: Model) -> Engine:
        """The engine for a model; opened once, and again when the model's file has changed."""
        with self._lock:
            engine = self._engines.pop(model.digest, None) or open_engine(model, self.device, self.threads, self.precision)
            self._engines[model.digest] = engine
            for unused in list(self._engines)[:-KEPT_ENGINES]:  # a run that still uses one keeps it alive itself
                del self._engines[unused]
            return engine

    @property
    def workers(self) -> Workers:
        """The workers, made when the first run needs them."""
        with self._lock:
            if self._workers is None:
                count, processes = self._choice
                on_gpu = any(not engine.device.startswith("CPU") for engine in self._engines.values())
                count = count or (max(1, min(8, cores() - 2)) if on_gpu else 1)
                self._workers = Workers(count, on_gpu and count > 1 if processes is None else processes)
            return self._workers

    def run(self, model: Model, image: ImageInfo, overview: np.ndarray, parameters: Parameters, unread: np.ndarray | None = None) -> Run:
        """Open a run.  Raises what `Run` raises, `DamagedModel`, and `UsageError` for a device that is not there."""
        return Run(self.queue, lambda: self.engine(model), model, image, overview, parameters, lambda: self.workers, unread)

    def close(self) -> None:
        """Stop the engine within a tile and wait for the workers."""
        self.queue.close()
        if self._workers is not None:
            self._workers.close()

    def __enter__(self) -> Pipeline:
        return self

    def __exit__(self, *_) -> None:
        self.close()


@dataclass
class Outcome:
    """What `segment_slide` did: counts, the files it wrote, the record, and sentences for the user."""

    summary: Summary
    paths: list[Path]
    record: dict[str, Any]
    notices: list[str] = field(default_factory=list)


class PlanOrder:
    """Turns events into writes in plan order: tile by tile, within a tile by y, then x.

    So files are the same whatever order tiles were computed in.  What waits is bounded by the tiles between the first unsettled
    one and the last settled one: about one row when tiles come in plan order.

    >>> from hemalum.nuclei import Nuclei
    >>> square = np.array([[0, 0], [8, 0], [8, 8]])
    >>> written = []
    >>> order = PlanOrder(2, written.append)
    >>> order.found(Nuclei.of(square, [0, 3], tile=1)); order.settled(1); len(written)
    0
    >>> order.found(Nuclei.of(square + 8, [0, 3], tile=0)); order.settled(0); [int(n.tile[0]) for n in written]
    [0, 1]
    """

    def __init__(self, tiles: int, write: Callable[[Nuclei], Any]):
        self._write, self._next = write, 0
        self._settled = np.zeros(tiles + 1, bool)
        self._waiting: dict[int, list[Nuclei]] = {}

    def found(self, nuclei: Nuclei) -> None:
        """Take final nuclei of any tiles."""
        for tile in np.unique(nuclei.tile):
            self._waiting.setdefault(int(tile), []).append(nuclei.take(nuclei.tile == tile))

    def settled(self, tile: int) -> None:
        """Nothing more will be found in `tile`."""
        self._settled[tile] = True
        while self._settled[self._next]:
            if parts := self._waiting.pop(self._next, None):
                nuclei = Nuclei.concat(parts)
                self._write(nuclei.take(np.lexsort((nuclei.centroids[:, 0], nuclei.centroids[:, 1]))))
            self._next += 1


def image_info(slide) -> ImageInfo:
    """The `ImageInfo` of an open slide; raises `UnknownResolution` where it states none and none was given."""
    return ImageInfo(*slide.size, slide.require_mpp(), slide.mpp_source, slide.identity, slide.name)


def drive(run: Run, read: Callable[[Any, int], np.ndarray], order: Iterable[int] | None = None, watch: Stopwatch | None = None) -> Iterator:
    """Read and submit tiles in a thread while yielding the run's events.

    Args:
        read: gives the box-meaned pixels of (level-0 rectangle, n); a `HemalumError` fails the tile only.
        order: tile indices; plan order by default.
        watch: where seconds of reading are added.

    Raises:
        Whatever else `read` raises; `Cancelled`.
    """
    watch = watch or run.watch
    credits = threading.Semaphore(run.credits)
    stop = threading.Event()
    broken: list[BaseException] = []

    def feed() -> None:
        try:
            for index in range(len(run.plan.tiles)) if order is None else order:
                while not credits.acquire(timeout=0.5):
                    if stop.is_set():
                        return
                if stop.is_set():
                    return
                try:
                    with watch("read"):
                        pixels = read(run.plan.tiles[index].read, run.plan.scale.n)
                except HemalumError as error:
                    credits.release()
                    run.fail(index, str(error))
                    continue
                run.submit(index, pixels)
            run.end()
        except BaseException as error:  # said by the reader of the events
            if not stop.is_set():
                broken.append(error)
                run.cancel()

    reader = threading.Thread(target=feed, name="hemalum-read", daemon=True)
    reader.start()
    try:
        for event in run.events():
            if isinstance(event, TileConsumed):
                credits.release()
            yield event
    except BaseException:
        if broken:
            raise broken[0] from None
        raise
    finally:
        stop.set()
        run.cancel()
        reader.join()


def segment_slide(
    slide,
    model: Model,
    pipeline: Pipeline,
    parameters: Parameters,
    formats: Iterable[str],
    folder: Path,
    progress: Callable[[Progress], Any] = lambda event: None,
    region: tuple[int, int, int, int] | None = None,
    stem: str | None = None,
    order: Iterable[int] | None = None,
) -> Outcome:
    """Segment an open slide and write `<stem>.geojson` … and `<stem>.run.json` into `folder`.

    Args:
        formats: of `hemalum.sinks.FORMATS`.  region: what label images cover.  order: for tests; nuclei do not depend on it.

    Raises:
        HemalumError: nothing is left behind but what earlier inputs wrote.
    """
    watch = Stopwatch()
    with watch("overview"):
        overview, image = slide.overview(), image_info(slide)
    run = pipeline.run(model, image, overview, parameters, slide.unread)
    stem = stem or slide.name
    return write_run(
        drive(run, slide.read, order), len(run.plan.tiles), formats, folder, stem,
        Target(image.width, image.height, image.mpp, model.digest, image.identity, run.columns, region, lambda: picture_of(slide)),
        run.ids, progress,
        {"image": slide.record(), "model": model_record(model), **run_record(run)}, [*slide.notices, *run.notices], run.watch,
    )  # fmt: skip


def write_run(
    events: Iterator,
    tiles: int,
    formats: Iterable[str],
    folder: Path,
    stem: str,
    target: Target,
    ids: Callable[[Nuclei], list[str]],
    progress: Callable[[Progress], Any],
    parts: dict[str, Any],
    notices: list[str],
    watch: Stopwatch | None = None,
) -> Outcome:
    """Write the events of a run, wherever it runs, to sinks; the Python client uses it too.

    Args:
        events: as of `Run.events`.  tiles: of the plan.  ids: UUIDs of nuclei.  parts: what the record says besides counts.

    Raises:
        HemalumError: the sinks' unfinished files are removed.
    """
    watch = watch or Stopwatch()
    sinks: list[Sink] = open_sinks(formats, folder, stem, target)
    written = 0

    def write(nuclei: Nuclei) -> None:
        nonlocal written
        written += len(nuclei)
        with watch("write"):
            names = ids(nuclei)
            for sink in sinks:
                sink.write(nuclei, names)

    order = PlanOrder(tiles, write)
    summary, closed = None, 0
    try:
        for event in events:
            if isinstance(event, NucleiFound):
                order.found(event.nuclei)
            elif isinstance(event, TileSettled):
                order.settled(event.index)
            elif isinstance(event, Progress):
                progress(event)
            elif isinstance(event, TileFailed):
                notices.append(f"tile {event.index} failed: {event.reason}")
            elif isinstance(event, Finished):
                summary = event.summary
        if summary is None or written != summary.nuclei:
            raise RunLost("the run ended before all nuclei were received; run it again")
        with watch("write"):
            for sink in sinks:
                sink.close()
                closed += 1
    except BaseException:
        if hasattr(events, "close"):
            events.close()
        for sink in sinks[closed:]:
            sink.abort()
        raise
    content = record(
        "segment", **parts,
        counts={"nuclei": summary.nuclei, "tiles": summary.tiles, "skipped": summary.skipped, "failed": len(summary.failed),
                "duplicates_removed": summary.duplicates_removed},
        failed={str(index): reason for index, reason in sorted(summary.failed.items())},
        seconds={**summary.seconds, **watch.seconds}, notices=notices,
        outputs=[path.name for sink in sinks for path in sink.paths],
    )  # fmt: skip
    path = folder / f"{stem}.run.json"
    try:
        write_record(path, content)
    except OSError as error:
        from hemalum.sinks.base import lost

        raise lost(path, error) from error
    return Outcome(summary, [*(path for sink in sinks for path in sink.paths), path], content, notices)


def model_record(model: Model) -> dict[str, Any]:
    """What a run record says of the model."""
    return {"id": model.id, "version": model.card.version, "sha256": model.digest, "mpp": model.card.mpp, "licence": model.card.licence}


def run_record(run: Run) -> dict[str, Any]:
    """What a run record says of a run: parameters, device, stain and plan."""
    plan = run.plan
    return {
        "run_id": run.run_id,
        "parameters": run.parameters.record(),
        "device": run.engine.device,
        "precision": run.engine.precision,
        "stain": run.stain.record(),
        "plan": {"box": plan.scale.n, "fraction": plan.scale.fraction, "core": plan.core, "halo": plan.halo, "tiles": len(plan.tiles)},
    }
