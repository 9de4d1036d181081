"""From what a person typed to an open channel, and from a failed call to a sentence that names the reason.

gRPC says UNAVAILABLE for a wrong name, a closed port, a certificate of another CA and a web server alike.  So when a
call fails, `diagnose` makes the connection once more by hand, step by step, and says which step failed.

>>> parse_address(" https://gpu.lab.example:50051/ ")
Endpoint(host='gpu.lab.example', port=50051, tls=True, insecure=False)
>>> parse_address("localhost")
Endpoint(host='localhost', port=50051, tls=False, insecure=False)
"""

from __future__ import annotations

import re
import socket
import ssl
from typing import NamedTuple

import grpc

from hemalum.errors import Busy, HemalumError, ServerUnavailable, TooMuch, Unauthenticated, UsageError
from hemalum.wire.api import error_of
from hemalum.wire.local import is_loopback

DEFAULT_PORT = 50051
INSECURE = "insecure"
PLAIN, SECURE = {"http", "grpc", "dns", INSECURE}, {"https", "grpcs"}
FORM = re.compile(r"(?:([a-zA-Z][a-zA-Z0-9+.-]*):/+)?(\[[0-9a-fA-F:.]+\]|[^\s:/\[\]]+)(?::(\d{0,6}))?(?:/.*)?")
FAULT = "the server failed"  # of a fault that a Hemalum server did not foresee
STEP = 5.0  # s for each step of a diagnosis
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes((0, 0, 0, 4, 0, 0, 0, 0, 0))
HOST_MISMATCH = (62, 64)  # OpenSSL: the certificate is for another name, for another address
EXPIRED = (9, 10)


class Endpoint(NamedTuple):
    """Where a server listens.

    Attributes:
        tls: whether the connection is encrypted.
        insecure: whether a person has said by name that a token may travel without encryption.
    """

    host: str
    port: int
    tls: bool
    insecure: bool = False

    @property
    def authority(self) -> str:
        """Host and port; IPv6 in brackets."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_address(typed: str, tls: bool | None = None) -> Endpoint:
    """The endpoint a person means; forgives spaces, a path behind it, a missing port.

    Args:
        tls: None: by the scheme, and without one plain to this machine, encrypted to any other.  `insecure://` is
            plain, too, and lets a token travel so.

    Raises:
        UsageError: no address.
    """
    text = typed.strip().strip("\"'<>").strip()
    parts = FORM.fullmatch(text)
    if not parts:
        raise UsageError(f"{text!r} is not a server address; give HOST:PORT, such as gpu.lab.example:{DEFAULT_PORT}")
    scheme, host, port = (parts[1] or "").lower(), parts[2].strip("[]"), int(parts[3] or DEFAULT_PORT)
    if scheme and scheme not in PLAIN | SECURE:
        raise UsageError(
            f"{scheme!r} in {text!r} is no way to reach a server; use https:// (encrypted), http:// or nothing"
        )
    if not 1 <= port <= 65535:
        raise UsageError(
            f"{port} in {text!r} is no port; ports are 1 to 65535, and the server prints its own when it starts"
        )
    if scheme:
        tls = scheme in SECURE
    elif tls is None:
        tls = not is_loopback(host)
    return Endpoint(host, port, tls, scheme == INSECURE)


def check_token(token: str | None, endpoint: Endpoint) -> None:
    """Raises `UsageError` where a token would travel so that others can read it, `Unauthenticated` where it is none."""
    if not token:
        return
    if not (token.isascii() and token.isprintable()):  # gRPC would call it "Invalid metadata"
        raise Unauthenticated("the token has characters that no token has; copy it again from whoever runs the server")
    if not (endpoint.tls or endpoint.insecure or is_loopback(endpoint.host)):
        at = endpoint.authority
        raise UsageError(
            f"the token would travel to {at} without encryption; write https://{at}, or {INSECURE}://{at} if the "
            "network itself is trusted"
        )


def open_channel(endpoint: Endpoint, ca: bytes | None, longest_message: int = 64 << 20) -> grpc.Channel:
    """A channel; nothing is sent yet.

    Args:
        ca: PEM of the certificate authority; None: those this system trusts.

    Raises:
        UsageError: it is no certificate.
    """
    options = [
        ("grpc.max_receive_message_length", longest_message),
        ("grpc.keepalive_time_ms", 20_000),  # notices a server whose network has gone
        ("grpc.keepalive_timeout_ms", 10_000),
        ("grpc.http2.max_pings_without_data", 0),
        ("grpc.enable_http_proxy", 0),  # laboratories set proxies for the web, which do not pass gRPC on
        ("grpc.initial_reconnect_backoff_ms", 200),
    ]
    if not endpoint.tls:
        return grpc.insecure_channel(endpoint.authority, options)
    _trusting(ca)  # gRPC itself would print pages and say nothing
    return grpc.secure_channel(endpoint.authority, grpc.ssl_channel_credentials(ca or _system_roots()), options)


def _trusting(ca: bytes | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cadata=ca.decode("ascii") if ca else None)
    except (ssl.SSLError, ValueError):
        raise UsageError(
            "the CA file is not a certificate in PEM form; use the ca.crt that `hemalum serve --init-tls` made"
        ) from None


def explain(error: grpc.RpcError, endpoint: Endpoint, ca: bytes | None) -> HemalumError:
    """What a call that failed before work began means, as the error to raise."""
    if (named := error_of(error)) is not None:
        return named
    code, details = error.code(), error.details() or ""
    if code == grpc.StatusCode.UNAUTHENTICATED:
        return Unauthenticated(
            f"{endpoint.authority} refused the token ({details}); ask whoever runs the server for the current one"
        )
    if code == grpc.StatusCode.UNIMPLEMENTED and "404" not in details:
        return ServerUnavailable(f"{endpoint.authority} speaks gRPC but is no Hemalum server; check the port")
    if (too_large := message_too_large(error)) is not None:
        return too_large
    if code == grpc.StatusCode.RESOURCE_EXHAUSTED and "Concurrent RPC limit" in details:
        return Busy(f"{endpoint.authority} has too many calls to answer; try again in a minute")
    if code == grpc.StatusCode.INTERNAL and details.startswith(FAULT):
        return ServerUnavailable(f"{endpoint.authority}: {details}")
    if code == grpc.StatusCode.CANCELLED:
        return ServerUnavailable(
            f"{endpoint.authority} ended the call before the run was open: it does not wait long for a client; try "
            "again"
        )
    unknown = ServerUnavailable(
        f"{endpoint.authority} did not answer as a Hemalum server ({code.name}: {details}); try again"
    )
    return diagnose(endpoint, ca) or unknown


def message_too_large(error: grpc.RpcError) -> TooMuch | None:
    """The sentence for gRPC's own answer to a message above its limit."""
    if error.code() != grpc.StatusCode.RESOURCE_EXHAUSTED:
        return None
    found = re.search(r"larger than max \((\d+) vs\. (\d+)\)", error.details() or "")
    if not found:
        return None
    sent, limit = (int(number) / 2**20 for number in found.groups())
    return TooMuch(
        f"a message of {sent:.0f} MiB exceeds the limit of {limit:.0f} MiB; send smaller tiles (another tile core)"
    )


