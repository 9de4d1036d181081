"""Who may call: `authorization: Bearer TOKEN`, compared in constant time; each token may have a name.

A token file holds one token, or one `NAME TOKEN` a line (`#` begins a comment).  It is read again when it changes, so a
line that is taken out locks its owner out, and one that is added lets somebody in, without a restart.

Health checks need no token, so that a load balancer can make them; everything else does, once the server has a token.

>>> tokens = Tokens({"": "secret"})
>>> tokens.caller([("authorization", "Bearer secret")]), tokens.caller([])
('', None)
"""

from __future__ import annotations

import hmac
import logging
import secrets
import threading
from collections.abc import Iterable, Mapping
from pathlib import Path

import grpc

from hemalum.errors import Unauthenticated, UsageError
from hemalum.wire.api import abort
from hemalum.wire.texts import text

log = logging.getLogger("hemalum.service")
OPEN = "/grpc.health.v1.Health/"
MAKE = "make one with `hemalum serve --init-tls DIR`"
SHORTEST = 16  # characters: a shorter token can be guessed over a network
LONGEST_NAME = 60


def new_token() -> str:
    """A token of 256 random bits, safe in a URL, a header and a shell."""
    return secrets.token_urlsafe(32)


def read_tokens(path: str | Path) -> dict[str, str]:
    """Name → token of the tokens in a file; a lone token has the name "".

    Raises:
        UsageError: there is none, a line is no token, a token is short enough to be guessed, or a name comes twice.
    """
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no text"
        raise UsageError(f"the token file {path} cannot be read ({reason}); {MAKE}") from error
    entries = [(number, line.split()) for number, line in enumerate(lines, 1) if line.split("#")[0].strip()]
    tokens: dict[str, str] = {}
    for number, words in entries:
        name, token = ("", words[0]) if len(words) == 1 == len(entries) else (words[0], words[-1])
        if len(words) > 2 or (len(words) == 1 and len(entries) > 1):
            raise UsageError(f"line {number} of {path} is no NAME TOKEN; give every token a name of one word")
        if len(token) < SHORTEST or not token.isascii() or not token.isprintable():
            raise UsageError(
                f"{path} holds no usable token in line {number} (at least {SHORTEST} letters and digits without "
                f"spaces); {MAKE}"
            )
        if name in tokens or token in tokens.values():
            raise UsageError(f"line {number} of {path} repeats a name or a token; give every person one of their own")
        tokens[text(name, LONGEST_NAME)] = token
    if not tokens:
        raise UsageError(f"{path} holds no usable token; {MAKE}")
    return tokens


class Tokens:
    """The tokens that a server accepts; thread-safe.

    Args:
        tokens: name → token.  path: the file they are from, which is read again when it changes.
    """

    def __init__(self, tokens: Mapping[str, str], path: Path | None = None):
        self._path, self._stamp = path, _stamp(path)
        self._lock = threading.Lock()
        self._known = _headers(tokens)

    @classmethod
    def of_file(cls, path: str | Path) -> Tokens:
        """Raises `UsageError` as `read_tokens`."""
        return cls(read_tokens(path), Path(path))

    @property
    def several(self) -> bool:
        """Whether callers can be told apart."""
        return len(self._known) > 1

    def caller(self, metadata: Iterable[tuple[str, str | bytes]] | None) -> str | None:
        """The name of the token in call metadata; None where there is none that is known."""
        self._refresh()
        found = None
        for key, value in metadata or ():
            if key != "authorization":
                continue
            sent = value.encode() if isinstance(value, str) else value
            for name, expected in self._known.items():
                if hmac.compare_digest(sent, expected):  # all are compared, so that the time taken tells nothing
                    found = name
        return found

    def _refresh(self) -> None:
        stamp = _stamp(self._path)
        if self._path is None or stamp == self._stamp:
            return
        with self._lock:
            if stamp == self._stamp:
                return
            self._stamp = stamp
            try:
                self._known = _headers(read_tokens(self._path))
                log.info("the token file has changed: %d token(s)", len(self._known))
            except UsageError as error:
                log.warning("the tokens stay as they were: %s", error)


def _headers(tokens: Mapping[str, str]) -> dict[str, bytes]:
    return {name: f"Bearer {token}".encode() for name, token in tokens.items()}


def _stamp(path: Path | None) -> tuple[int, int, int] | None:
    try:
        found = path.stat() if path is not None else None
    except OSError:
        return None
    return found and (found.st_mtime_ns, found.st_size, found.st_ino)


class BearerToken(grpc.ServerInterceptor):
    """Refuses calls without one of the tokens."""

    def __init__(self, tokens: Tokens):
        self._tokens = tokens

    def intercept_service(self, continuation, details):
        if details.method.startswith(OPEN) or self._tokens.caller(details.invocation_metadata) is not None:
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
