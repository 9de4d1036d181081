"""The four methods of `hemalum.v1.Nuclei`; every error leaves as a status, one sentence and its class's name.

>>> from hemalum.service.limits import Limits
>>> from hemalum.service.work import Work
>>> servicer = NucleiServicer(Work([], Limits()), [])
>>> servicer.GetServerInfo(pb.GetServerInfoRequest(api_version=1), None).api_version
1
"""

from __future__ import annotations

import functools
import logging
import os
import secrets
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import grpc

from hemalum import __version__
from hemalum.errors import HemalumError, UsageError
from hemalum.models import DEFAULT, list_models
from hemalum.service.slide_stream import SlideStream
from hemalum.service.stream import Stream
from hemalum.service.work import Work
from hemalum.stain import METHODS
from hemalum.v1 import nuclei_pb2 as pb
from hemalum.v1.nuclei_pb2_grpc import NucleiServicer as Base
from hemalum.wire.api import API_VERSION, OLDEST_API_VERSION, abort, check_client_version
from hemalum.wire.pixels import array_of, mask_of, message_of
from hemalum.wire.texts import text
from hemalum.wire.values import matrix_message, matrix_of, model_message, stain_message, table_message

log = logging.getLogger("hemalum.service")


def _failed(context: grpc.ServicerContext, error: Exception) -> None:
    if isinstance(error, HemalumError):
        abort(context, error)
    name = secrets.token_hex(4)
    log.error("a call failed (%s)", name, exc_info=error)
    context.abort(grpc.StatusCode.INTERNAL, f"the server failed; its log says more under {name}")


def _answers(method):
    """A method whose errors become statuses."""

    @functools.wraps(method)
    def guarded(self, request, context):
        try:
            return method(self, request, context)
        except Exception as error:
            if context is None or not context.is_active():
                raise
            _failed(context, error)

    return guarded


def _streams(method):
    """The same for a method that yields replies."""

    @functools.wraps(method)
    def guarded(self, request, context):
        try:
            yield from method(self, request, context)
        except Exception as error:
            if not context.is_active():  # the client has gone: nobody to tell
                if not isinstance(error, (HemalumError, grpc.RpcError)):
                    log.exception("a call failed after its client had gone")
                return
            _failed(context, error)

    return guarded


class NucleiServicer(Base):
    """See `nuclei.proto`.

    Args:
        work: shared state.  slides: folders from `allowed_folders`.
        who: the name of the token in a call's metadata.
    """

    def __init__(self, work: Work, slides: Sequence[Path], who: Callable[[Any], str] = lambda metadata: ""):
        self._work, self._slides, self._who = work, list(slides), who

    def _caller(self, context: grpc.ServicerContext) -> str:
        return self._who(context.invocation_metadata())

    @_answers
    def GetServerInfo(self, request, context):
        work, broken = self._work, []
        models = list_models(work.folders, broken)
        return pb.ServerInfo(
            api_version=API_VERSION,
            oldest_api_version=OLDEST_API_VERSION,
            server_version=__version__,
            ready=work.ready,
            state=work.state,
            device=work.device,
            execution_provider=work.provider,
            models=map(model_message, models),
            broken_models=broken,
            default_model=DEFAULT,
            stains=METHODS,
            limits=work.limits.message(),
            slide_folders=map(str, self._slides),
            pid=os.getpid(),
            runs=work.runs,
            waiting=work.admission.queue,
            takes_known=True,
            heartbeat_seconds=work.limits.heartbeat_seconds,
        )

    @_streams
    def Segment(self, request_iterator, context):
        yield from Stream(self._work, request_iterator, context, self._caller(context)).replies()

    @_streams
    def SegmentSlide(self, request, context):
        yield from SlideStream(self._work, self._slides, request, context, self._caller(context)).replies()

    @_answers
    def Normalize(self, request, context):
        check_client_version(request.api_version)
        if request.table_size and not 2 <= request.table_size <= 129:
            raise UsageError(
                f"a colour table of {request.table_size} points is not possible; ask for 2 to 129, or 0 for 33"
            )
        if not 0 <= request.overview_mpp < float("inf"):
            raise UsageError(
                f"{request.overview_mpp:g} µm per px of the overview are not possible; send 0 where it is not known"
            )
        with self._work.short.enter(self._caller(context)) as ticket:
            if not ticket.wait(self._work.limits.slot_seconds):
                raise self._work.short.busy(self._caller(context))
            return self._picture_of(request, context)

    def _picture_of(self, request, context) -> pb.NormalizeReply:
        reply = (
            pb.NormalizeReply(tile=self._translated(request))
            if request.HasField("tile")
            else pb.NormalizeReply()
        )
        if request.HasField("overview") or not request.HasField("tile"):
            reply.MergeFrom(self._normalized(request, context))
        return reply

    def _translated(self, request) -> pb.Pixels:
        """The sent tile through the model's generator."""
        self._work.limits.check_picture(request.tile.width, request.tile.height, "tile")
        pixels, model = array_of(request.tile, "the tile"), self._work.model(request.model)
        from hemalum.engine.generator import translated

        return message_of(translated(model, pixels))

    def _normalized(self, request, context) -> pb.NormalizeReply:
        """The overview's stain, colour table and picture."""
        overview, mask = self._picture(request.overview, "the overview")
        self._work.pipeline(context.is_active)  # its libraries are the slow part
        from dataclasses import replace

        from hemalum.stain.estimation import REFERENCE, estimate
        from hemalum.stain.table import apply_table, colour_table
        from hemalum.stain.tissue import tissue_mask

        method = text(request.stain) or "macenko"
        tissue = tissue_mask(overview)
        stain = estimate(overview, tissue if mask is None else tissue & ~mask, method, request.overview_mpp or None)
        if request.HasField("stain_matrix"):
            stain = replace(stain, matrix=matrix_of(request.stain_matrix), note="")
        reference = REFERENCE
        if request.HasField("reference"):
            shown, unread = self._picture(request.reference, "the reference")
            tissue = tissue_mask(shown)
            reference = estimate(shown, tissue if unread is None else tissue & ~unread, method)
            if reference.note:
                raise UsageError(
                    f"the reference image cannot be used: {reference.note.split(';')[0]}; choose an H&E image with "
                    "tissue"
                )
        table = colour_table(stain, reference, request.table_size or 33)
        return pb.NormalizeReply(
            stain_matrix=matrix_message(stain.matrix),
            stain=stain_message(stain),
            colour_table=table_message(table, method),
            thumbnail=message_of(apply_table(overview, table)) if request.thumbnail else None,
            notices=[stain.note] if stain.note else [],
        )

    def _picture(self, message: pb.Overview, what: str):
        size = message.pixels.width, message.pixels.height
        self._work.limits.check_overview(*size, size)
        pixels = array_of(message.pixels, what)
        return pixels, mask_of(message.unread, pixels.shape[:2], f"the mask of {what}") if message.unread else None
