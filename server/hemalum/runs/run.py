"""A run: one image, one model, tiles in any order in, final nuclei out.

The command line, the service and the batch runner all drive this one class: they read pixels and `submit` them, while
`events()` gives what has been found.  Four places work at once: the caller (resampling), the queue's engine, the
workers (post-processing) and the reader of `events()` (seams).  A reader that is slow holds back only its own run.

See `hemalum.runs.pipeline.segment_slide` for the loop that drives a run from a file.
"""

from __future__ import annotations

import math
import threading
import uuid
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from hemalum.engine import Engine, TileQueue
from hemalum.engine.workers import Workers
from hemalum.errors import Cancelled, ProtocolError
from hemalum.grid.resample import model_tile
from hemalum.grid.tiling import Plan, Tile
from hemalum.models import Model
from hemalum.nuclei.nuclei import Nuclei
from hemalum.nuclei.settle import Settler
from hemalum.nuclei.size_limit import at_limit
from hemalum.runs.events import (
    Event,
    Finished,
    ImageInfo,
    NormalizedTile,
    NucleiFound,
    Parameters,
    Progress,
    Summary,
    TileConsumed,
    TileFailed,
    TileSettled,
)
from hemalum.runs.planning import Membership
from hemalum.runs.preparation import prepare
from hemalum.runs.record import Stopwatch
from hemalum.stain.table import apply_table

if TYPE_CHECKING:
    from typing_extensions import Self


class Place(NamedTuple):
    """Where a run is computed: the queue that its tiles wait in, the engine of its model, the post-processing; whether
    threads that work for it give way to others."""

    queue: TileQueue
    engine: Engine
    workers: Workers
    gives_way: bool = False


class _Arrived(NamedTuple):
    """A tile's candidates, or None and why; held: its maps are counted by the lane until its events were taken."""

    tile: int
    nuclei: Nuclei | None
    reason: str
    held: bool


