"""The events of a run, wherever it runs, written to sinks in plan order, with the run record beside them.

Driven by `hemalum.runs.pipeline.segment_slide`, the Python client and the batch runner.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from hemalum.errors import RunLost, UnreadableImage
from hemalum.files import commit_json
from hemalum.nuclei.nuclei import Nuclei
from hemalum.runs.events import Finished, NucleiFound, Progress, Summary, TileFailed, TileSettled
from hemalum.runs.record import record
from hemalum.sinks import Sink, Target, open_sinks
from hemalum.sinks.overlay import picture_of

MOST_SAID = 20  # notices of a slide


@dataclass
class Outcome:
    """What `segment_slide` did: counts, the files it wrote, the record, and sentences for the user."""

    summary: Summary
    paths: list[Path]
    record: dict[str, Any]
    notices: list[str] = field(default_factory=list)

    def sentences(self, name: str) -> list[str]:
        """The notices as they are said of a slide: the first twenty, all are in its record."""
        more = [f"{name}: {len(self.notices) - MOST_SAID} more notices are in its run.json"] if len(self.notices) > MOST_SAID else []
        return [f"{name}: {notice}" for notice in self.notices[:MOST_SAID]] + more


class PlanOrder:
    """Turns events into writes in plan order: tile by tile, within a tile by y, then x.

    So files are the same whatever order tiles were computed in.  What waits is bounded by the tiles between the first unsettled
    one and the last settled one: about one row when tiles come in plan order.

    >>> from hemalum.nuclei.nuclei import Nuclei
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


def write_run(
    run,
    events: Iterator,
    slide,
    formats: Iterable[str],
    folder: Path,
    stem: str | None = None,
    region: tuple[int, int, int, int] | None = None,
    progress: Callable[[Progress], Any] = lambda event: None,
    **more,
) -> Outcome:
    """Write the events of a run to sinks, and its record.

    Args:
        run: a `Run` or a `RemoteRun`.  events: its own, or those of who drives it.
        slide: what it runs on.  stem: of the files; the slide's name by default.
        region: what label images cover.  more: what the record says besides.

    Raises:
        UnreadableImage: every tile failed.
        HemalumError: the sinks' unfinished files are removed.
    """
    stem, image, described = stem or slide.name, run.image, run_record(run)
    target = Target(
        image.width, image.height, image.mpp, described["model"]["sha256"], image.identity, run.columns, region, lambda: picture_of(slide)
    )
    parts, notices, watch = {"image": slide.record(), **described, **more}, [*slide.notices, *run.notices], run.watch
    sinks: list[Sink] = open_sinks(formats, folder, stem, target)
    written = 0

    def write(nuclei: Nuclei) -> None:
        nonlocal written
        written += len(nuclei)
        with watch("write"):
            names = run.ids(nuclei)
            for sink in sinks:
                sink.write(nuclei, names)

    order = PlanOrder(len(run.plan.tiles), write)
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
        if summary.failed and len(summary.failed) == summary.tiles:
            raise UnreadableImage(f"nothing of {slide.name} could be segmented: {next(iter(summary.failed.values()))}")
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
    commit_json(path, content, waits=())
    return Outcome(summary, [*(path for sink in sinks for path in sink.paths), path], content, notices)


def run_record(run) -> dict[str, Any]:
    """What a run record says of a `Run` or `RemoteRun`: model, parameters, device, stain and plan."""
    model, plan = run.model, run.plan
    card = getattr(model, "card", model)                        # a server says of its model what our card says
    return {
        "model": {"id": model.id, "version": card.version, "sha256": run.digest, "mpp": card.mpp, "licence": card.licence},
        "run_id": run.run_id,
        "parameters": run.parameters.record(),
        "device": run.device,
        **({"precision": run.precision} if run.precision else {}),
        "stain": run.stain.record(),
        "plan": {"box": plan.scale.n, "fraction": plan.scale.fraction, "core": plan.core, "halo": plan.halo, "tiles": len(plan.tiles)},
    }
