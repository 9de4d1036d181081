"""One run on a slide that the server reads itself.

>>> replies = SlideStream(work, [folder], request, context).replies()            # doctest: +SKIP
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import grpc

from hemalum.errors import MissingImage, VersionMismatch
from hemalum.runs.events import Event, ImageInfo, Parameters, TileConsumed
from hemalum.service.calls import Call
from hemalum.service.folders import resolve_inside
from hemalum.service.stream import opened_message
from hemalum.service.work import Work
from hemalum.v1 import nuclei_pb2 as pb
from hemalum.wire.api import check_client_version
from hemalum.wire.texts import text
from hemalum.wire.values import parameters_of

if TYPE_CHECKING:
    from hemalum.models import Model
    from hemalum.runs.run import Run
    from hemalum.slides.slide import Slide

log = logging.getLogger("hemalum.service")


class SlideStream(Call):
    """A `SegmentSlide` call.

    Args:
        work: of the server.  slides: folders from `allowed_folders`.  request, context: of the call.
        caller: name of its token.
    """

    def __init__(
        self,
        work: Work,
        slides: Sequence[Path],
        request: pb.SegmentSlideRequest,
        context: grpc.ServicerContext,
        caller: str = "",
    ):
        super().__init__(work, context, caller)
        self._slides, self._request = slides, request

    def _carried(self) -> Iterator[pb.SegmentReply]:
        request, work = self._request, self._work
        check_client_version(request.api_version)
        path = resolve_inside(self._slides, request.path)
        if not os.path.exists(path):
            raise MissingImage(f"{text(request.path)!r} does not exist on the server; check its name")
        model = work.model(request.model)
        parameters = parameters_of(request.parameters).resolved(model.card.thresholds)
        self._watchdog.seconds = work.limits.idle_seconds
        with self._enter(parameters.interactive) as ticket:
            yield from self._in_turn(ticket, request.queues)
            slide, run = yield from self._beside(lambda: self._made(path, model, parameters))
            try:
                yield from self._sent(opened_message(run, work.estimate(run), 0))
            except BaseException:
                slide.close()
                raise
            yield from self._told(run, _events(run, slide))

    def _made(self, path: Path, model: Model, parameters: Parameters) -> tuple[Slide, Run]:
        self._work.pipeline(self._context.is_active)
        from hemalum.slides import open_slide

        slide = open_slide(path, self._request.mpp if self._request.HasField("mpp") else None)
        try:
            return slide, self._opened(lambda: self._open(slide, model, parameters))
        except BaseException:
            slide.close()
            raise

    def _open(self, slide: Slide, model: Model, parameters: Parameters) -> Run:
        work = self._work
        image = self._same(slide)
        work.limits.check_image(*slide.size)
        work.limits.check_tiles(*slide.size, image.mpp, model.card.mpp, parameters.core or model.card.core)
        run = work.open_run(model, image, slide.overview(), parameters, slide.unread)
        client = text(self._request.client)
        log.info(
            "run %s: %s, a slide of %d×%d px, %d tiles, model %s",
            run.run_id,
            f"{self._caller} with {client}" if self._caller else client,
            *slide.size,
            len(run.plan.tiles),
            run.model.id,
        )
        return run

    def _same(self, slide: Slide) -> ImageInfo:
        """The image, after a check that it is the one the client means."""
        from hemalum.runs.pipeline import image_info

        request, image = self._request, image_info(slide)
        given = request.width or slide.size[0], request.height or slide.size[1]
        if given != tuple(slide.size) or request.identity not in ("", image.identity):
            size = f"{slide.size[0]}×{slide.size[1]} px"
            raise VersionMismatch(
                f"the server's file of this path is another image ({size}); send the pixels instead, or correct the "
                "path"
            )
        return image

    def _wanted(self, event: Event) -> bool:
        return not isinstance(event, TileConsumed)


def _events(run: Run, slide: Slide) -> Iterator[Event]:
    """The events of a run that reads `slide`, which is closed in the thread that asks for them, after its last tile."""
    from hemalum.runs.pipeline import drive

    with slide:
        yield from drive(run, slide.read)
