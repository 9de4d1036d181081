"""`RemoteRun`: a run on a server, with the attributes and events of `hemalum.runs.run.Run`, so that everything behind
takes either.

A thread of gRPC asks for the next request; it reads a tile only when a credit is free, so at most `credits` tiles are
in memory.

>>> with Client("localhost:50051") as client, open_slide("slide.svs") as slide:  # doctest: +SKIP
...     with client.run(slide, "nuclei", Parameters()) as run:
...         for event in run.events():
...             print(event)
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import grpc
import numpy as np

from hemalum import __version__
from hemalum.client.connection import FAULT
from hemalum.client.lasting import Found, lasting
from hemalum.client.patience import PATIENCE, Listening, Patience
from hemalum.errors import Cancelled, HemalumError, ProtocolError, RunLost, ServerLost, TooMuch
from hemalum.grid.tiling import Rect
from hemalum.nuclei.nuclei import Nuclei
from hemalum.runs.events import Event, Finished, ImageInfo, Parameters, TileConsumed
from hemalum.runs.record import Stopwatch
from hemalum.v1 import nuclei_pb2 as pb
from hemalum.wire.api import API_VERSION, error_of
from hemalum.wire.events import event_of
from hemalum.wire.pixels import message_of
from hemalum.wire.values import image_message, image_of, parameters_message, parameters_of, plan_of, stain_of, table_of

CLIENT = f"hemalum {__version__} (Python)"


class PixelSource:
    """What a client reads the pixels from.

    Args:
        image: with its identity.  overview: uint8 h×w×3.  unread: bool h×w or None.
        read: gives the box-meaned pixels of (level-0 rectangle, n); a `HemalumError` fails the tile only.
        order: tile indices from the number of tiles; plan order by default.
        encoding: "RGB", or "PNG" for slow links.
    """

    def __init__(
        self,
        image: ImageInfo,
        overview: np.ndarray,
        read: Callable[[Rect, int], np.ndarray],
        unread: np.ndarray | None = None,
        order: Callable[[int], Iterable[int]] = range,
        encoding: str = "RGB",
    ):
        self.image, self.overview, self.read, self.unread = image, overview, read, unread
        self.order, self.encoding = order, encoding


class RemoteRun:
    """A run on a server, opened when it is made; a context manager, at whose end it is cancelled.

    Args:
        call: starts the stream from an iterator of requests (`stub.Segment` with its metadata), or from nothing where
            the server reads.
        source: the pixels, or None where the server reads the slide.
        model, parameters: what to do.
        limit: largest message of the server, bytes.
        explain: turns a failed opening into the error to raise.
        patience, heartbeat: as of `Listening`.
        waiting: told in a sentence what is waited for.
        known: what an earlier run has settled.

    Attributes:
        again: opens the run that goes on where this one was lost, or raises; None: nothing does.
        run_id, image, parameters, plan, stain, table, columns, credits, notices, device, digest: as of `Run`;
            `precision`: None of an older server; `model`: a `ModelInfo` message.

    Raises:
        HemalumError: what the server refused; nothing was computed.
    """

    def __init__(
        self,
        call: Callable,
        source: PixelSource | None,
        model: str,
        parameters: Parameters,
        limit: int,
        explain: Callable[[grpc.RpcError], HemalumError],
        patience: Patience = PATIENCE,
        heartbeat: float = 0,
        waiting: Callable[[str], Any] = lambda sentence: None,
        known: pb.Known | None = None,
    ):
        self.again: Callable[[Found, ServerLost], RemoteRun] | None = None
        self._known, self._next, self._stop_asked = known, self, False
        self.watch = Stopwatch()
        self._limit = limit
        self._stop, self._asked, self._opened = threading.Event(), threading.Event(), threading.Event()
        self._broken: BaseException | None = None
        self._listening: Any = None
        self._call: Any = None  # gRPC may ask for requests before it has returned the call
        self._credits = threading.Semaphore(0)
        self._opening = pb.Open(
            api_version=API_VERSION,
            client=CLIENT,
            model=model,
            parameters=parameters_message(parameters),
            queues=True,
        )
        if source is not None:
            self._opening.image.CopyFrom(image_message(source.image))
        self._call = call(self._requests(source)) if source is not None else call()
        self._listening = Listening(self._call, patience, heartbeat)
        try:
            opened = self._handshake(waiting)
        except grpc.RpcError as error:
            self.cancel()
            raise self._broken or self._listening.error or explain(error) from error
        except BaseException:
            self.cancel()
            raise
        self.run_id, self.model, self.device = opened.run_id, opened.model, opened.device
        self.precision: str | None = opened.precision or None
        self.digest, self.largest_nucleus_um = opened.model.sha256, opened.model.largest_nucleus_um
        self.image, self.parameters, self.plan = (
            image_of(opened.image),
            parameters_of(opened.parameters),
            plan_of(opened),
        )
        self.stain = stain_of(opened.stain)
        self.table: np.ndarray | None = table_of(opened.colour_table)
        self.columns, self.notices, self.credits = tuple(opened.measurements), list(opened.notices), opened.credits
        self.estimate_seconds, self.grid_tiles = opened.estimate_seconds, opened.grid_tiles
        self._credits = threading.Semaphore(self.credits)
        self._listening.opened = True
        self._opened.set()

    def __enter__(self) -> RemoteRun:
        return self

    def __exit__(self, *_: object) -> None:
        self.cancel()

    @property
    def model_record(self) -> dict[str, Any]:
        """What a run record says of the model, as the server tells it."""
        model = self.model
        return {
            "id": model.id,
            "version": model.version,
            "sha256": self.digest,
            "mpp": model.mpp,
            "licence": json.loads(model.card_json)["licence"],
        }

    def events(self) -> Iterator[Event]:
        """Everything that happens, until `Finished`.  One reader; closing the iterator cancels the run.

        Raises:
            RunLost: the server or the connection was lost and did not come back, or it ended the run.
            Cancelled: `cancel` was called.
        """
        if self.again is None:
            yield from self.own_events()
            return
        try:
            yield from lasting(self, self.again, self._follow)
        finally:
            self.cancel()

    def _follow(self, run: Any) -> None:
        run.watch, self._next = self.watch, run
        if self._stop_asked:
            run.cancel()

    def own_events(self) -> Iterator[Event]:
        """The same as far as this server takes it."""
        finished = False
        try:
            for reply in self._listening.replies():
                event = event_of(reply)
                if event is None:
                    continue
                if isinstance(event, TileConsumed):
                    self._credits.release()
                finished = isinstance(event, Finished)
                yield event
            if not finished:
                raise RunLost("the server ended the run without a summary; run it again")
        except grpc.RpcError as error:
            raise self._broken or self._listening.error or self._lost(error) from error
        finally:
            self._end()

    def cancel(self) -> None:
        """Stop within a tile.  Thread-safe, may be repeated."""
        self._stop_asked = True
        self._end()
        if self._next is not self:
            self._next.cancel()

    def _end(self) -> None:
        self._stop.set()
        if self._listening is not None:
            self._listening.end()
        self._asked.set()
        self._opened.set()
        if self._call is not None:
            self._call.cancel()

    def ids(self, nuclei: Nuclei) -> list[str]:
        """The stable ids of nuclei of this run."""
        return nuclei.ids(self.digest, self.image.identity)

    def _handshake(self, waiting: Callable[[str], Any]) -> pb.Opened:
        for reply in self._listening.replies():
            kind = reply.WhichOneof("message")
            if kind == "overview_request":
                self._asked.set()
            elif kind == "queued":
                if reply.queued.place:
                    waiting(reply.queued.sentence)
            elif kind is None:  # of a newer server
                continue
            elif kind == "opened":
                return reply.opened
            else:
                raise ProtocolError(
                    f"the server sent {kind!r} before the run was open; update server and client to the same version"
                )
        raise RunLost("the server ended the run before it was open; run it again")

    def _requests(self, source: PixelSource) -> Iterator[pb.SegmentRequest]:
        try:
            yield pb.SegmentRequest(open=self._opening)
            self._asked.wait()
            if self._stop.is_set():
                return
            unread = np.packbits(source.unread).tobytes() if source.unread is not None else b""
            overview = pb.Overview(pixels=message_of(source.overview, source.encoding), unread=unread)
            yield pb.SegmentRequest(overview=overview)
            self._opened.wait()
            if self._known is not None and not self._stop.is_set():
                yield pb.SegmentRequest(known=self._known)
            for index in source.order(len(self.plan.tiles) if not self._stop.is_set() else 0):
                while not self._credits.acquire(timeout=0.5):
                    if self._stop.is_set():
                        return
                if self._stop.is_set():
                    return
                yield self._tile(index, source)
        except GeneratorExit:  # gRPC drops the requests of a call that was refused
            raise
        except BaseException as error:  # gRPC would only say "Exception iterating requests!"
            self._broken = self._broken or error
            self.cancel()

    def _tile(self, index: int, source: PixelSource) -> pb.SegmentRequest:
        try:
            with self.watch("read"):
                pixels = source.read(self.plan.tiles[index].read, self.plan.scale.n)
        except HemalumError as error:
            self._credits.release()
            return pb.SegmentRequest(failed=pb.TileFailed(index=index, reason=str(error)))
        request = pb.SegmentRequest(tile=pb.Tile(index=index, pixels=message_of(pixels, source.encoding)))
        if (size := request.ByteSize()) > self._limit:
            sentence = f"tile {index} has {size >> 20} MiB, and the server takes {self._limit >> 20} at a time"
            raise TooMuch(f"{sentence}; choose a smaller tile core")
        return request

    def _lost(self, error: grpc.RpcError) -> HemalumError:
        if (named := error_of(error, started=True)) is not None and not isinstance(named, Cancelled):
            return named
        if error.code() == grpc.StatusCode.CANCELLED and self._stop.is_set():
            return Cancelled("the run was cancelled")
        if error.code() == grpc.StatusCode.INTERNAL and (error.details() or "").startswith(FAULT):
            return RunLost(error.details())
        if error.code() == grpc.StatusCode.CANCELLED:
            return RunLost(f"the server ended the run ({error.details()}); ask whoever runs it, and run again")
        return ServerLost(
            f"the server was lost in mid-run ({error.code().name}: {error.details()}); start it and run again"
        )
