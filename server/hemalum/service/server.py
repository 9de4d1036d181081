"""`Server`: the port, what listens on it, and a graceful end.

>>> server = Server(Settings(port=0))                                            # doctest: +SKIP
>>> server.start().port > 0, server.stop(grace=0)                                # doctest: +SKIP
"""

from __future__ import annotations

import errno
import functools
import logging
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection, reflection_pb2_grpc

from hemalum.errors import NotAllowed, UsageError
from hemalum.service.auth import BearerToken, Tokens
from hemalum.service.folders import allowed_folders
from hemalum.service.limits import Limits
from hemalum.service.readable import Readable
from hemalum.service.servicer import NucleiServicer
from hemalum.service.tls import Certificate
from hemalum.service.work import Work
from hemalum.v1 import nuclei_pb2
from hemalum.v1.nuclei_pb2_grpc import add_NucleiServicer_to_server
from hemalum.wire.local import is_loopback

log = logging.getLogger("hemalum.service")
NAME = nuclei_pb2.DESCRIPTOR.services_by_name["Nuclei"].full_name
SPARE_THREADS = 8  # for calls that are refused, or answered at once
SPARE_CALLS = 64  # that may wait for a thread beyond those that have one; more are refused by gRPC
STREAMS = 100  # calls of one connection
WATCHERS = 16  # calls that watch the server's health
PATIENCE = 2.0  # s for gRPC to end
SERVING, NOT_SERVING = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING


@dataclass(frozen=True)
class Settings:
    """What `hemalum serve` was told.

    Attributes:
        host, port: where to listen; port 0 takes a free one.
        certificate, key: PEM files, both or none, read again when they change.
        token: what clients must send, or None.  token_file: the same, or one `NAME TOKEN` a line, read again.
        insecure: listen beyond this machine without TLS or token.
        slides: folders for `SegmentSlide`.  models: model folders.
        device, threads, precision: of engines, as of `Pipeline`.
    """

    host: str = "127.0.0.1"
    port: int = 50051
    certificate: Path | None = None
    key: Path | None = None
    token: str | None = None
    token_file: Path | None = None
    insecure: bool = False
    slides: tuple[Path, ...] = ()
    models: tuple[Path, ...] = ()
    limits: Limits = field(default_factory=Limits)
    device: str = "auto"
    threads: int | None = None
    precision: str = "auto"

    def check(self) -> None:
        """Raises `UsageError` for half a TLS pair, `NotAllowed` for an open server that was not asked for by name."""
        if (self.certificate is None) != (self.key is None):
            raise UsageError("TLS needs certificate and key; give --tls-cert and --tls-key together")
        secret = self.token or self.token_file
        missing = [what for what, there in (("TLS", self.certificate), ("token", secret)) if not there]
        if missing and not is_loopback(self.host) and not self.insecure:
            raise NotAllowed(
                f"{self.host} can be reached from other machines, but there is no {' and no '.join(missing)}; make "
                "both with "
                "`hemalum serve --init-tls DIR`, or add --insecure if the network itself is trusted"
            )


class Server:
    """A server that listens from `start` to `stop`.

    Raises:
        UsageError: settings that do not fit together, a port in use, an address that is not this machine's, a device
            that is not there.
        NotAllowed: see `Settings.check`.
    """

    def __init__(self, settings: Settings):
        settings.check()
        self.settings = settings
        limits = settings.limits
        tokens = None
        if settings.token_file is not None:
            tokens = Tokens.of_file(settings.token_file)
        elif settings.token:
            tokens = Tokens({"": settings.token})
        self.work = Work(
            settings.models,
            limits,
            on_ready=self._ready,
            several=lambda: tokens is not None and tokens.several,
            device=settings.device,
            threads=settings.threads,
            precision=settings.precision,
        )
        slides = allowed_folders(settings.slides)
        if settings.models:
            from hemalum.models import search_path

            search_path(settings.models)  # a folder that is not there is said now, not to the first client
        if settings.device == "cuda":
            from hemalum.engine.torch_engine import cuda_problem

            if problem := cuda_problem():
                raise UsageError(f"CUDA cannot be used: {problem}")
        self._credentials = None
        if settings.certificate is not None and settings.key is not None:
            self._credentials = Certificate(settings.certificate, settings.key).credentials()
        # a stream holds a thread for its life, so whatever must answer at once has threads of its own
        streams = limits.runs + limits.waiting + limits.openings + SPARE_THREADS
        short = 3 * limits.short_calls + SPARE_THREADS
        self._server = grpc.server(
            _pool(SPARE_THREADS, "call"),
            interceptors=[*([BearerToken(tokens)] if tokens else []), Readable()],
            options=_options(limits),
            maximum_concurrent_rpcs=streams + short + SPARE_CALLS,
        )
        self._health = Health(_pool(2, "health"))
        self._health.set("", SERVING)
        self._health.set(NAME, NOT_SERVING)
        servicer: Any = NucleiServicer(self.work, slides, lambda metadata: (tokens and tokens.caller(metadata)) or "")
        long = _pool(streams, "run")
        for method, pool in (("Segment", long), ("SegmentSlide", long), ("Normalize", _pool(short, "short"))):
            setattr(servicer, method, _within(pool, getattr(servicer, method)))
        add_NucleiServicer_to_server(servicer, self._server)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        described: Any = reflection.ReflectionServicer((NAME, health.SERVICE_NAME, reflection.SERVICE_NAME))
        described.ServerReflectionInfo = _within(_pool(2, "reflection"), described.ServerReflectionInfo)
        reflection_pb2_grpc.add_ServerReflectionServicer_to_server(described, self._server)
        self.port = 0

    def start(self) -> Server:
        """Open the port, then load the pipeline behind it."""
        self.port = self._bind()
        self._server.start()
        self.work.load()
        return self

    def stop(self, grace: float) -> None:
        """End: no new runs, at most `grace` seconds for those under way, then their clients get a status; a few seconds
        later this returns, whatever clients have sent.

        Until then the port stays open, so that whoever asks is told why nothing is started.
        """
        self.work.drain()
        self._health.set("", NOT_SERVING)
        self._health.set(NAME, NOT_SERVING)
        began = time.monotonic()
        self.work.wait_idle(grace)
        left = max(0.0, grace - (time.monotonic() - began))
        self._server.stop(left).wait(left + PATIENCE)  # for ever, where gRPC has lost count of its calls
        self.work.close()

    def wait(self, event: threading.Event) -> None:
        """Block until `event`; in short steps, since a signal on Windows does not end a longer wait."""
        while not event.wait(0.5):
            continue

    def _ready(self) -> None:
        self._health.set(NAME, SERVING if self.work.ready else NOT_SERVING)

    def _bind(self) -> int:
        host, port = self.settings.host.strip("[]"), self.settings.port
        _check_free(host, port)
        address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        try:
            if self._credentials is None:
                bound = self._server.add_insecure_port(address)
            else:
                bound = self._server.add_secure_port(address, self._credentials)
        except RuntimeError:
            bound = 0
        if not bound:
            raise UsageError(f"{address} cannot be listened on; choose another port with --port")
        return bound


