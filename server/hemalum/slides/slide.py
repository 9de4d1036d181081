"""`Slide`: what every reader has in common — box-meaned regions, the overview, the identity.

Coordinates are level-0 px, pixel-corner convention; pixels uint8 h×w×3 RGB; resolutions µm/px.

>>> from hemalum.slides import open_slide                                        # doctest: +SKIP
>>> with open_slide("slide.svs", mpp=0.25) as slide:                             # doctest: +SKIP
...     overview, pixels = slide.overview(), slide.read(Rect(0, 0, 2048, 2048), 2)
"""

from __future__ import annotations

import hashlib
import threading
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np

from hemalum.errors import RegionOutside, UnknownResolution, UnreadableImage, UnsupportedImage
from hemalum.grid.resample import box_mean
from hemalum.grid.tiling import Rect
from hemalum.slides.inputs import stem
from hemalum.slides.narrowing import SMALLEST, narrowed
from hemalum.slides.resolution import Resolution

OVERVIEW = 2048  # px, the longest side an overview may have
BLOCK = 2048  # level px read at once for it
PATIENCE = 64  # areas that cannot be decoded, with none that can, before the whole image counts as unreadable


class Level(NamedTuple):
    """A stored level: its size in its own px, and its downsample where that is exactly whole and aligned with level 0,
    else 0."""

    width: int
    height: int
    downsample: int


class Source(Protocol):
    """What a reader gives.  `fetch` may be called from several threads; a failure must not spoil later calls."""

    vendor: str
    levels: tuple[Level, ...]
    resolution: Resolution
    background: tuple[int, int, int]
    notices: list[str]  # may grow while pixels are read
    icc_profile: bytes | None
    series: int  # which image of the file

    def fetch(self, level: int, x: int, y: int, width: int, height: int) -> np.ndarray:
        """Pixels of a rectangle in that level's own px, inside its size; raises `UnreadableImage`."""

    def close(self) -> None: ...


