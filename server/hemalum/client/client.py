"""`Client`: the Python client of a Hemalum server.

Address, token and CA come from the arguments or from `HEMALUM_TOKEN`, `HEMALUM_TOKEN_FILE` and `HEMALUM_CA`; the token
of a server that the same user has started on this computer is found without.

>>> with Client("localhost:50051") as client, open_slide("slide.svs") as slide:  # doctest: +SKIP
...     print(client.info.server_version, [model.id for model in client.info.models])
...     client.segment_slide(slide, "nuclei", Parameters(), ["geojson"], Path("out")).summary.nuclei
"""

from __future__ import annotations

import copy
import os
import random
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import grpc
import numpy as np

from hemalum.client.connection import check_token, explain, open_channel, parse_address
from hemalum.client.lasting import Found
from hemalum.client.patience import PATIENCE, Patience
from hemalum.client.remote_run import CLIENT, PixelSource, RemoteRun
from hemalum.errors import Busy, Cancelled, ProtocolError, RunLost, ServerLost, ServerUnavailable, UsageError
from hemalum.runs.events import Parameters, Progress
from hemalum.slides.slide import Slide
from hemalum.stain.estimation import Stain
from hemalum.v1 import nuclei_pb2 as pb
from hemalum.v1.nuclei_pb2_grpc import NucleiStub
from hemalum.wire.api import API_VERSION, check_server_version
from hemalum.wire.local import is_loopback
from hemalum.wire.local import read_token as own_token
from hemalum.wire.pixels import array_of, message_of
from hemalum.wire.values import parameters_message, stain_of, table_of

__all__ = ["Client", "Normalized", "Patience", "PixelSource", "RemoteRun"]

Answer = TypeVar("Answer")
RETRY = 1.0  # s between two tries at a server that was lost
SPARE = 1 << 16  # bytes of a message beside what it carries
SOONEST, LATEST = 0.1, 120.0  # s between two tries at a busy server


class Normalized(NamedTuple):
    """A stain, the table into the reference stain (uint8 S×S×S×3), the picture in it (uint8 h×w×3) or None,
    sentences."""

    stain: Stain
    table: np.ndarray
    thumbnail: np.ndarray | None
    notices: list[str]


