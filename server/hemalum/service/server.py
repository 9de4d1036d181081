"""`Server`: the port, what listens on it, and a graceful end.

>>> server = Server(Settings(port=0))                                            # doctest: +SKIP
>>> server.start().port > 0, server.stop(grace=0)                                # doctest: +SKIP
"""

from __future__ import annotations

import errno
import ipaddress
import logging
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from hemalum.errors import NotAllowed, UsageError
from hemalum.service.auth import BearerToken
from hemalum.service.folders import allowed_folders
from hemalum.service.limits import Limits
from hemalum.service.servicer import NucleiServicer
from hemalum.service.tls import check_pair
from hemalum.service.work import Work
from hemalum.v1 import nuclei_pb2
from hemalum.v1.nuclei_pb2_grpc import add_NucleiServicer_to_server

log = logging.getLogger("hemalum.service")
NAME = nuclei_pb2.DESCRIPTOR.services_by_name["Nuclei"].full_name
SPARE_THREADS = 8  # an open stream holds a thread for its life; short calls must not wait for it
SERVING, NOT_SERVING = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING


@dataclass(frozen=True)
class Settings:
    """What `hemalum serve` was told.

    Attributes:
        host, port: where to listen; port 0 takes a free one.
        certificate, key: PEM files, both or none.  token: what clients must send, or None.
        insecure: listen beyond this machine without TLS or token.
        slides: folders for `SegmentSlide`.  models: model folders.
    """

    host: str = "127.0.0.1"
    port: int = 50051
    certificate: Path | None = None
    key: Path | None = None
    token: str | None = None
    insecure: bool = False
    slides: tuple[Path, ...] = ()
    models: tuple[Path, ...] = ()
    limits: Limits = field(default_factory=Limits)

    def check(self) -> None:
        """Raises `UsageError` for half a TLS pair, `NotAllowed` for an open server that was not asked for by name."""
        if (self.certificate is None) != (self.key is None):
            raise UsageError("TLS needs certificate and key; give --tls-cert and --tls-key together")
        missing = [what for what, there in (("TLS", self.certificate), ("token", self.token)) if not there]
        if missing and not is_loopback(self.host) and not self.insecure:
            raise NotAllowed(
                f"{self.host} can be reached from other machines, but there is no {' and no '.join(missing)}; make "
                "both with "
                "`hemalum serve --init-tls DIR`, or add --insecure if the network itself is trusted"
            )


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches `host`.

    >>> is_loopback("localhost"), is_loopback("127.0.0.2"), is_loopback("::1"), is_loopback("0.0.0.0")
    (True, True, True, False)
    """
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() == "localhost"


class Server:
    """A server that listens from `start` to `stop`.

    Raises:
        UsageError: settings that do not fit together, a port in use, an address that is not this machine's.
        NotAllowed: see `Settings.check`.
    """

    def __init__(self, settings: Settings):
        settings.check()
        self.settings = settings
        self.work = Work(settings.models, settings.limits, on_ready=self._ready)
        slides = allowed_folders(settings.slides)
        if settings.models:
            from hemalum.models import search_path

            search_path(settings.models)  # a folder that is not there is said now, not to the first client
        self._credentials = self._read_credentials()
        self._pool = ThreadPoolExecutor(settings.limits.runs + SPARE_THREADS, thread_name_prefix="hemalum-call")
        self._server = grpc.server(
            self._pool,
            interceptors=[BearerToken(settings.token)] if settings.token else [],
            options=_options(settings.limits),
        )
        self._health = health.HealthServicer(
            experimental_non_blocking=True, experimental_thread_pool=ThreadPoolExecutor(2)
        )
        self._health.set("", SERVING)
        self._health.set(NAME, NOT_SERVING)
        add_NucleiServicer_to_server(NucleiServicer(self.work, slides), self._server)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        reflection.enable_server_reflection((NAME, health.SERVICE_NAME, reflection.SERVICE_NAME), self._server)
        self.port = 0

    def start(self) -> Server:
        """Open the port, then load the pipeline behind it."""
        self.port = self._bind()
        self._server.start()
        self.work.load()
        return self

    def stop(self, grace: float) -> None:
        """End: no new runs, at most `grace` seconds for those under way, then their clients get a status.

        Until then the port stays open, so that whoever asks is told why nothing is started.
        """
        self.work.drain()
        self._health.set("", NOT_SERVING)
        self._health.set(NAME, NOT_SERVING)
        began = time.monotonic()
        self.work.wait_idle(grace)
        self._server.stop(max(0.0, grace - (time.monotonic() - began))).wait()
        self.work.close()

    def wait(self, event: threading.Event) -> None:
        """Block until `event`; in short steps, since a signal on Windows does not end a longer wait."""
        while not event.wait(0.5):
            continue

    def _ready(self) -> None:
        if self.work.ready:
            self._health.set(NAME, SERVING)

    def _read_credentials(self) -> grpc.ServerCredentials | None:
        if self.settings.certificate is None or self.settings.key is None:
            return None
        pair = []
        for path in (self.settings.key, self.settings.certificate):
            try:
                pair.append(Path(path).read_bytes())
            except OSError as error:
                raise UsageError(
                    f"{path} cannot be read ({error.strerror}); make it with `hemalum serve --init-tls DIR`"
                ) from error
        check_pair(pair[1], pair[0])
        return grpc.ssl_server_credentials([tuple(pair)])

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
        (
            "grpc.http2.min_ping_interval_without_data_ms",
            5_000,
        ),  # else a client that pings every 10 s is thrown out after 41
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.keepalive_time_ms", 20_000),  # notices a client whose network has gone
        ("grpc.keepalive_timeout_ms", 10_000),
        ("grpc.http2.max_pings_without_data", 0),
    ]