class Health(health.HealthServicer):
    """Health checks, with a limit of those who watch, since they need no token."""

    def __init__(self, pool: ThreadPoolExecutor):
        super().__init__(experimental_non_blocking=True, experimental_thread_pool=pool)
        self._watching, self._count = threading.Lock(), 0

    def Watch(self, request, context, send_response_callback=None):  # noqa: N802 - the contract's name
        with self._watching:
            full = self._count >= WATCHERS
            self._count += not full
        if full:
            context.set_code(grpc.StatusCode.RESOURCE_EXHAUSTED)
            context.set_details(f"{WATCHERS} calls watch this server's health already; ask with Check instead")
            return send_response_callback(None)
        if not context.add_callback(self._gone):
            return self._gone()
        return super().Watch(request, context, send_response_callback)

    def _gone(self) -> None:
        with self._watching:
            self._count -= 1


def _pool(threads: int, name: str) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, thread_name_prefix=f"hemalum-{name}")


def _within(pool: ThreadPoolExecutor, method: Callable) -> Callable:
    """A method that gRPC runs in a pool of its own."""

    @functools.wraps(method)
    def within(request, context):
        return method(request, context)

    within.experimental_thread_pool = pool  # type: ignore[attr-defined]
    return within


def _check_free(host: str, port: int) -> None:
    """Raises `UsageError` that says why a port cannot be had; gRPC itself gives no reason."""
    try:
        family, kind, proto, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except OSError as error:
        raise UsageError(
            f"{host} is no address of this machine ({error.strerror}); leave --host out, or give 0.0.0.0 for all"
        ) from error
    with socket.socket(family, kind, proto) as probe:
        if hasattr(socket, "SO_EXCLUSIVEADDRUSE"):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
        else:
            probe.setsockopt(
                socket.SOL_SOCKET, socket.SO_REUSEADDR, 1
            )  # or a port that was just given back would look taken
        try:
            probe.bind(address)
        except OSError as error:
            reasons = {
                errno.EADDRINUSE: (
                    f"port {port} is in use, perhaps by another hemalum serve; stop that or choose another with --port"
                ),
                errno.EACCES: f"port {port} may only be used by the administrator; choose one above 1023 with --port",
                errno.EADDRNOTAVAIL: f"{host} is no address of this machine; leave --host out, or give 0.0.0.0 for all",
            }
            other = f"{host}:{port} cannot be listened on ({error.strerror}); choose another with --port"
            raise UsageError(reasons.get(error.errno or 0, other)) from error


def _options(limits: Limits) -> list[tuple[str, int]]:
    return [
        ("grpc.so_reuseport", 0),  # else a second server would share the port and take half of the calls
        ("grpc.max_receive_message_length", limits.message_bytes),
        ("grpc.max_send_message_length", -1),
        ("grpc.max_concurrent_streams", STREAMS),
        (
            "grpc.http2.min_ping_interval_without_data_ms",
            5_000,
        ),  # else a client that pings every 10 s is thrown out after 41
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.keepalive_time_ms", 20_000),  # notices a client whose network has gone
        ("grpc.keepalive_timeout_ms", 10_000),
        ("grpc.http2.max_pings_without_data", 0),
    ]
