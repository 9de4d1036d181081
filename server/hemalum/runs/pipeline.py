"""From a slide to files: the loop that reads tiles, drives a `Run` and writes what it finds in plan order.

>>> from hemalum.models import list_models                                       # doctest: +SKIP
>>> with Pipeline() as pipeline, open_slide("slide.svs") as slide:               # doctest: +SKIP
...     outcome = segment_slide(slide, find("nuclei"), pipeline, Parameters(), ["geojson"], Path("out"))
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import shapely

from hemalum.compiled import cores
from hemalum.engine import Engine, TileQueue, open_engine
from hemalum.engine.courtesy import give_way
from hemalum.engine.torch_engine import cuda_problem
from hemalum.engine.workers import Workers
from hemalum.errors import HemalumError
from hemalum.grid.tiling import Rect
from hemalum.models import Model
from hemalum.runs.events import Event, ImageInfo, Parameters, Progress, TileConsumed
from hemalum.runs.record import Stopwatch
from hemalum.runs.run import Place, Run
from hemalum.runs.writing import Outcome, write_run
from hemalum.slides.slide import Slide

KEPT_ENGINES = 3  # one model each; an engine holds several hundred MB of buffers


class Pipeline:
    """What all runs of a process share: the queue, the engines, the post-processing workers.  A context manager.

    Args:
        device, threads, precision: of engines; see `hemalum.engine.open_engine`.
        workers: post-processing workers; `None`: as many as the device can feed (a GPU outruns one core).
        processes: processes instead of threads; `None`: where CUDA is used.
        polite: for a server: on the CPU a person's tiles are computed beside those of batch runs, by an engine of their
            own, and all that batch runs do gives way to it.
        lost: told a sentence, the `problem`, once this process can compute no more.
    """

    def __init__(
        self,
        device: str = "auto",
        threads: int | None = None,
        precision: str = "auto",
        workers: int | None = None,
        processes: bool | None = None,
        polite: bool = False,
        lost: Callable[[str], Any] = lambda sentence: None,
    ):
        self.device, self.threads, self.precision = device, threads, precision
        on_cpu = device == "cpu" or (device == "auto" and (precision != "auto" or cuda_problem() is not None))
        self.polite = polite and on_cpu
        self._engines: dict[bool, dict[str, Engine]] = {False: {}, True: {}}  # for batch work, or all; for people
        self._opening = {False: threading.Lock(), True: threading.Lock()}
        self._lock = threading.Lock()
        self._choice, self._lost = (workers, processes), lost
        self._workers: dict[bool, Workers] = {}  # for GPUs; for the CPU
        self._loading: threading.Thread | None = None
        self.queue = TileQueue(give_way if self.polite else lambda: None)
        self._people = TileQueue() if self.polite else self.queue

    def load(self, model: Model) -> None:
        """Open the engine for a model beside what comes before a run's first tile.  What goes wrong is said by
        `run`."""

        def work() -> None:
            with suppress(Exception):
                self.engine(model)

        self._loading = threading.Thread(target=work, name="hemalum-load")
        self._loading.start()

    def engine(self, model: Model, interactive: bool = False) -> Engine:
        """The engine for a model; opened once, and again when the model's file has changed."""
        own = self.polite and interactive
        engines, options = self._engines[own], (self.device, self.threads, self.precision)
        with self._opening[own]:
            if (engine := engines.pop(model.digest, None)) is None:
                # the threads of a session inherit how much the one that opens it gives way
                first = give_way if self.polite and not own else lambda: None
                with ThreadPoolExecutor(1, "hemalum-open", first) as opener:
                    engine = opener.submit(open_engine, model, *options).result()
            engines[model.digest] = engine
            for unused in list(engines)[:-KEPT_ENGINES]:  # a run that still uses one keeps it alive itself
                del engines[unused]
            return engine

    @property
    def problem(self) -> str:
        """Why this process can compute no more, as a sentence; "" as long as it can."""
        return next((workers.problem for workers in list(self._workers.values()) if workers.problem), "")

    def place(self, model: Model, interactive: bool = False) -> Place:
        """Where a run of this model is computed; raises as `engine`."""
        engine = self.engine(model, interactive)
        queue = self._people if interactive else self.queue
        return Place(queue, engine, self._workers_for(engine), self.polite and not interactive)

    def _workers_for(self, engine: Engine) -> Workers:
        """The workers, made when the first run needs them: a GPU outruns one core, whatever else the process
        computes."""
        with self._lock:
            on_gpu = not engine.device.startswith("CPU")
            if on_gpu not in self._workers:
                count, processes = self._choice
                count = count or (max(1, min(8, cores() - 2)) if on_gpu else 1)
                processes = on_gpu and count > 1 if processes is None else processes
                self._workers[on_gpu] = Workers(count, processes, self.polite, self._lost)
            return self._workers[on_gpu]

    def run(
        self,
        model: Model,
        image: ImageInfo,
        overview: np.ndarray,
        parameters: Parameters,
        unread: np.ndarray | None = None,
    ) -> Run:
        """Open a run, to be used as a context manager.  Raises what `Run` raises, `DamagedModel`, and `UsageError` for
        a device that is not there."""
        return Run(
            place=lambda: self.place(model, parameters.interactive),
            model=model,
            image=image,
            overview=overview,
            parameters=parameters,
            unread=unread,
        )

    def close(self) -> None:
        """Stop the engine within a tile and wait for the workers."""
        self.queue.close()
        self._people.close()
        if self._loading is not None:
            self._loading.join()
        for workers in self._workers.values():
            workers.close()

    def __enter__(self) -> Pipeline:
        return self

    def __exit__(self, *_) -> None:
        self.close()