def diagnose(endpoint: Endpoint, ca: bytes | None) -> HemalumError | None:
    """Why an endpoint cannot be used, found by connecting step by step; None if every step succeeds."""
    name = endpoint.authority
    try:
        connection = socket.create_connection((endpoint.host, endpoint.port), timeout=STEP)  # tries every address
    except (socket.gaierror, UnicodeError):
        return ServerUnavailable(f"there is no computer called {endpoint.host!r} in this network; check the address")
    except ConnectionRefusedError:
        return ServerUnavailable(f"nothing listens on {name}; start the server with `hemalum serve`, or check the port")
    except TimeoutError:
        return ServerUnavailable(
            f"{name} does not answer; check the address, and whether a firewall lets this port through"
        )
    except OSError as error:
        return ServerUnavailable(f"{name} cannot be reached ({error.strerror}); check the address and the network")
    with connection:
        return _diagnose_tls(connection, endpoint, ca) if endpoint.tls else _diagnose_plain(connection, endpoint)


def _diagnose_tls(connection: socket.socket, endpoint: Endpoint, ca: bytes | None) -> HemalumError | None:
    name, context = endpoint.authority, _trusting(ca)
    context.set_alpn_protocols(["h2"])
    try:
        with context.wrap_socket(connection, server_hostname=endpoint.host) as secure:
            if secure.selected_alpn_protocol() == "h2":
                return None
    except ssl.SSLCertVerificationError as error:
        if error.verify_code in HOST_MISMATCH:
            use = "use a name the certificate was made for, or make a new one with --init-tls"
            why = f"its certificate is not for {endpoint.host}; {use}"
        elif error.verify_code in EXPIRED:
            reason = error.verify_message
            why = f"its certificate is not valid now ({reason}); check this computer's clock, or make a new one"
        elif ca:
            why = "its certificate was not made by the CA given; use the ca.crt that belongs to this server"
        else:
            what = "was made by a CA this computer does not know"
            why = f"its certificate {what}; give the server's ca.crt (--ca, or HEMALUM_CA)"
        return ServerUnavailable(f"{name} is not trusted: {why}")
    except (ssl.SSLError, OSError):
        return ServerUnavailable(
            f"{name} does not speak TLS; if its network is trusted, write http://{name}, else check the port"
        )
    return ServerUnavailable(f"{name} is not a gRPC server; check the port")


def _diagnose_plain(connection: socket.socket, endpoint: Endpoint) -> HemalumError | None:
    name = endpoint.authority
    try:
        connection.sendall(PREFACE)
        answer = connection.recv(9)
    except OSError:
        answer = b""
    if answer[3:4] == b"\x04" and not answer.startswith(b"HTTP"):  # a SETTINGS frame: HTTP/2
        return None
    if answer.startswith(b"\x15\x03") or (not answer and _speaks_tls(endpoint)):
        return ServerUnavailable(
            f"{name} expects TLS; write https://{name}, with the server's ca.crt (--ca, or HEMALUM_CA)"
        )
    return ServerUnavailable(f"{name} is not a gRPC server; check the port")


def _speaks_tls(endpoint: Endpoint) -> bool:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = (
        False,
        ssl.CERT_NONE,
    )  # only asks whether TLS is spoken; nothing is sent
    try:
        with (
            socket.create_connection((endpoint.host, endpoint.port), timeout=STEP) as connection,
            context.wrap_socket(connection),
        ):
            return True
    except OSError:
        return False


def _system_roots() -> bytes | None:
    """The authorities this system trusts; gRPC itself brings only its own list, without a hospital's."""
    found = ssl.create_default_context().get_ca_certs(binary_form=True)
    return "".join(map(ssl.DER_cert_to_PEM_cert, found)).encode() or None
