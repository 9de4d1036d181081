"""`Work`: what all calls share — the pipeline, which loads behind an open port; the models; the number of runs;
draining.

numba and ONNX Runtime take seconds to load, and a client waits less than two for a first answer.  So the port opens
first, a thread loads, and only a run waits for it.

>>> work = Work([], Limits(runs=1, slot_seconds=0))
>>> with work.slot():
...     try:
...         with work.slot():
...             pass
...     except TooMuch as error:
...         print(error)
this server is busy with 1 run and takes no more at a time; try again when one has finished
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hemalum.errors import Cancelled, HemalumError, ServerUnavailable, TooMuch, UnknownModel
from hemalum.models import DEFAULT, Model, find, list_models
from hemalum.runs.events import Finished, ImageInfo, Parameters
from hemalum.service.limits import Limits

if TYPE_CHECKING:
    from hemalum.runs.pipeline import Pipeline, Run

log = logging.getLogger("hemalum.service")
HEARTBEAT = 0.2  # s between looks whether a waiting client is still there


class Work:
    """Shared state of a server; thread-safe.

    Args:
        folders: model folders.  limits: of the server.
        on_ready: called once loading has ended.

    Attributes:
        device, provider: "" until an engine was opened.
    """

    def __init__(self, folders: Sequence[str | Path], limits: Limits, on_ready: Callable[[], None] = lambda: None):
        self.folders, self.limits = list(folders), limits
        self.device = self.provider = ""
        self._on_ready = on_ready
        self._loaded = threading.Event()
        self._pipeline: Pipeline | None = None
        self._problem: BaseException | None = None
        self._lock = threading.Lock()
        self._freed = threading.Condition(self._lock)
        self._runs, self._draining = 0, False
        self._pace: dict[tuple[str, int], float] = {}

    def load(self) -> threading.Thread:
        """Start loading in the background."""
        thread = threading.Thread(target=self._load, name="hemalum-load", daemon=True)
        thread.start()
        return thread

    def model(self, name: str) -> Model:
        """The model of the id that a client asks for; raises `UnknownModel`, also for a path, and `DamagedModel`."""
        if {"/", "\\"} & set(name):  # `find` opens folders, which is for whoever sits at this machine
            raise UnknownModel(f"{name!r} is no model's id; GetServerInfo lists those this server has")
        return find(name or DEFAULT, self.folders)

    @property
    def ready(self) -> bool:
        return self._loaded.is_set() and not self._draining and self._problem is None

    @property
    def state(self) -> str:
        """One sentence for people."""
        if self._draining:
            return f"shutting down; {self.runs} run(s) are being finished"
        if self._problem is not None:
            return f"cannot compute: {self._problem}"
        return "ready" if self._loaded.is_set() else "loading; the first run waits a few seconds"

    @property
    def runs(self) -> int:
        with self._lock:
            return self._runs

    @contextmanager
    def slot(self, wanted: Callable[[], bool] = lambda: True) -> Iterator[None]:
        """Count a run, after a short wait where runs that were just cancelled still end within their tile.

        Args:
            wanted: whether the client is still there.

        Raises:
            TooMuch: no run ended in time.  ServerUnavailable: shutting down.  Cancelled: the client has gone.
        """
        patience = time.monotonic() + self.limits.slot_seconds
        with self._freed:
            while not self._draining and self._runs >= self.limits.runs:
                if time.monotonic() > patience:
                    many = f"{self._runs} run{'s' * (self._runs > 1)}"
                    raise TooMuch(
                        f"this server is busy with {many} and takes no more at a time; try again when one has finished"
                    )
                self._freed.wait(HEARTBEAT)
                if not wanted():
                    raise Cancelled("the client has gone")
            if self._draining:
                raise ServerUnavailable("the server is shutting down and takes no new run; try again in a minute")
            self._runs += 1
        try:
            yield
        finally:
            with self._freed:
                self._runs -= 1
                self._freed.notify_all()

    def open_run(
        self, model: Model, image: ImageInfo, overview: np.ndarray, parameters: Parameters, unread: np.ndarray | None
    ) -> Run:
        """Open a run in the pipeline, once that is loaded; raises what `Pipeline.run` raises."""
        run = self.pipeline().run(model, image, overview, parameters, unread)
        self._note(run)
        return run

    def pipeline(self, wanted: Callable[[], bool] = lambda: True) -> Pipeline:
        """The pipeline; waits for it as long as the client is there, else raises `Cancelled`."""
        while not self._loaded.wait(HEARTBEAT):
            if not wanted():
                raise Cancelled("the client has gone")
        if self._pipeline is None:
            raise ServerUnavailable(f"the server cannot compute ({self._problem}); see its log")
        return self._pipeline

    def estimate(self, run: Run) -> float:
        """Seconds a run may take alone, from the pace of earlier runs with its engine; 0 where there was none."""
        return self._pace.get((run.model.digest, run.plan.tile_shape), 0.0) * len(run.plan.tiles)

    def finished(self, run: Run, seconds: float, tiles: int) -> None:
        """Remember the pace of a run that was completed."""
        if tiles:
            self._pace[run.model.digest, run.plan.tile_shape] = seconds / tiles

    def drain(self) -> None:
        """Take no new runs from now on."""
        self._draining = True

    def wait_idle(self, seconds: float) -> None:
        """Wait until no run is under way, at most so long."""
        with self._freed:
            self._freed.wait_for(lambda: self._runs == 0, seconds)

    def close(self) -> None:
        """Stop the pipeline within a tile; what was still loading is left to end with the process."""
        self._draining = True
        if self._loaded.is_set() and self._pipeline is not None:
            self._pipeline.close()

    def _note(self, run: Run) -> None:
        self.device = run.engine.device
        self.provider = "CPUExecutionProvider" if self.device.startswith("CPU") else "CUDA"

    def _load(self) -> None:
        started = time.perf_counter()
        pipeline = None
        try:
            from hemalum.runs.pipeline import Pipeline

            pipeline = Pipeline()
            self._rehearse(pipeline)
        except HemalumError as error:  # a damaged model: others may still be asked for
            log.warning("%s", error)
        except Exception as error:
            self._problem = error
            log.exception("the pipeline could not be loaded")
        self._pipeline = pipeline
        self._loaded.set()
        log.info("loaded in %.1f s: %s", time.perf_counter() - started, self.device or self.state)
        self._on_ready()

    def _rehearse(self, pipeline: Pipeline) -> None:
        """One tile through the whole way, so that the first click of a person does not pay for loading the model and
        machine code."""
        from hemalum.engine.base import stored_tile

        models = {model.id: model for model in list_models(self.folders)}
        if not models:
            return
        model = models.get(DEFAULT) or next(iter(models.values()))
        stored = stored_tile(model)
        pixels = np.full((256, 256, 3), 240, np.uint8) if stored is None else stored[0]
        height, width = pixels.shape[:2]
        image = ImageInfo(width, height, model.card.mpp, "rehearsal", "rehearsal")
        run = pipeline.run(model, image, pixels, Parameters(skip_glass=False))
        run.submit(0, pixels)
        for event in run.events():
            if isinstance(event, Finished):
                self._note(run)
                self.finished(run, event.summary.seconds.get("engine", 0.0), 1)
