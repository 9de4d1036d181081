"""A run whose server was lost goes on where it was: what is settled stays, the rest is computed by the next server.

A candidate is kept unless it conflicts with a kept one of higher rank (`hemalum.nuclei.settle`), so candidates that
were dropped decide nothing: the nuclei of settled tiles are all that their neighbours must know, and the seams come out
as if nothing had happened.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Protocol

import numpy as np

from hemalum.errors import ServerLost
from hemalum.nuclei.nuclei import Nuclei
from hemalum.nuclei.size_limit import at_limit
from hemalum.runs.any_run import AnyRun
from hemalum.runs.events import (
    Event,
    Finished,
    NormalizedTile,
    NucleiFound,
    Progress,
    TileFailed,
    TileSettled,
)
from hemalum.v1 import nuclei_pb2 as pb
from hemalum.wire.events import nuclei_message


class Remote(AnyRun, Protocol):
    """A `hemalum.client.remote_run.RemoteRun`."""

    largest_nucleus_um: float

    def own_events(self) -> Iterator[Event]:
        """Everything that happens as long as its own server is there."""


class Found:
    """What a run has said so far, as far as another one must know it: nuclei of tiles that touch an unsettled one.

    Args:
        run: its plan and model hold for those that follow.

    Attributes:
        settled: tiles of which nothing more is said.
    """

    def __init__(self, run: Remote):
        self.settled: set[int] = set()
        self._run, self._plan = run, run.plan
        self._nuclei: dict[int, list[Nuclei]] = {}
        self._failed: dict[int, str] = {}
        self._shown: set[int] = set()
        self._count = self._at_limit = 0
        self._before = 0.0
        self._again = False

    def resumed(self) -> None:
        """Another run goes on: it says again what was said of tiles that were not settled."""
        self._again, self._before = True, self._run.watch.seconds["total"]

    def known(self) -> pb.Known:
        """What the next server must know."""
        parts = [nuclei for tile in sorted(self.settled) for nuclei in self._nuclei.get(tile, ())]
        message = nuclei_message(Nuclei.concat(parts), self._run.digest, self._run.image.identity)
        return pb.Known(tiles=sorted(self.settled), nuclei=message)

    def new(self, event: Event) -> Event | None:
        """The event, less what was said before; None where nothing is left of it."""
        match event:
            case NucleiFound(nuclei):
                return self._new_nuclei(nuclei)
            case TileSettled(index):
                if index in self.settled:
                    return None
                self._settle(index)
            case TileFailed(index, reason):
                if index in self._failed or index in self.settled:
                    return None
                self._failed[index] = reason
            case NormalizedTile(index):
                if index in self._shown:
                    return None
                self._shown.add(index)
            case Progress(done, total, _, seconds):
                return Progress(max(done, len(self.settled)), total, self._count, self._before + seconds)
            case Finished(summary):
                stays = {index: reason for index, reason in self._failed.items() if index not in summary.failed}
                failed = dict(sorted({**(stays if self._again else {}), **summary.failed}.items()))
                return Finished(replace(summary, nuclei=self._count, failed=failed, at_size_limit=self._at_limit))
        return event

    def _new_nuclei(self, nuclei: Nuclei) -> NucleiFound | None:
        if self._again:
            nuclei = nuclei.take(~np.isin(nuclei.tile, list(self.settled)))
            said = {tile: self._centroids(tile) for tile in np.unique(nuclei.tile).tolist()}
            places = zip(nuclei.tile.tolist(), map(bytes, nuclei.centroids), strict=True)
            nuclei = nuclei.take(np.array([place not in said[tile] for tile, place in places], bool))
        if not len(nuclei):
            return None
        for tile in np.unique(nuclei.tile).tolist():
            self._nuclei.setdefault(tile, []).append(nuclei.take(nuclei.tile == tile))
        self._count += len(nuclei)
        self._at_limit += int(at_limit(nuclei, self._run.largest_nucleus_um / self._plan.image_mpp).sum())
        return NucleiFound(nuclei)

    def _centroids(self, tile: int) -> set[bytes]:
        return {bytes(place) for nuclei in self._nuclei.get(tile, ()) for place in nuclei.centroids}

    def _settle(self, index: int) -> None:
        self.settled.add(index)
        for other in (index, *self._around(index)):
            if other in self.settled and self.settled.issuperset(self._around(other)):
                self._nuclei.pop(other, None)

    def _around(self, index: int) -> list[int]:
        return [tile.index for tile in self._plan.neighbours(self._plan.tiles[index])]


def lasting(
    run: Remote, again: Callable[[Found, ServerLost], Remote], follow: Callable[[Remote], None]
) -> Iterator[Event]:
    """The events of a run and of those that go on where it was lost.

    Args:
        again: opens the next one, or raises what it was given.
        follow: told of it.
    """
    found, current = Found(run), run
    while True:
        try:
            for event in current.own_events():
                if (said := found.new(event)) is not None:
                    yield said
            return
        except ServerLost as lost:
            current = again(found, lost)
            found.resumed()
            follow(current)
