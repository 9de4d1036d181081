"""One run over one stream: a thread takes the client's tiles, the call's own thread sends what is found.

Neither side buffers a slide.  The next message is read from the wire only when a credit is free, and a credit is free
only when the reply that returned it has been *sent*: a client that ignores its credits is slowed down by the transport,
and one that stops reading gets no further.  `Watchdog` ends a run whose client does neither.

>>> replies = Stream(work, requests, context).replies()                          # doctest: +SKIP
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import grpc
import numpy as np

from hemalum.errors import Cancelled, ProtocolError, RunLost
from hemalum.runs.events import Finished, TileConsumed
from hemalum.service.work import Work
from hemalum.v1 import nuclei_pb2 as pb
from hemalum.wire.api import check_client_version
from hemalum.wire.events import reply_of
from hemalum.wire.pixels import array_of, mask_message, mask_of
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
    from hemalum.runs.run import Run

log = logging.getLogger("hemalum.service")


class Watchdog:
    """Ends a run in which nothing has moved for `seconds` because of its client.

    Attributes:
        sending: a reply is on its way to the client.  due: a message from the client is.
        error: why the run was ended, or None.
    """

    def __init__(self, context: grpc.ServicerContext, seconds: float):
        self.sending, self.due = False, True
        self.error: RunLost | None = None
        self.run: Run | None = None
        self._context, self._seconds = context, seconds
        self._moved, self._ended = time.monotonic(), threading.Event()
        threading.Thread(target=self._watch, name="hemalum-watchdog", daemon=True).start()

    def touch(self) -> None:
        """Something moved."""
        self._moved = time.monotonic()

    def end(self) -> None:
        self._ended.set()

    def _watch(self) -> None:
        while not self._ended.wait(min(5.0, self._seconds / 4)):
            if time.monotonic() - self._moved < self._seconds or not (self.sending or self.due):
                continue
            what = "read what was sent" if self.sending else "sent what was due"
            self.error = RunLost(
                f"the run was ended because the client has not {what} for {self._seconds:g} s; start it again"
            )
            log.warning("%s", self.error)
            if self.run is not None:
                self.run.cancel()
            if self.run is None or self.sending:  # the call's thread waits in the transport, which only this ends
                self._context.cancel()
            return


class Stream:
    """A `Segment` call.

    Args:
        work: of the server.  requests, context: of the call.
    """

    def __init__(self, work: Work, requests: Iterator[pb.SegmentRequest], context: grpc.ServicerContext):
        self._work, self._requests, self._context = work, requests, context
        self._credits = threading.Semaphore(0)
        self._stop = threading.Event()
        self._broken: BaseException | None = None

    def replies(self) -> Iterator[pb.SegmentReply]:
        """Every reply; raises `HemalumError` for what ends the run early."""
        with self._work.slot(self._context.is_active):
            watchdog = self._watchdog = Watchdog(self._context, self._work.limits.idle_seconds)
            run = None
            try:
                yield self._overview_request()
                run = watchdog.run = self._open()
                watchdog.touch()
                if not self._context.add_callback(run.cancel):
                    raise Cancelled("the client has gone")
                yield from self._sent(opened_message(run, self._work.estimate(run), self._granted))
                threading.Thread(target=self._take, args=(run,), name="hemalum-tiles", daemon=True).start()
                for event in run.events():
                    yield from self._sent(reply_of(event, run.model.digest, run.image.identity))
                    if isinstance(event, TileConsumed):
                        self._credits.release()
                    elif isinstance(event, Finished):
                        summary = event.summary
                        log.info(
                            "run %s: %d nuclei, %d tiles, %d failed",
                            run.run_id,
                            summary.nuclei,
                            summary.tiles,
                            len(summary.failed),
                        )
                        self._work.finished(run, summary.seconds.get("engine", 0.0), summary.tiles)
            except Cancelled:
                if cause := self._broken or watchdog.error:
                    raise cause from None
                raise
            finally:
                watchdog.end()
                self._stop.set()
                if run is not None:
                    run.cancel()

    def _sent(self, reply: pb.SegmentReply) -> Iterator[pb.SegmentReply]:
        watchdog = self._watchdog
        watchdog.touch()
        watchdog.sending = True
        yield reply  # gRPC comes back here when it could hand the message to the transport
        watchdog.sending = False
        watchdog.touch()

    def _next(self, kind: str) -> Any:
        request = next(self._requests, None)
        self._watchdog.touch()
        if request is None:
            raise ProtocolError(f"the stream ended where {kind!r} was due; send open, overview, then tiles")
        found = request.WhichOneof("message")
        if found != kind:
            raise ProtocolError(f"{found!r} came where {kind!r} was due; send open, overview, then tiles")
        return getattr(request, kind)

    def _overview_request(self) -> pb.SegmentReply:
        """Check the opening before the client makes an overview of a slide."""
        opening = self._opening = self._next("open")
        check_client_version(opening.api_version)
        self._model = self._work.model(opening.model)
        image = image_of(opening.image)
        self._parameters = parameters_of(opening.parameters).resolved(self._model.card.thresholds)
        limits = self._work.limits
        limits.check_image(image.width, image.height)
        limits.check_tiles(
            image.width, image.height, image.mpp, self._model.card.mpp, self._parameters.core or self._model.card.core
        )
        return pb.SegmentReply(overview_request=pb.OverviewRequest(max_side=limits.overview_side))

    def _open(self):
        from hemalum.slides.slide import identity_of

        message = self._next("overview")
        size = self._opening.image.width, self._opening.image.height
        self._work.limits.check_overview(message.pixels.width, message.pixels.height, size)
        overview = array_of(message.pixels, "the overview")
        unread = (
            mask_of(message.unread, overview.shape[:2], "the overview's mask of unread areas")
            if message.unread
            else None
        )
        image = image_of(self._opening.image, identity_of(size, overview))
        self._watchdog.due = False  # loading may take a while, and that is not the client's doing
        self._work.pipeline(self._context.is_active)
        run = self._work.open_run(self._model, image, overview, self._parameters, unread)
        self._watchdog.due = True
        self._granted = min(run.credits, self._work.limits.tiles_in_flight)
        self._credits = threading.Semaphore(self._granted)
        # no name of the image: it may be a patient's
        log.info(
            "run %s: %s, %d×%d px, %d tiles, model %s",
            run.run_id,
            self._opening.client,
            *size,
            len(run.plan.tiles),
            run.model.id,
        )
        return run

    def _take(self, run) -> None:
        """Take tiles until the client closes its side."""
        try:
            while self._credit():
                request = next(self._requests, None)
                self._watchdog.touch()
                if request is None:
                    self._watchdog.due = False
                    run.end()
                    return
                match request.WhichOneof("message"):
                    case "tile":
                        tile = request.tile
                        run.submit(tile.index, _boxed(run, tile))
                    case "failed":
                        self._credits.release()
                        run.fail(request.failed.index, request.failed.reason or "the client could not read it")
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
            notices=run.notices,
            tissue=mask_message(run.mask),
            stain=stain_message(run.stain),
            grid_tiles=run.grid_tiles,
        )
    )


def slide_replies(run, read, work: Work) -> Iterator[pb.SegmentReply]:
    """Replies of a run whose pixels the server reads itself with `read`."""
    from hemalum.runs.pipeline import drive

    yield opened_message(run, work.estimate(run), 0)
    for event in drive(run, read):
        if isinstance(event, TileConsumed):
            continue
        yield reply_of(event, run.model.digest, run.image.identity)
        if isinstance(event, Finished):
            work.finished(run, event.summary.seconds.get("engine", 0.0), event.summary.tiles)


__all__ = ["Stream", "Watchdog", "opened_message", "slide_replies"]