class Client:
    """A connection to one server; a context manager.  Connects and compares versions when it is made.

    Args:
        address: HOST:PORT, forgivingly read (see `parse_address`).
        token, token_file: what the server asks for.  ca: its certificate authority (PEM file); makes the connection
            TLS.
        timeout: s for short calls.
        patience: how long to wait for the rest.
        waiting: told in a sentence what is waited for: a place in the queue, a server that is busy.

    Attributes:
        info: the server's `ServerInfo` when the connection was made; `refresh()` asks again.

    Raises:
        UsageError: no address, a file that cannot be read, a token that others could read on its way.
        ServerUnavailable: bad name, nothing listening, not gRPC, TLS; the sentence says which.
        Unauthenticated: token missing or refused.  VersionMismatch: the server is too old or too new.
    """

    def __init__(
        self,
        address: str,
        token: str | None = None,
        token_file: str | Path | None = None,
        ca: str | Path | None = None,
        timeout: float = 10,
        patience: Patience = PATIENCE,
        waiting: Callable[[str], Any] = lambda sentence: None,
    ):
        token_file = token_file or (None if token else os.environ.get("HEMALUM_TOKEN_FILE"))
        ca = ca or os.environ.get("HEMALUM_CA")
        if token_file:
            token = _token_in(token_file)
        token = token or os.environ.get("HEMALUM_TOKEN")
        self.endpoint = parse_address(address, True if ca else None)
        if not token and is_loopback(self.endpoint.host):
            token = own_token(self.endpoint.port)
        check_token(token, self.endpoint)
        self._patience, self._waiting = patience, waiting
        self._closed = threading.Event()
        self._ca = _read(ca, "CA file") if ca and self.endpoint.tls else None
        self._metadata = (("authorization", f"Bearer {token}"),) if token else ()
        self._timeout = timeout
        self._channel = open_channel(self.endpoint, self._ca)
        self._stub = NucleiStub(self._channel)
        try:
            self.info = self.refresh()
            check_server_version(self.info.api_version, self.info.oldest_api_version, self.info.server_version)
        except BaseException:
            self.close()
            raise

    def refresh(self) -> pb.ServerInfo:
        """Ask the server what it is and can do now."""
        return self._short(self._stub.GetServerInfo, pb.GetServerInfoRequest(api_version=API_VERSION, client=CLIENT))

    def run(
        self,
        slide: Slide,
        model: str = "",
        parameters: Parameters | None = None,
        order: Callable[[int], Iterable[int]] = range,
        encoding: str = "RGB",
    ) -> RemoteRun:
        """Open a run on a slide that is read here; raises what the server refused, `UnknownResolution`."""
        from hemalum.runs.pipeline import image_info

        image = image_info(slide)
        source = PixelSource(
            image=image,
            overview=slide.overview(),
            read=slide.read,
            unread=slide.unread,
            order=order,
            encoding=encoding,
        )
        return self.run_source(source, model, parameters)

    def run_source(self, source: PixelSource, model: str = "", parameters: Parameters | None = None) -> RemoteRun:
        """The same for pixels from anywhere."""

        def call(requests):
            return self._stub.Segment(requests, metadata=self._metadata)

        run = self._opened(call, source, model, parameters or Parameters())
        if self._patience.reconnect > 0:
            run.again = lambda found, lost: self._again(run, source, found, lost)
        return run

    def _again(self, run: RemoteRun, source: PixelSource, found: Found, lost: ServerLost) -> RemoteRun:
        """The run that goes on where `run` was lost; raises `lost` where the server does not come back in time."""
        end = time.monotonic() + self._patience.reconnect
        rest = copy.copy(source)
        rest.order = lambda tiles: [index for index in source.order(tiles) if index not in done]
        while not self._closed.is_set():
            self._waiting(f"{lost.args[0].partition(';')[0]}; trying to go on")
            known, done = None, set[int]()
            try:
                self.info = self.refresh()
                if self.info.takes_known and not run.parameters.regions:
                    message = found.known()
                    if message.ByteSize() < self.info.limits.message_bytes - SPARE:
                        known, done = message, set(found.settled)

                def call(requests):
                    return self._stub.Segment(requests, metadata=self._metadata)

                following = self._opened(call, rest, run.model.id, run.parameters, known)
            except (ServerUnavailable, RunLost):
                if time.monotonic() > end or self._closed.wait(RETRY):
                    break
                continue
            if (following.digest, following.plan, following.columns) == (run.digest, run.plan, run.columns):
                return following
            following.cancel()
            raise RunLost("the server came back with another model or plan; run again")
        raise lost

    def run_there(
        self, path: str, model: str = "", parameters: Parameters | None = None, mpp: float | None = None
    ) -> RemoteRun:
        """Open a run on a slide that the server reads itself; `path` as the server sees it."""
        parameters = parameters or Parameters()
        request = pb.SegmentSlideRequest(
            api_version=API_VERSION,
            client=CLIENT,
            model=model,
            path=path,
            mpp=mpp,
            parameters=parameters_message(parameters),
            queues=True,
        )

        def call():
            return self._stub.SegmentSlide(request, metadata=self._metadata)

        return self._opened(call, None, model, parameters)

    def segment_slide(
        self,
        slide: Slide,
        model: str,
        parameters: Parameters,
        formats: Iterable[str],
        folder: Path,
        progress: Callable[[Progress], Any] = lambda event: None,
        region: tuple[int, int, int, int] | None = None,
        stem: str | None = None,
    ):
        """As `hemalum.runs.pipeline.segment_slide`, computed by the server; returns its `Outcome`."""
        from hemalum.runs.writing import write_run

        server = {
            "address": self.endpoint.authority,
            "version": self.info.server_version,
            "api_version": self.info.api_version,
        }
        with self.run(slide, model, parameters) as run:
            events = run.events()
            return write_run(run, events, slide, formats, folder, stem, region, progress, server=server)

    def normalize(
        self, overview: np.ndarray, stain: str = "macenko", size: int = 33, thumbnail: bool = True, mpp: float = 0
    ) -> Normalized:
        """Stain, colour table and normalized picture of an overview (uint8 h×w×3); `mpp` per overview px, 0:
        unknown."""
        request = pb.NormalizeRequest(
            api_version=API_VERSION,
            client=CLIENT,
            overview=pb.Overview(pixels=message_of(overview)),
            stain=stain,
            table_size=size,
            thumbnail=thumbnail,
            overview_mpp=mpp,
        )
        reply = self._short(self._stub.Normalize, request, 60)
        picture = array_of(reply.thumbnail, "the normalized overview") if thumbnail else None
        table = table_of(reply.colour_table)
        if table is None:
            raise ProtocolError("the server sent no colour table; update server and client to the same version")
        return Normalized(stain_of(reply.stain), table, picture, list(reply.notices))

    def translated(self, tile: np.ndarray, model: str = "") -> np.ndarray:
        """A tile (uint8 h×w×3 at the model's mpp) as the generator of `model` translates it
        (`hemalum.engine.generator`)."""
        request = pb.NormalizeRequest(api_version=API_VERSION, client=CLIENT, tile=message_of(tile), model=model)
        return array_of(self._short(self._stub.Normalize, request, 60).tile, "the translated tile")

    def close(self) -> None:
        """Close the connection; runs under way are cancelled."""
        self._closed.set()
        self._channel.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def _opened(
        self,
        call: Callable,
        source: PixelSource | None,
        model: str,
        parameters: Parameters,
        known: pb.Known | None = None,
    ) -> RemoteRun:
        """A run, as soon as the server has a place for it."""
        return self._in_turn(
            lambda: RemoteRun(
                call=call,
                source=source,
                model=model,
                parameters=parameters,
                limit=self.info.limits.message_bytes,
                explain=self._explain,
                patience=self._patience,
                heartbeat=self.info.heartbeat_seconds,
                waiting=self._waiting,
                known=known,
            ),
            self._patience.busy,
        )

    def _short(self, method, request, seconds: float | None = None):
        """The answer to a call that changes nothing, so that it can be repeated."""
        limit = seconds or self._timeout

        def ask():
            try:
                return method(request, timeout=limit, metadata=self._metadata)
            except grpc.RpcError as error:
                raise self._explain(error) from error

        return self._in_turn(ask, min(limit, self._patience.busy))

    def _in_turn(self, attempt: Callable[[], Answer], seconds: float) -> Answer:
        """Try, and where the server is busy try again when it asks for it, at most so long."""
        end = time.monotonic() + seconds
        while True:
            try:
                return attempt()
            except Busy as busy:
                wait = min(max(busy.retry_after, SOONEST), LATEST) * random.uniform(1, 1.25)  # not all at once
                if time.monotonic() + wait > end:
                    raise
                self._waiting(f"{busy}; asking again in {max(1, round(wait))} s")
            if self._closed.wait(wait):
                raise Cancelled("the connection was closed while the server was busy")

    def _explain(self, error: grpc.RpcError):
        return explain(error, self.endpoint, self._ca)


def _token_in(path: str | Path) -> str:
    """The token in a file, which may stand behind its name."""
    words = _read(path, "token file").decode("utf-8", "replace").split()
    return words[1] if len(words) == 2 else " ".join(words)


def _read(path: str | Path, what: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise UsageError(f"the {what} {path} cannot be read ({error.strerror}); check the path") from error
