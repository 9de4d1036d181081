"""Who may call: `authorization: Bearer TOKEN`, compared in constant time.

Health checks need no token, so that a load balancer can make them; everything else does, once the server has a token.

>>> BearerToken("secret").allows([("authorization", "Bearer secret")]), BearerToken("secret").allows([])
(True, False)
"""

from __future__ import annotations

import hmac
import secrets
from pathlib import Path

import grpc

from hemalum.errors import Unauthenticated, UsageError
from hemalum.wire.api import abort

OPEN = "/grpc.health.v1.Health/"
MAKE = "make one with `hemalum serve --init-tls DIR`"
SHORTEST = 16  # characters: a shorter token can be guessed over a network


def new_token() -> str:
    """A token of 256 random bits, safe in a URL, a header and a shell."""
    return secrets.token_urlsafe(32)


def read_token(path: str | Path) -> str:
    """The token in a file; raises `UsageError` where there is none or it is short enough to be guessed."""
    try:
        token = Path(path).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UsageError(f"the token file {path} cannot be read ({reason}); {MAKE}") from error
    if len(token) < SHORTEST or not token.isascii() or any(c.isspace() for c in token):
        raise UsageError(
            f"{path} holds no usable token (at least {SHORTEST} letters and digits without spaces); {MAKE}"
        )
    return token


class BearerToken(grpc.ServerInterceptor):
    """Refuses calls without the token."""

    def __init__(self, token: str):
        self._expected = f"Bearer {token}".encode()

    def allows(self, metadata) -> bool:
        """Whether call metadata carry the token."""
        equal = []
        for key, value in metadata or ():
            if key == "authorization":
                sent = value.encode() if isinstance(value, str) else value
                equal.append(hmac.compare_digest(sent, self._expected))
        return any(equal)  # all of them were compared, so that the time taken tells nothing

    def intercept_service(self, continuation, details):
        if details.method.startswith(OPEN) or self.allows(details.invocation_metadata):
            return continuation(details)
        missing = not any(key == "authorization" for key, _ in details.invocation_metadata or ())
        sentence = "this server needs a token and none was sent" if missing else "the token was refused"
        return _refusal(Unauthenticated(f"{sentence}; ask whoever runs the server for the current one"))


def _refusal(error: Unauthenticated) -> grpc.RpcMethodHandler:
    def refuse(requests, context):
        abort(context, error)
        yield

    # a stream takes any kind of call, and is refused before its first message has arrived
    return grpc.stream_stream_rpc_method_handler(refuse)
