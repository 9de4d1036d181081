"""The version of the wire contract, and how errors travel: a gRPC status, one sentence, and the class's name beside it.

>>> check_client_version(API_VERSION)
>>> check_client_version(2)                                                      # doctest: +NORMALIZE_WHITESPACE
Traceback (most recent call last):
    ...
hemalum.errors.VersionMismatch: this client speaks API version 2 and is too new for the server, which speaks 1;
update the server
"""

from __future__ import annotations

import grpc

from hemalum import errors
from hemalum.errors import Busy, HemalumError, RunLost, VersionMismatch
from hemalum.wire.texts import deliverable

API_VERSION = 1
OLDEST_API_VERSION = 1
ERROR_KEY = "hemalum-error"  # trailing metadata: name of the class in hemalum.errors
RETRY_KEY = "hemalum-retry-after"  # trailing metadata beside `Busy`: seconds
HEARTBEAT_KEY = "hemalum-heartbeat"  # initial metadata of a run: seconds for which its stream is silent at most
UNSAID, LONGEST = 10.0, 3600.0  # s: of a server that names no time, or one that cannot be meant


def check_client_version(version: int) -> None:
    """Raises `VersionMismatch` unless this server understands a client of API version `version`."""
    if version < OLDEST_API_VERSION:
        raise VersionMismatch(
            f"this client speaks API version {version} and is too old for the server, which speaks {API_VERSION}; "
            "update the client (QuPath: the Hemalum extension)"
        )
    if version > API_VERSION:
        raise VersionMismatch(
            f"this client speaks API version {version} and is too new for the server, which speaks {API_VERSION}; "
            "update the server"
        )


def check_server_version(newest: int, oldest: int, server: str) -> None:
    """Raises `VersionMismatch` unless a server that speaks `newest` and understands `oldest` understands this
    client."""
    this = f"this client, which speaks {API_VERSION}"
    if newest < API_VERSION:
        raise VersionMismatch(
            f"the server ({server}) speaks API version {newest} and is too old for {this}; update the server"
        )
    if oldest > API_VERSION:
        raise VersionMismatch(
            f"the server ({server}) needs API version {oldest} and is too new for {this}; update this client"
        )


def status_of(error: HemalumError) -> grpc.StatusCode:
    """The gRPC status of an error's class."""
    return grpc.StatusCode[error.grpc_status]


def abort(context: grpc.ServicerContext, error: HemalumError) -> None:
    """End a call with the status, the sentence and the class of `error`; never returns."""
    trailers = [(ERROR_KEY, type(error).__name__)]
    if isinstance(error, Busy):
        trailers.append((RETRY_KEY, f"{error.retry_after:.1f}"))
    context.set_trailing_metadata(tuple(trailers))
    context.abort(status_of(error), deliverable(str(error)))


def error_of(error: grpc.RpcError, started: bool = False) -> HemalumError | None:
    """What a server's answer means, as the error it raised there; None where the answer names no class.

    Args:
        started: the run was open already, so an error that names no work to do becomes `RunLost`.
    """
    trailers = dict(error.trailing_metadata() or ())
    name = trailers.get(ERROR_KEY)
    kind = getattr(errors, name, None) if name else None
    if not (isinstance(kind, type) and issubclass(kind, HemalumError)):
        return None
    if started and kind.exit_code == 2:
        return RunLost(error.details())
    if issubclass(kind, Busy):
        return kind(error.details(), _seconds(trailers.get(RETRY_KEY, "")))
    return kind(error.details())


def _seconds(hint: str) -> float:
    try:
        seconds = float(hint)
    except ValueError:
        return UNSAID
    return seconds if 0 < seconds < LONGEST else UNSAID
