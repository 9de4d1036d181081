"""`Work`: what all calls share — the pipeline, which loads behind an open port; the models; the places for runs;
draining.

numba and ONNX Runtime take seconds to load, and a client waits less than two for a first answer.  So the port opens
first, a thread loads, and only a run waits for it.

>>> work = Work([], Limits(runs=1))
>>> with work.admission.enter():
...     work.runs
1
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hemalum.errors import Cancelled, HemalumError, ServerUnavailable, UnknownModel
from hemalum.models import DEFAULT, Model, find, list_models
from hemalum.runs.events import Finished, ImageInfo, Parameters
from hemalum.service.admission import Admission
from hemalum.service.limits import Limits
from hemalum.wire.texts import text

if TYPE_CHECKING:
    from hemalum.runs.pipeline import Pipeline, Run

log = logging.getLogger("hemalum.service")
LOOK = 0.2  # s between looks whether a waiting client is still there
PATIENCE = 2.0  # s for threads that end on their own


class Work:
    """Shared state of a server; thread-safe.

    Args:
        folders: model folders.  limits: of the server.
        on_ready: called once loading has ended.
        several: whether callers are told apart by their tokens.
        device, threads, precision: of engines, as of `Pipeline`.

    Attributes:
        device, provider: "" until an engine was opened.
        admission: to the runs.  openings: to the streams that have not said yet what they want.
        short: to the short calls that compute.
    """

    def __init__(
        self,
        folders: Sequence[str | Path],
        limits: Limits,
        on_ready: Callable[[], None] = lambda: None,
        several: Callable[[], bool] = lambda: False,
        device: str = "auto",
        threads: int | None = None,
        precision: str = "auto",
    ):
        self.folders, self.limits = list(folders), limits
        self.device = self.provider = ""

        def share(places: int) -> int:
            return max(1, places // 2) if several() else places

        most = limits.runs_per_caller
        self.admission = Admission(limits.runs, limits.waiting, lambda: min(most or share(limits.runs), limits.runs))
        self.openings = Admission(limits.openings, 0, lambda: share(limits.openings), "stream")
        self.short = Admission(limits.short_calls, 2 * limits.short_calls, noun="call")
        self._choice = device, threads, precision
        self._on_ready = on_ready
        self._loaded = threading.Event()
        self._pipeline: Pipeline | None = None
        self._problem: BaseException | None = None
        self._draining = False
        self._pace: dict[tuple[str, int], float] = {}

    def load(self) -> threading.Thread:
        """Start loading in the background."""
        thread = threading.Thread(target=self._load, name="hemalum-load", daemon=True)
        thread.start()
        return thread

    def model(self, name: str) -> Model:
        """The model of the id that a client asks for; raises `UnknownModel`, also for a path, and `DamagedModel`."""
        name = text(name)
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
            return "cannot compute; its log says why"
        return "ready" if self._loaded.is_set() else "loading; the first run waits a few seconds"

    @property
    def runs(self) -> int:
        return self.admission.count

    def open_run(
        self, model: Model, image: ImageInfo, overview: np.ndarray, parameters: Parameters, unread: np.ndarray | None
    ) -> Run:
        """Open a run in the pipeline, once that is loaded; raises what `Pipeline.run` raises."""
        run = self.pipeline().run(model, image, overview, parameters, unread)
        self._note(run)
        return run

    def pipeline(self, wanted: Callable[[], bool] = lambda: True) -> Pipeline:
        """The pipeline; waits for it as long as the client is there, else raises `Cancelled`."""
        while not self._loaded.wait(LOOK):
            if not wanted():
                raise Cancelled("the client has gone")
        if self._pipeline is None:
            raise ServerUnavailable("the server cannot compute; its log says why")
        return self._pipeline

    def estimate(self, run: Run) -> float:
        """Seconds a run may take alone, from the pace of earlier runs with its engine; 0 where there was none."""
        return self._pace.get((run.model.digest, run.plan.tile_shape), 0.0) * len(run.plan.tiles)

    def finished(self, run: Run, seconds: float, tiles: int) -> None:
        """Remember the pace of a run that was completed."""
        if tiles:
            self._pace[run.model.digest, run.plan.tile_shape] = seconds / tiles

    def drain(self) -> None:
        """Take no new runs from now on; takes no lock, so that a signal handler may call it."""
        self._draining = True
        for admission in (self.admission, self.openings, self.short):
            admission.close()

    def wait_idle(self, seconds: float) -> None:
        """Wait until no run is under way, at most so long."""
        self.admission.wait_empty(seconds)

    def close(self) -> None:
        """Stop the pipeline within a tile; what does not end by then is left to end with the process."""
        self.drain()
        if self._loaded.is_set() and self._pipeline is not None:
            closing = threading.Thread(target=self._pipeline.close, name="hemalum-close", daemon=True)
            closing.start()
            closing.join(PATIENCE)

    def _lost(self, problem: str) -> None:
        """This process can compute no more."""
        self._problem = ServerUnavailable(problem)
        log.error("%s", problem)
        self._on_ready()

    def _note(self, run: Run) -> None:
        self.device = run.engine.device
        self.provider = "CPUExecutionProvider" if self.device.startswith("CPU") else "CUDA"

    def _load(self) -> None:
        started = time.perf_counter()
        pipeline = None
        try:
            from hemalum.runs.pipeline import Pipeline

            pipeline = Pipeline(*self._choice, polite=True, lost=self._lost)
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
        with pipeline.run(model, image, pixels, Parameters(skip_glass=False, interactive=True)) as run:
            run.submit(0, pixels)
            for event in run.events():
                if isinstance(event, Finished):
                    self._note(run)
                    self.finished(run, event.summary.seconds.get("engine", 0.0), 1)
