"""A picture of the result: outlines drawn over the slide, for people to judge.

>>> picture = np.full((4, 4, 3), 255, np.uint8)
>>> square = np.array([[0, 0], [24, 0], [24, 24], [0, 24]])
>>> draw_outlines(picture, square, np.array([0, 4]), downsample=1.0)
>>> bool((picture[0] != 255).any()), picture[1, 1].tolist()
(True, [255, 255, 255])
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from hemalum.files import PartFile
from hemalum.nuclei.nuclei import UNIT, Nuclei
from hemalum.sinks.base import Target

COLOUR = (0, 200, 60)
LARGEST = 4096  # px, the longest side of the picture where the slide is small enough to be read for it
STRIP = 512  # rows of the picture read at once


def picture_of(slide) -> tuple[np.ndarray, float]:
    """The picture to draw on (uint8 h×w×3) and its downsample: the whole image in at most 4096 px, of a large slide the
    overview."""
    from hemalum.errors import UnreadableImage
    from hemalum.grid.tiling import Rect

    if max(slide.size) <= 4 * LARGEST:
        n = -(-max(slide.size) // LARGEST)
        width, height = slide.size
        tops = range(0, height, n * STRIP)
        try:
            return np.concatenate(
                [slide.read(Rect(0, top, width, min(n * STRIP, height - top)), n) for top in tops]
            ), float(n)
        except UnreadableImage:
            pass  # the overview shows what can be decoded
    overview = slide.overview()
    return overview, slide.size[0] / overview.shape[1]


def draw_outlines(picture: np.ndarray, vertices: np.ndarray, offsets: np.ndarray, downsample: float) -> None:
    """Draw outlines (1/8 level-0 px) into `picture` (uint8 h×w×3, contiguous); `downsample`: level-0 px per picture
    px."""
    # OpenCV puts pixel centres at whole numbers, we put pixel corners there
    points = np.rint(vertices / downsample - UNIT / 2).astype(np.int32).reshape(-1, 1, 2)
    cv2.polylines(picture, np.split(points, offsets[1:-1]), True, COLOUR, 1, cv2.LINE_AA, shift=3)


class OverlaySink:
    """`<stem>.overlay.png`; see `hemalum.sinks.base.Sink`."""

    def __init__(self, path: Path, target: Target):
        self.paths = [Path(path)]
        assert target.picture is not None, "an overlay is drawn on a picture, which its target has to give"
        self._file: PartFile | None = None
        picture, self._downsample = target.picture()
        self._picture = np.array(picture, order="C")  # the slide's own is not to be drawn on

    def write(self, nuclei: Nuclei, ids: list[str]) -> None:
        """Draw nuclei at once: nothing is kept but the picture."""
        if len(nuclei):
            draw_outlines(self._picture, nuclei.vertices, nuclei.offsets, self._downsample)

    def finish(self) -> None:
        """Raises `DiskFull`."""
        if self._file is None:
            self._file = PartFile(self.paths[0])
            self._file.write(cv2.imencode(".png", self._picture[..., ::-1])[1].data)
            self._file.finish()

    def close(self) -> None:
        """Raises `DiskFull`."""
        self.finish()
        assert self._file is not None
        self._file.commit()

    def abort(self) -> None:
        if self._file is not None:
            self._file.abort()
