"""One slide of a job: its finished tiles from disk, the others from the network, settled and written as one run.

Nuclei, order and ids are those of `hemalum.runs.pipeline.segment_slide`, however often the slide was interrupted.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from hemalum.errors import UnreadableImage
from hemalum.jobs.manifest import Manifest, stamp
from hemalum.jobs.pieces import EVERY, Pieces
from hemalum.jobs.summary import Statistics
from hemalum.models import Model
from hemalum.nuclei.nuclei import Nuclei
from hemalum.runs.events import Progress
from hemalum.runs.pipeline import Pipeline, drive, image_info, within
from hemalum.runs.record import Stopwatch
from hemalum.runs.run import Run, _Arrived
from hemalum.runs.writing import Outcome, write_run
from hemalum.slides import open_slide

WAITS = (0.5, 2.0, 8.0)  # s before a tile that cannot be read is tried again: what a network folder may need to return


HELPLESS = 60.0  # s in which a file that was opened anew in vain is not opened anew again


class PieceRun(Run):
    """A `Run` that keeps every tile's candidates in `pieces` and takes those that are kept already."""

    pieces: Pieces | None = None
    source: dict | None = None  # what another process needs to compute tiles of this run

    def restore(self, index: int, nuclei: Nuclei) -> None:
        """Give the candidates of a tile instead of its pixels.  Raises as `submit`."""
        self._claim(index)
        self._arrive(_Arrived(index, nuclei, "", held=False))

    def _keep(self, index: int, nuclei: Nuclei) -> None:
        if self.pieces is not None and index not in self.pieces.tiles:
            self.pieces.add(index, nuclei)


class Vanished(Exception):
    """The slide's file is gone in mid-run; the slide is tried again later."""


class Reader:
    """Reads a slide that may vanish for a while (a network folder).

    Where pixels cannot be read though the file is there, it is opened anew once, and a tile that is simply broken costs
    no more than that; where the file is gone or changed, it is waited for.  A context manager.  Raises what
    `open_slide` raises.
    """

    def __init__(self, path: Path, mpp: float | None, series: int | None, waits: tuple[float, ...] = WAITS):
        self._open = lambda: open_slide(path, mpp, series)
        self._path, self._waits, self._lock = path, waits, threading.Lock()
        self._was, self._helpless_until = stamp(path), 0.0
        self.slide = self._open()

    def read(self, rect, n: int) -> np.ndarray:
        """As `Slide.read`.

        Raises:
            UnreadableImage: these pixels cannot be decoded.
            Vanished: the file is not there any more.
        """
        waits, anew = iter(self._waits), False
        while True:
            try:
                return self.slide.read(rect, n)
            except (UnreadableImage, OSError) as error:
                now = stamp(self._path)
                if now == self._was:
                    if anew or time.monotonic() < self._helpless_until:
                        self._helpless_until = max(self._helpless_until, time.monotonic() + HELPLESS * anew)
                        raise UnreadableImage(str(error)) from error
                elif (wait := next(waits, None)) is not None:
                    time.sleep(wait)
                elif now[0] is None:
                    raise Vanished(f"{self._path} is no longer there ({error})") from error
                else:
                    raise UnreadableImage(str(error)) from error
            anew = self._reopen() or stamp(self._path) == self._was

    def _reopen(self) -> bool:
        """Whether the file could be opened anew."""
        with self._lock:
            try:
                fresh = self._open()
            except Exception:  # not back yet
                return False
            self.slide.close()
            self.slide = fresh
            return True

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *_) -> None:
        self.slide.close()


def run_slide(
    entry: dict,
    manifest: Manifest,
    model: Model,
    pipeline: Pipeline,
    folder: Path,
    work: Path,
    progress: Callable[[Progress], Any] = lambda event: None,
    opened: Callable[[int], Any] = lambda tiles: None,
    compute: Callable | None = None,
) -> tuple[Outcome, dict]:
    """Segment one input of a job.

    Args:
        entry: of `Manifest.inputs`.  folder: for results.  work: this slide's pieces.
        opened: called with the number of tiles once the plan is known.
        compute: gives events where tiles are computed elsewhere: called with (run, reader, pieces); by default they are
            computed here.

    Returns:
        the outcome and its statistics (see `hemalum.jobs.summary`).

    Raises:
        UnreadableImage: the file is not what the job began with, or vanished.  Whatever else `segment_slide` raises.
    """
    path, options = Path(entry["path"]), manifest.options
    size = stamp(path)[0]
    if size is not None and entry["size"] is not None and size != entry["size"]:
        raise UnreadableImage(
            f"{path.name} has another size than when the job began; restore the file or begin a new job"
        )
    with Reader(path, options.get("mpp") or entry.get("mpp"), entry.get("series")) as reader:
        slide = reader.slide
        if not options.get("mpp") and entry.get("mpp"):
            slide.mpp_source = "QuPath project"
        slide.require_size(entry.get("expected"))
        region, parameters = options.get("region"), manifest.parameters
        with (watch := Stopwatch())("overview"):
            overview, image = slide.overview(), image_info(slide)
        if region is not None:
            region, parameters = within(slide, tuple(region), parameters)
        place = partial(pipeline.place, model)
        with PieceRun(place, model, image, overview, parameters, slide.unread) as run:
            run.watch.add("overview", watch.seconds["overview"])
            run.source = {
                "hemalum": manifest.hemalum,
                "path": str(path),
                "mpp": slide.mpp,
                "series": entry.get("series"),
                "identity": image.identity,
                "model": manifest.model,
                "settings": run.settings,
                **{name: options[name] for name in ("device", "threads", "precision")},
            }
            statistics = Statistics(run, overview, region)
            with Pieces(work, key_of(run), run.watch, options.get("commit_every", EVERY)) as pieces:
                run.pieces = pieces
                opened(len(run.plan.tiles))
                restored = len(pieces.tiles)
                try:
                    outcome = write_run(
                        run,
                        statistics.watch((compute or here)(run, reader, pieces)),
                        slide,
                        options["formats"],
                        folder,
                        entry["stem"],
                        region,
                        progress,
                        restored_tiles=restored,
                    )
                except Vanished as error:
                    raise UnreadableImage(str(error)) from error
        return outcome, statistics.content(outcome)


def here(run: PieceRun, reader: Reader, pieces: Pieces) -> Iterator:
    """The events of a run whose missing tiles are computed in this process."""
    return drive(run, reader.read, missing(run, pieces))


def missing(run: PieceRun, pieces: Pieces) -> Iterator[int]:
    """The tiles that must be computed; the others are given to the run on the way."""
    for index in range(len(run.plan.tiles)):
        if (kept := pieces.take(index)) is None:
            yield index
        else:
            run.restore(index, kept)


def key_of(run: Run) -> str:
    """Names everything a tile's candidates depend on."""
    plan = run.plan
    parts = (
        run.model.digest,
        run.image.identity,
        run.image.mpp,
        run.parameters.record(),
        run.settings,
        run.device,
        run.precision,
        plan.scale,
        plan.core,
        plan.halo,
        plan.image_size,
        [(tile.row, tile.col) for tile in plan.tiles],
    )
    return hashlib.sha256(repr(parts).encode()).hexdigest()
