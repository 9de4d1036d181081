"""The events of a run, wherever it runs, written to sinks in plan order, with the run record beside them.

Driven by `hemalum.runs.pipeline.segment_slide`, the Python client and the batch runner.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from hemalum.errors import RunLost, UnreadableImage
from hemalum.lock import ResultLock
from hemalum.nuclei.nuclei import Nuclei
from hemalum.nuclei.size_limit import size_notice
from hemalum.runs.any_run import AnyRun
from hemalum.runs.events import Event, Finished, NucleiFound, Progress, Summary, TileFailed, TileSettled
from hemalum.runs.record import record
from hemalum.runs.results import commit_record
from hemalum.sinks import Sink, Target, open_sinks
from hemalum.sinks.overlay import picture_of
from hemalum.slides.slide import Slide

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
        sentences = [f"{name}: {notice}" for notice in self.notices[:MOST_SAID]]
        if len(self.notices) > MOST_SAID:
            sentences.append(f"{name}: {len(self.notices) - MOST_SAID} more notices are in its run.json")
        return sentences


class PlanOrder:
    """Turns events into writes in plan order: tile by tile, within a tile by y, then x.

    So files are the same whatever order tiles were computed in.  What waits is bounded by the tiles between the first
    unsettled one and the last settled one: about one row when tiles come in plan order.

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
            parts = self._waiting.pop(self._next, None)
            if parts:
                nuclei = Nuclei.concat(parts)
                self._write(nuclei.take(np.lexsort((nuclei.centroids[:, 0], nuclei.centroids[:, 1]))))
            self._next += 1


def write_run(
    run: AnyRun,
    events: Iterator[Event],
    slide: Slide,
    formats: Iterable[str],
    folder: Path,
    stem: str | None = None,
    region: tuple[int, int, int, int] | None = None,
    progress: Callable[[Progress], Any] = lambda event: None,
    **more,
) -> Outcome:
    """Write the events of a run to sinks, and its record.

    Args:
        run: in this process or on a server.  events: its own, or those of who drives it.
        slide: what it runs on.  stem: of the files; the slide's name by default.
        region: what label images cover.  more: what the record says besides.

    Raises:
        Busy: another run writes these results.
        UnreadableImage: every tile failed.
        HemalumError: the sinks' unfinished files are removed.
    """
    stem = stem or slide.name
    with ResultLock(folder, stem):
        parts, notices = {"image": slide.record(), **run_record(run), **more}, [*slide.notices, *run.notices]
        sinks = open_sinks(formats, folder, stem, _target(run, slide, region))
        try:
            summary = _written(run, events, sinks, notices, progress)
            if summary.failed and len(summary.failed) == summary.tiles:
                reason = next(iter(summary.failed.values()))
                raise UnreadableImage(f"nothing of {slide.name} could be segmented: {reason}")
            with run.watch("write"):
                publish(sinks)
        except BaseException:
            if hasattr(events, "close"):
                events.close()
            for sink in sinks:
                sink.abort()
            raise
        paths = [path for sink in sinks for path in sink.paths]
        content = record(
            "segment",
            **parts,
            counts={
                "nuclei": summary.nuclei,
                "tiles": summary.tiles,
                "skipped": summary.skipped,
                "failed": len(summary.failed),
                "duplicates_removed": summary.duplicates_removed,
                "at_size_limit": summary.at_size_limit,
            },
            failed={str(index): reason for index, reason in sorted(summary.failed.items())},
            failed_areas=_areas(run, summary),
            seconds={**summary.seconds, **run.watch.seconds},
            notices=notices,
            outputs=[path.name for path in paths],
        )
        path = folder / f"{stem}.run.json"
        commit_record(path, content)
        return Outcome(summary, [*paths, path], content, notices)


def _areas(run: AnyRun, summary: Summary) -> list[list[float]]:
    """Of each failed tile x, y, width, height of what it answers for, level-0 px."""
    areas = []
    for index in sorted(summary.failed):
        left, top, right, bottom = run.plan.bounds(run.plan.tiles[index], 0)
        areas.append([left, top, right - left, bottom - top])
    return areas


def publish(sinks: list[Sink]) -> None:
    """Give all files their names, or leave none.  Raises `DiskFull`."""
    named: list[Path] = []
    try:
        for sink in sinks:
            sink.finish()
        for sink in sinks:
            sink.close()
            named += sink.paths
    except BaseException:
        for sink in sinks:
            sink.abort()
        for path in named:
            with contextlib.suppress(OSError):
                path.unlink()
        raise


def _target(run: AnyRun, slide: Slide, region: tuple[int, int, int, int] | None) -> Target:
    return Target(
        width=run.image.width,
        height=run.image.height,
        mpp=run.image.mpp,
        model=run.digest,
        identity=run.image.identity,
        columns=run.columns,
        region=region,
        picture=lambda: picture_of(slide),
    )


def _written(
    run: AnyRun,
    events: Iterator[Event],
    sinks: list[Sink],
    notices: list[str],
    progress: Callable[[Progress], Any],
) -> Summary:
    """Give the nuclei to the sinks, failed tiles to `notices`; raises `RunLost` where nuclei are missing at the end."""
    written = 0

    def write(nuclei: Nuclei) -> None:
        nonlocal written
        written += len(nuclei)
        with run.watch("write"):
            names = run.ids(nuclei)
            for sink in sinks:
                sink.write(nuclei, names)

    order, summary = PlanOrder(len(run.plan.tiles), write), None
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
            if notice := size_notice(summary.at_size_limit, summary.nuclei, run.largest_nucleus_um):
                notices.append(notice)
    if summary is None or written != summary.nuclei:
        raise RunLost("the run ended before all nuclei were received; run it again")
    return summary


def run_record(run: AnyRun) -> dict[str, Any]:
    """What a run record says of a run: model, parameters, device, stain and plan."""
    plan = run.plan
    return {
        "model": run.model_record,
        "run_id": run.run_id,
        "parameters": run.parameters.record(),
        "device": run.device,
        "precision": run.precision,
        "stain": run.stain.record(),
        "plan": {
            "box": plan.scale.n,
            "fraction": plan.scale.fraction,
            "core": plan.core,
            "halo": plan.halo,
            "tiles": len(plan.tiles),
        },
    }