def image_info(slide: Slide) -> ImageInfo:
    """The `ImageInfo` of an open slide; raises `UnknownResolution` where it states none and none was given."""
    width, height = slide.size
    return ImageInfo(
        width=width,
        height=height,
        mpp=slide.require_mpp(),
        mpp_source=slide.mpp_source,
        identity=slide.identity,
        name=slide.name,
    )


def within(
    slide: Slide, region: tuple[int, int, int, int], parameters: Parameters
) -> tuple[tuple[int, int, int, int], Parameters]:
    """A rectangle clipped to the slide, and parameters with it as their region; raises `RegionOutside`."""
    x, y, width, height = inside = slide.clip(region)
    return inside, replace(parameters, regions=(shapely.box(x, y, x + width, y + height),))


def drive(
    run: Run, read: Callable[[Rect, int], np.ndarray], order: Iterable[int] | None = None
) -> Generator[Event, None, None]:
    """Read and submit tiles in a thread while yielding the run's events.

    Args:
        read: gives the box-meaned pixels of (level-0 rectangle, n); a `HemalumError` fails the tile only.
        order: tile indices; plan order by default.

    Raises:
        Whatever else `read` raises; `Cancelled`.
    """
    credits = threading.Semaphore(run.credits)

    def feed(stop: threading.Event) -> None:
        for index in range(len(run.plan.tiles)) if order is None else order:
            while not credits.acquire(timeout=0.5):
                if stop.is_set():
                    return
            if stop.is_set():
                return
            try:
                with run.watch("read"):
                    pixels = read(run.plan.tiles[index].read, run.plan.scale.n)
            except HemalumError as error:
                credits.release()
                run.fail(index, str(error))
                continue
            run.submit(index, pixels)
        run.end()

    with closing(alongside(run, feed)) as events:
        for event in events:
            if isinstance(event, TileConsumed):
                credits.release()
            yield event


def alongside(run: Run, feed: Callable[[threading.Event], Any]) -> Generator[Event, None, None]:
    """A run's events while `feed(stop)` gives it tiles in a thread, which ends soon after `stop` is set.

    Raises:
        Whatever `feed` raises; `Cancelled`.
    """
    stop = threading.Event()
    broken: list[BaseException] = []

    def work() -> None:
        if run.place.gives_way:
            give_way()
        try:
            feed(stop)
        except BaseException as error:  # said by the reader of the events
            if not stop.is_set():
                broken.append(error)
                run.cancel()

    thread = threading.Thread(target=work, name="hemalum-feed", daemon=True)
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


def segment_slide(
    slide: Slide,
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
        formats: of `hemalum.sinks.FORMATS`.  region: what label images cover.  order: for tests; nuclei do not depend
            on it.

    Raises:
        HemalumError: nothing is left behind but what earlier inputs wrote.
    """
    watch = Stopwatch()
    with watch("overview"):
        overview, image = slide.overview(), image_info(slide)
    with pipeline.run(model, image, overview, parameters, slide.unread) as run:
        run.watch.add("overview", watch.seconds["overview"])
        events = drive(run, slide.read, order)
        return write_run(run, events, slide, formats, folder, stem=stem, region=region, progress=progress)
