"""`Client`: the Python client of a Hemalum server.

Address, token and CA come from the arguments or from `HEMALUM_TOKEN`, `HEMALUM_TOKEN_FILE` and `HEMALUM_CA`.

>>> with Client("localhost:50051") as client, open_slide("slide.svs") as slide:  # doctest: +SKIP
...     print(client.info.server_version, [model.id for model in client.info.models])
...     client.segment_slide(slide, "nuclei", Parameters(), ["geojson"], Path("out")).summary.nuclei
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import grpc
import numpy as np

from hemalum.client.connection import explain, open_channel, parse_address
from hemalum.client.remote_run import CLIENT, PixelSource, RemoteRun
from hemalum.errors import ProtocolError, Unauthenticated, UsageError
from hemalum.runs.events import Parameters, Progress
from hemalum.slides.slide import Slide
from hemalum.stain.estimation import Stain
from hemalum.v1 import nuclei_pb2 as pb
from hemalum.v1.nuclei_pb2_grpc import NucleiStub
from hemalum.wire.api import API_VERSION, check_server_version
from hemalum.wire.pixels import array_of, message_of
from hemalum.wire.values import parameters_message, stain_of, table_of

__all__ = ["Client", "Normalized", "PixelSource", "RemoteRun"]


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

    Attributes:
        info: the server's `ServerInfo` when the connection was made; `refresh()` asks again.

    Raises:
        UsageError: no address, a file that cannot be read.
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
    ):
        token_file = token_file or (None if token else os.environ.get("HEMALUM_TOKEN_FILE"))
        ca = ca or os.environ.get("HEMALUM_CA")
        if token_file:
            token = _read(token_file, "token file").decode("ascii", "replace").strip()
        token = token or os.environ.get("HEMALUM_TOKEN")
        if token and not (token.isascii() and token.isprintable()):  # gRPC would call it "Invalid metadata"
            raise Unauthenticated(
                "the token has characters that no token has; copy it again from whoever runs the server"
            )
        self.endpoint = parse_address(address, True if ca else None)
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

        return RemoteRun(
            call=call,
            source=source,
            model=model,
            parameters=parameters or Parameters(),
            limit=self.info.limits.message_bytes,
            explain=self._explain,
        )

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
        )
        return RemoteRun(
            call=lambda: self._stub.SegmentSlide(request, metadata=self._metadata),
            source=None,
            model=model,
            parameters=parameters,
            limit=self.info.limits.message_bytes,
            explain=self._explain,
        )

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

        run = self.run(slide, model, parameters)
        server = {
            "address": self.endpoint.authority,
            "version": self.info.server_version,
            "api_version": self.info.api_version,
        }
        return write_run(
            run, run.events(), slide, formats, folder, stem=stem, region=region, progress=progress, server=server
        )

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
        self._channel.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def _short(self, method, request, seconds: float | None = None):
        try:
            return method(request, timeout=seconds or self._timeout, metadata=self._metadata)
        except grpc.RpcError as error:
            raise self._explain(error) from error

    def _explain(self, error: grpc.RpcError):
        return explain(error, self.endpoint, self._ca)


def _read(path: str | Path, what: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise UsageError(f"the {what} {path} cannot be read ({error.strerror}); check the path") from error