class Slide:
    """An open image.  Safe to read from several threads; close it or use it in a `with`.

    Attributes:
        path: the file.  name: its stem.
        size: (width, height), level-0 px.
        mpp: µm per level-0 px, or None where neither the file nor the user says.  mpp_source: "openslide.mpp-x", "OME",
            "TIFF resolution", "ImageJ", "PNG pHYs", "--mpp", … or "".  stated_mpp: what the file says, if plausible.
        levels: stored levels, level 0 first.  vendor: the format's name.  background: RGB behind transparent pixels.
        icc_profile: what the file says of its colours, or None.  series: which image of the file, from 0.
        notices: sentences for the user: converted, first plane taken, resolution ignored; some come with the pixels.
        unread: after `overview()`: bool array of its shape, True where stored pixels could not be decoded; None if all
            could.
    """

    def __init__(self, path: Path, source: Source, mpp: float | None = None):
        self.path, self._source = path, source
        self.levels, self.vendor, self.background = source.levels, source.vendor, source.background
        self.size = source.levels[0][:2]
        self.icc_profile, self.series = source.icc_profile, source.series
        self.notices = source.notices
        self.stated_mpp, self._doubt = source.resolution.mpp, source.resolution.doubt
        self.mpp, self.mpp_source = mpp, "--mpp"
        if mpp is None:
            self.mpp, self.mpp_source = source.resolution.mpp, source.resolution.source
            if self.mpp is not None and self._doubt:
                self.notices.append(f"the file {self._doubt}; {self.mpp:.4g} µm/px of {self.mpp_source} is used")
            if source.resolution.advice:
                self.notices.append(source.resolution.advice)
        self.unread: np.ndarray | None = None
        self._overview: np.ndarray | None = None
        self._lock = threading.Lock()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self) -> None:
        self._source.close()

    @property
    def name(self) -> str:
        return stem(self.path)

    def require_mpp(self) -> float:
        """`mpp`; raises `UnknownResolution` where it is not known."""
        if self.mpp is None:
            raise UnknownResolution(
                f"{self.path.name} {self._doubt or 'states no resolution'}; give it with --mpp (0.25 for a 40× scan, "
                "0.5 for 20×)"
            )
        return self.mpp

    def require_size(self, size: tuple[int, int] | None) -> None:
        """Raises `UnsupportedImage` where QuPath says another size: it reads the file another way, or it is another
        file."""
        if size and tuple(size) != self.size:
            here, there = ("×".join(map(str, pair)) for pair in (self.size, size))
            raise UnsupportedImage(
                f"{self.path.name} has {here} px, but {there} px in QuPath, so nothing would lie in its place; run it "
                "from QuPath with the extension"
            )

    def clip(self, region: tuple[int, int, int, int]) -> tuple[int, int, int, int]:
        """The part of a rectangle (x, y, width, height, level-0 px) inside the image, with a notice where that is less.

        Raises:
            RegionOutside: there is none.
        """
        x, y, width, height = region
        left, top = max(0, x), max(0, y)
        right, bottom = min(self.size[0], x + width), min(self.size[1], y + height)
        if right <= left or bottom <= top:
            size = "×".join(map(str, self.size))
            raise RegionOutside(
                f"the region {x},{y},{width},{height} lies outside the image of {size} px; give one inside it"
            )
        inside = left, top, right - left, bottom - top
        if inside != tuple(region):
            self.notices.append("the region reaches beyond the image; it is clipped to {},{},{},{}".format(*inside))
        return inside

    def read(self, rect: Rect, n: int = 1) -> np.ndarray:
        """The box means over n × n level-0 px of a rectangle.

        A stored level is used instead of level 0 only where its downsample is a whole number that divides n, its grid
        is aligned with level 0 and it covers the rectangle; its px are then box-meaned by the rest.

        Args:
            rect: inside the image; x and y multiples of n, width and height too except at the image's right and lower
                edge (else the blocks are not those of the plan).
            n: ≥ 1.

        Returns:
            uint8 ⌈height/n⌉×⌈width/n⌉×3, contiguous.

        Raises:
            ValueError: a rectangle outside the image.
            UnreadableImage: stored pixels that cannot be decoded; other rectangles can still be read.
        """
        x, y, width, height = rect
        if width < 1 or height < 1 or x < 0 or y < 0 or x + width > self.size[0] or y + height > self.size[1]:
            raise ValueError(f"{rect} is not inside the image of {self.size[0]} × {self.size[1]} px")
        best, d = 0, 1
        for index, level in enumerate(self.levels):
            step = level.downsample
            if step <= d or n % step or x % step or y % step:
                continue
            if -(-(x + width) // step) <= level.width and -(-(y + height) // step) <= level.height:
                best, d = index, step
        pixels = self._source.fetch(best, x // d, y // d, -(-(x + width) // d) - x // d, -(-(y + height) // d) - y // d)
        return np.ascontiguousarray(box_mean(pixels, n // d))

    def overview(self) -> np.ndarray:
        """The whole image in at most 2048 px: the smallest stored level that is larger, box-meaned by the least whole
        factor.

        An image of at most 2048 px is its own overview.  Areas that cannot be decoded get the background colour and are
        marked in `unread`.  Computed once.

        Returns:
            uint8 h×w×3; do not write into it.

        Raises:
            UnreadableImage: nothing can be decoded.
        """
        with self._lock:
            if self._overview is None:
                self._overview = self._make_overview()
                self._overview.flags.writeable = False
            return self._overview

    def _overview_from(self) -> tuple[int, int]:
        """The level that the overview is made of, and the whole factor."""
        larger = [i for i, level in enumerate(self.levels) if max(level[:2]) > OVERVIEW]
        index = min(larger, key=lambda i: max(self.levels[i][:2]), default=0)
        return index, -(-max(self.levels[index][:2]) // OVERVIEW)

    def _make_overview(self) -> np.ndarray:
        index, k = self._overview_from()
        width, height, _ = self.levels[index]
        out = np.empty((-(-height // k), -(-width // k), 3), np.uint8)
        unread = np.zeros(out.shape[:2], bool)
        sides = [k * max(1, BLOCK // k)]
        while sides[-1] > SMALLEST and sides[-1] >= 2 * k:
            sides.append(k * (sides[-1] // 2 // k))  # whole boxes

        def read(rect: Rect) -> np.ndarray:
            return box_mean(self._source.fetch(index, *rect), k)

        for rect, pixels in narrowed(read, (width, height), sides, PATIENCE):
            right, bottom = rect.x + rect.width, rect.y + rect.height
            part = np.s_[rect.y // k : -(-bottom // k), rect.x // k : -(-right // k)]
            if isinstance(pixels, UnreadableImage):
                out[part], unread[part] = self.background, True
            else:
                out[part] = pixels
        if unread.any():
            self.unread = unread
            self.notices.append(f"{unread.mean():.1%} of the overview cannot be decoded and is shown as background")
        return out

    @property
    def overview_downsample(self) -> float:
        """Level-0 px per overview px."""
        index, k = self._overview_from()
        level = self.levels[index]
        return k * (level.downsample or self.size[0] / level.width)

    @property
    def identity(self) -> str:
        """64 hexadecimal digits: sha256 of size and overview; equal for the same pixels wherever the file lies."""
        return identity_of(self.size, self.overview())

    def record(self) -> dict:
        """What `run.json` says of the image."""
        return {
            "file": self.path.name,
            "name": self.name,
            "identity": self.identity,
            "size": list(self.size),
            "reader": self.vendor,
            "series": self.series,
            "levels": [list(level) for level in self.levels],
            "mpp": self.mpp,
            "mpp_source": self.mpp_source,
            "stated_mpp": self.stated_mpp,
            "notices": list(self.notices),
        }


def identity_of(size: tuple[int, int], overview: np.ndarray) -> str:
    """The identity of an image from its level-0 size and its overview (uint8 h×w×3); see `Slide.identity`.

    >>> identity_of((1, 1), np.zeros((1, 1, 3), np.uint8))[:8]
    '313e5642'
    """
    digest = hashlib.sha256(f"{size[0]}x{size[1]}:{overview.shape[1]}x{overview.shape[0]}:".encode())
    digest.update(np.ascontiguousarray(overview).data)
    return digest.hexdigest()
