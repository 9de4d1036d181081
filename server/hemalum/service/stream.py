"""One run over one stream: a thread takes the client's tiles, the call's own thread sends what is found.

Neither side buffers a slide.  The next message is read from the wire only when a credit is free, and a credit is free
only when the reply that returned it has been *sent*: a client that ignores its credits is slowed down by the transport,
and one that stops reading gets no further.  `calls.Watchdog` ends a run whose client does neither.

>>> replies = Stream(work, requests, context).replies()                          # doctest: +SKIP
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import grpc
import numpy as np

from hemalum.errors import Cancelled, ProtocolError
from hemalum.runs.events import Event, Parameters, TileConsumed
from hemalum.service.calls import Call
from hemalum.service.work import Work
from hemalum.v1 import nuclei_pb2 as pb
from hemalum.wire.api import check_client_version
from hemalum.wire.events import nuclei_of
from hemalum.wire.pixels import array_of, mask_message, mask_of
from hemalum.wire.texts import text
from hemalum.wire.values import (
    image_message,
    image_of,
    model_message,
    parameters_message,
    parameters_of,
    plan_messages,
    stain_message,
    table_message,
)

if TYPE_CHECKING:
    from hemalum.models import Model
    from hemalum.runs.run import Run

log = logging.getLogger("hemalum.service")


class Stream(Call):
    """A `Segment` call.

    Args:
        work: of the server.  requests, context: of the call.  caller: name of its token.
    """

    def __init__(
        self, work: Work, requests: Iterator[pb.SegmentRequest], context: grpc.ServicerContext, caller: str = ""
    ):
        super().__init__(work, context, caller)
        self._requests = requests
        self._credits = threading.Semaphore(0)

    def _carried(self) -> Iterator[pb.SegmentReply]:
        with self._work.openings.enter(self._caller) as ticket:
            if not ticket.granted:
                raise self._work.openings.busy(self._caller)
            opening = yield from self._beside(lambda: self._next("open"))
            asked = self._checked(opening)
        self._watchdog.seconds = self._work.limits.idle_seconds
        with self._enter(asked.parameters.interactive) as ticket:
            yield from self._in_turn(ticket, opening.queues)
            side = self._work.limits.overview_side
            yield from self._sent(pb.SegmentReply(overview_request=pb.OverviewRequest(max_side=side)))
            overview = yield from self._beside(lambda: self._next("overview"))
            run = yield from self._beside(lambda: self._opened(lambda: self._open(asked, overview)))
            granted = min(run.credits, self._work.limits.tiles_in_flight)
            self._credits = threading.Semaphore(granted)
            yield from self._sent(opened_message(run, self._work.estimate(run), granted))
            threading.Thread(target=self._take, args=(run,), name="hemalum-tiles", daemon=True).start()
            yield from self._told(run, run.events())

    def _after(self, event: Event) -> None:
        if isinstance(event, TileConsumed):
            self._credits.release()

    def _next(self, kind: str) -> Any:
        request = self._request()
        if request is None:
            raise ProtocolError(f"the stream ended where {kind!r} was due; send open, overview, then tiles")
        found = request.WhichOneof("message")
        if found != kind:
            raise ProtocolError(f"{found!r} came where {kind!r} was due; send open, overview, then tiles")
        return getattr(request, kind)

    def _request(self) -> pb.SegmentRequest | None:
        """The next message; the client owes it, since whoever calls has a credit for it."""
        watchdog = self._watchdog
        watchdog.touch()
        watchdog.due = True
        try:
            return next(self._requests, None)
        finally:
            watchdog.due = False
            watchdog.touch()

    def _checked(self, opening: pb.Open) -> _Asked:
        """Check the opening before the client makes an overview of a slide."""
        check_client_version(opening.api_version)
        model = self._work.model(opening.model)
        image = image_of(opening.image)
        parameters = parameters_of(opening.parameters).resolved(model.card.thresholds)
        limits = self._work.limits
        limits.check_image(image.width, image.height)
        core = parameters.core or model.card.core
        limits.check_tiles(image.width, image.height, image.mpp, model.card.mpp, core)
        return _Asked(model, opening.image, parameters, text(opening.client))

    def _open(self, asked: _Asked, message: pb.Overview) -> Run:
        from hemalum.slides.slide import identity_of

        size = asked.image.width, asked.image.height
        self._work.limits.check_overview(message.pixels.width, message.pixels.height, size)
        overview = array_of(message.pixels, "the overview")
        unread = (
            mask_of(message.unread, overview.shape[:2], "the overview's mask of unread areas")
            if message.unread
            else None
        )
        image = image_of(asked.image, identity_of(size, overview))
        self._work.pipeline(self._context.is_active)
        run = self._work.open_run(asked.model, image, overview, asked.parameters, unread)
        # no name of the image: it may be a patient's
        log.info(
            "run %s: %s, %d×%d px, %d tiles, model %s",
            run.run_id,
            f"{self._caller} with {asked.client}" if self._caller else asked.client,
            *size,
            len(run.plan.tiles),
            run.model.id,
        )
        return run

    def _take(self, run: Run) -> None:
        """Take tiles until the client closes its side."""
        begun = False
        if run.place.gives_way:
            from hemalum.engine.courtesy import give_way

            give_way()
        try:
            while self._credit():
                request = self._request()
                if request is None:
                    run.end()
                    return
                match request.WhichOneof("message"):
                    case "tile":
                        begun = True
                        tile = request.tile
                        run.submit(tile.index, _boxed(run, tile))
                    case "failed":
                        self._credits.release()
                        reason = text(request.failed.reason) or "the client could not read it"
                        run.fail(request.failed.index, reason)
                    case "known" if not begun:
                        begun = True
                        self._credits.release()
                        run.known(list(request.known.tiles), nuclei_of(request.known.nuclei))
                    case other:
                        raise ProtocolError(f"{other!r} came where a tile was due; send each of the others once")
        except Cancelled:
            return
        except grpc.RpcError:  # the call has ended
            run.cancel()
        except BaseException as error:
            if not self._stop.is_set():
                self._broken = error
            run.cancel()

    def _credit(self) -> bool:
        while not self._credits.acquire(timeout=0.5):
            if self._stop.is_set():
                return False
        return not self._stop.is_set()


class _Asked(NamedTuple):
    """An opening that was checked; the image without an identity of its own still gets one."""

    model: Model
    image: pb.Image
    parameters: Parameters
    client: str


def _boxed(run, tile: pb.Tile) -> np.ndarray:
    if tile.index >= len(run.plan.tiles):
        raise ProtocolError(f"there is no tile {tile.index}; the plan has {len(run.plan.tiles)}")
    rect, n = run.plan.tiles[tile.index].read, run.plan.scale.n
    due = -(-rect.width // n), -(-rect.height // n)
    if (tile.pixels.width, tile.pixels.height) != due:
        raise ProtocolError(
            f"tile {tile.index} has {tile.pixels.width}×{tile.pixels.height} px, but {due[0]}×{due[1]} are due "
            f"({rect.width}×{rect.height} level-0 px, box mean over {n}×{n})"
        )
    return array_of(tile.pixels, f"tile {tile.index}")


def opened_message(run, estimate: float, credits: int) -> pb.SegmentReply:
    """What a client must know of an open run."""
    plan = run.plan
    return pb.SegmentReply(
        opened=pb.Opened(
            run_id=run.run_id,
            model=model_message(run.model),
            image=image_message(run.image),
            parameters=parameters_message(run.parameters),
            colour_table=table_message(run.table, run.stain.method),
            box=plan.scale.n,
            model_scale=plan.to_level0,
            tile_shape=plan.tile_shape,
            tiles=plan_messages(plan),
            credits=credits,
            estimate_seconds=estimate,
            measurements=run.columns,
            device=run.engine.device,
            precision=run.precision,
            notices=run.notices,
            tissue=mask_message(run.mask),
            stain=stain_message(run.stain),
            grid_tiles=run.grid_tiles,
        )
    )


__all__ = ["Stream", "opened_message"]
