"""What is no message is refused like any other mistake.

gRPC answers bytes that it cannot parse by itself, and then neither forgets the call nor gives back its thread: after
some hundred of them a server is deaf and cannot be ended.  So parsing never fails here; what could not be parsed is
refused by whoever takes it.

>>> parse = never_failing(int)
>>> parse(b"7"), parse(b"seven") is UNREADABLE
(7, True)
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any

import grpc

from hemalum.errors import ProtocolError
from hemalum.wire.api import abort


class _Unreadable:
    """Stands for a message that is none."""


UNREADABLE = _Unreadable()


def never_failing(parse: Callable[[bytes], Any] | None) -> Callable[[bytes], Any]:
    """The same function, which returns `UNREADABLE` where it would raise."""

    def parsed(data: bytes) -> Any:
        try:
            return data if parse is None else parse(data)
        except Exception:
            return UNREADABLE

    return parsed


def checked(request: Any) -> Any:
    """The request; raises `ProtocolError` for what is none."""
    if request is UNREADABLE:
        raise ProtocolError("a message could not be read; send what hemalum/v1/nuclei.proto describes")
    return request


class Readable(grpc.ServerInterceptor):
    """Puts `never_failing` and `checked` before every method of every service."""

    def __init__(self):
        self._known: dict[Any, grpc.RpcMethodHandler] = {}

    def intercept_service(self, continuation, details):
        handler = continuation(details)
        if handler is None:
            return None
        behaviour = _behaviour(handler)
        if behaviour not in self._known:
            self._known[behaviour] = _readable(handler, behaviour)
        return self._known[behaviour]


def _behaviour(handler: grpc.RpcMethodHandler) -> Callable:
    return handler.unary_unary or handler.unary_stream or handler.stream_unary or handler.stream_stream


def _readable(handler: grpc.RpcMethodHandler, behaviour: Callable) -> grpc.RpcMethodHandler:
    if handler.request_streaming:

        @functools.wraps(behaviour)  # with the pool that it runs in
        def stream(requests: Iterator, context: grpc.ServicerContext):
            try:
                yield from behaviour(map(checked, requests), context)
            except ProtocolError as error:
                abort(context, error)

        return grpc.stream_stream_rpc_method_handler(
            stream, never_failing(handler.request_deserializer), handler.response_serializer
        )

    @functools.wraps(behaviour)
    def single(request: Any, context: grpc.ServicerContext, *more: Any, **named: Any) -> Any:
        try:
            checked(request)
        except ProtocolError as error:
            abort(context, error)
        return behaviour(request, context, *more, **named)

    make = grpc.unary_stream_rpc_method_handler if handler.response_streaming else grpc.unary_unary_rpc_method_handler
    return make(single, never_failing(handler.request_deserializer), handler.response_serializer)