class Run:
    """One image in work; a context manager, at whose end it is cancelled.

    Args:
        place: where it is computed, or a function that gives it.
        model, image, parameters: what to do.
        overview: uint8 h×w×3, the whole image in at most 2048 px.
        unread: bool h×w, what of the overview could not be decoded; counted as tissue.

    Attributes:
        run_id: name of this run in logs.  parameters: with every threshold filled.  plan: its tiles.
        mask: tissue of the overview.  stain: a `hemalum.stain.Stain`.  table: uint8 S×S×S×3, image → reference stain.
        credits: tiles that may be submitted before the first `TileConsumed`.
        columns: names of the measurements.  notices: sentences for the user.
        device, precision: what the engine computes with.  digest: sha256 of the weights.

    Raises:
        RegionOutside, UsageError, UnknownResolution: before any work.
    """

    def __init__(
        self,
        place: Place | Callable[[], Place],
        model: Model,
        image: ImageInfo,
        overview: np.ndarray,
        parameters: Parameters,
        unread: np.ndarray | None = None,
    ):
        self.run_id = uuid.uuid4().hex[:12]
        self.model, self.image = model, image
        self.watch = Stopwatch()
        with self.watch("overview"):
            ready = prepare(model, image, overview, unread, parameters)
        self.parameters, self.mask, self.stain, self.table = ready.parameters, ready.mask, ready.stain, ready.table
        self.plan, self.settings = ready.plan, ready.settings
        self.grid_tiles = math.prod(self.plan.grid)
        self.columns, self.largest_nucleus_um = self.settings.columns, self.settings.largest_nucleus_um
        self.place = place() if callable(place) else place
        self.engine: Engine = self.place.engine
        self.device, self.digest = self.engine.device, model.digest
        self.precision: str | None = self.engine.precision
        self.notices = [*self.engine.notices]
        if self.stain.note:
            self.notices.append(self.stain.note)
        self._settler = Settler(self.plan)
        self._membership = Membership(self.parameters.regions) if self.parameters.regions else None
        self._arrived: deque[TileConsumed | _Arrived] = deque()
        self._changed = threading.Condition()
        self._open = set(range(len(self.plan.tiles)))  # tiles that were neither submitted nor failed
        self._left = len(self.plan.tiles)  # tiles without a result
        self._failed: dict[int, str] = {}
        self._nuclei = self._at_limit = 0
        self._boxed: dict[int, np.ndarray] = {}
        self._cancelled = False
        self._broken: Exception | None = None
        self.credits = self.engine.batch + 2
        self._lane = self.place.queue.lane(
            self.engine,
            self._computed,
            lambda index: self._arrive(TileConsumed(index)),
            interactive=self.parameters.interactive,
            room=self.engine.batch + self.place.workers.count + 1,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.cancel()

    @property
    def model_record(self) -> dict[str, Any]:
        """What a run record says of the model."""
        card = self.model.card
        return {
            "id": self.model.id,
            "version": card.version,
            "sha256": self.digest,
            "mpp": card.mpp,
            "licence": card.licence,
        }

    def submit(self, index: int, boxed: np.ndarray) -> None:
        """Give the pixels of `plan.tiles[index].read`, box-meaned by `plan.scale.n` (uint8 ⌈h/n⌉×⌈w/n⌉×3).
        Thread-safe.

        Raises:
            ProtocolError: beyond the plan, given twice, or of another size.
            Cancelled: the run has ended.
        """
        self._claim(index)
        tile = self.plan.tiles[index]
        try:
            with self.watch("resample"):
                pixels = model_tile(boxed, tile, self.plan)
        except ValueError as error:
            with self._changed:
                self._open.add(index)
            raise ProtocolError(f"tile {index} has the wrong size: {error}") from error
        if self.parameters.normalized_tiles:
            self._boxed[index] = boxed
        self._lane.put(index, pixels)

    def fail(self, index: int, reason: str) -> None:
        """Say that a tile cannot be read; the run goes on without it.  Raises as `submit`."""
        self._claim(index)
        self._arrive(_Arrived(index, None, reason, held=False))

    def known(self, tiles: Sequence[int], nuclei: Nuclei) -> None:
        """Say what an earlier run has settled: those tiles are not computed, their nuclei count as candidates.

        Args:
            tiles: all of them.  nuclei: theirs, at least of those beside a tile that was not settled.

        Raises:
            ProtocolError: a run on regions; tiles or nuclei that are not this plan's, or lack a measurement.
        """
        if self._membership is not None:
            raise ProtocolError("a run on regions cannot go on with what was known; send every tile again")
        if len(nuclei) and set(nuclei.columns) != set(self.columns):
            raise ProtocolError("known nuclei have other measurements than this run; send every tile again")
        if len(strangers := np.setdiff1d(nuclei.tile, np.asarray(tiles, int))):
            raise ProtocolError(f"known nuclei lie in tile {strangers[0]}, which is not said to be settled")
        for index in tiles:
            self._claim(index)
            own = nuclei.take(nuclei.tile == index)
            try:
                self._settler.check(self.plan.tiles[index], own)
            except ValueError as error:
                raise ProtocolError(f"known nuclei are not of this plan: {error}") from error
            self._arrive(_Arrived(index, own, "", held=False))

    def end(self) -> None:
        """No more tiles will come: those not submitted count as failed ("not sent")."""
        for index in sorted(self._open):
            try:
                self.fail(index, "not sent")
            except ProtocolError:
                continue  # submitted by another thread in between

    def cancel(self) -> None:
        """Stop within a tile; `events()` ends with `Cancelled`.  Thread-safe, may be repeated."""
        self._lane.close()
        with self._changed:
            self._cancelled = True
            self._changed.notify_all()

    def events(self) -> Iterator[Event]:
        """Everything that happens, until `Finished`.  One reader, whose thread decides the seams: so no run waits for
        another one's.

        Raises:
            Cancelled: `cancel` was called.
        """
        while self._left:
            with self._changed:
                while not self._arrived and not self._cancelled:
                    self._changed.wait()
                if self._cancelled:
                    raise self._broken or Cancelled("the run was cancelled")
                arrived = self._arrived.popleft()
            if isinstance(arrived, TileConsumed):
                yield arrived
                continue
            yield from self._settled(arrived)
            if arrived.held:
                self._lane.release()
            del arrived
        yield Finished(self._summary())

    def _break(self, error: Exception) -> None:
        self._broken = error
        self.cancel()

    def ids(self, nuclei: Nuclei) -> list[str]:
        """The stable ids of nuclei of this run."""
        return nuclei.ids(self.digest, self.image.identity)

    def _claim(self, index: int) -> None:
        with self._changed:
            if self._cancelled:
                raise Cancelled("the run was cancelled")
            if not 0 <= index < len(self.plan.tiles):
                raise ProtocolError(f"there is no tile {index}; the plan has {len(self.plan.tiles)}")
            if index not in self._open:
                raise ProtocolError(f"tile {index} was sent twice; send each tile of the plan once")
            self._open.remove(index)

    def _computed(self, index: int, pixels: np.ndarray, maps: np.ndarray | None, error: BaseException | None) -> None:
        try:
            self._post(index, pixels, maps, error)
        except Exception as problem:  # the engine's thread serves others too, and this run's reader would wait for ever
            self._break(problem)

    def _post(self, index: int, pixels: np.ndarray, maps: np.ndarray | None, error: BaseException | None) -> None:
        if self._cancelled:
            return
        if error is not None or maps is None:
            self._arrive(_Arrived(index, None, f"the network failed on it ({error})", held=True))
            return
        tile, interactive = self.plan.tiles[index], self.parameters.interactive
        try:
            future = self.place.workers.tile(maps, pixels, tile, self.plan, self.settings, interactive=interactive)
        except RuntimeError as problem:  # the process is shutting down, or its workers were lost
            self._arrive(_Arrived(index, None, f"it was not post-processed ({problem})", held=True))
            return
        future.add_done_callback(lambda future: self._post_processed(index, future))

    def _post_processed(self, index: int, future: Future) -> None:
        if future.cancelled():
            problem: object = "the process is shutting down"
        elif (problem := future.exception()) is None:
            nuclei, seconds = future.result()
            self.watch.add("postprocess", seconds)
            self._arrive(_Arrived(index, nuclei, "", held=True))
            return
        self._arrive(_Arrived(index, None, f"post-processing failed on it ({problem})", held=True))

    def _keep(self, index: int, nuclei: Nuclei) -> None:
        """For who wants a tile's candidates, before its seams are decided."""

    def _settled(self, arrived: _Arrived) -> Iterator[Event]:
        """What follows from a tile's result."""
        index, nuclei = arrived.tile, arrived.nuclei
        tile, boxed = self.plan.tiles[index], self._boxed.pop(index, None)
        if nuclei is None:
            self._failed[index] = arrived.reason
            yield TileFailed(index, arrived.reason)
        else:
            self._keep(index, nuclei)
            if boxed is not None:
                yield normalized_tile(tile, boxed, self.plan, self.table)
        with self.watch("settle"):
            final = self._settler.fail(tile) if nuclei is None else self._settler.add(tile, nuclei)
            if self._membership is not None:
                final = self._membership(final)
        self._nuclei += len(final)
        self._at_limit += int(at_limit(final, self.largest_nucleus_um / self.plan.image_mpp).sum())
        if len(final):
            yield NucleiFound(final)
        for settled in self._settler.take_settled():
            yield TileSettled(settled)
        self._left -= 1
        total = len(self.plan.tiles)
        yield Progress(total - self._left, total, self._nuclei, self.watch.seconds["total"])

    def _summary(self) -> Summary:
        self._lane.close()
        self.watch.add("engine", self._lane.seconds)
        return Summary(
            nuclei=self._nuclei,
            tiles=len(self.plan.tiles),
            skipped=self.grid_tiles - len(self.plan.tiles),
            failed=dict(self._failed),
            seconds=self.watch.seconds,
            duplicates_removed=self._settler.removed,
            at_size_limit=self._at_limit,
        )

    def _arrive(self, arrived: TileConsumed | _Arrived) -> None:
        with self._changed:
            self._arrived.append(arrived)
            self._changed.notify()


def normalized_tile(tile: Tile, boxed: np.ndarray, plan: Plan, table: np.ndarray) -> NormalizedTile:
    """A tile's core in the reference stain.

    Args:
        boxed: uint8 h×w×3, the box-meaned pixels of `tile.read`.  table: uint8 S×S×S×3, image → reference stain.
    """
    n, factor = plan.scale.n, plan.scale.factor
    # whole boxed px, the same on both sides of a seam
    left, top = (round(start * factor / n) for start in (tile.core.x, tile.core.y))
    right, bottom = (round(end * factor / n) for end in (tile.core.x + tile.core.width, tile.core.y + tile.core.height))
    x, y = tile.read.x // n, tile.read.y // n
    pixels = boxed[max(0, top) - y : bottom - y, max(0, left) - x : right - x]
    return NormalizedTile(tile.index, max(0, left) * n, max(0, top) * n, apply_table(pixels, table))
