"""Slides that OpenSlide knows: Aperio, Hamamatsu, MIRAX, Leica, Ventana, Philips, DICOM, …

OpenSlide latches an error: after one failure a handle answers nothing more.  So a failing rectangle is tried once again
on a fresh handle, which also replaces the spoilt one for everyone else.

>>> OpenSlideSource(Path("slide.svs")).fetch(0, 0, 0, 256, 256).shape            # doctest: +SKIP
(256, 256, 3)
"""

from __future__ import annotations

import threading
from pathlib import Path

import cv2
import numpy as np
import openslide

from hemalum.errors import UnreadableImage
from hemalum.slides.resolution import NOTHING, Resolution, by_density, by_size, first_of
from hemalum.slides.slide import Level
from hemalum.slides.transparency import composite


def detects(path: Path) -> bool:
    """Whether OpenSlide reads this file, other than as a generic TIFF (where tifffile knows more: OME, channels, bit
    depth)."""
    return openslide.OpenSlide.detect_format(path) not in (None, "generic-tiff")


class OpenSlideSource:
    """See `hemalum.slides.slide.Source`.

    Level sizes are cropped to `openslide.bounds-*`.  A level counts as a whole downsample d where its uncropped size is
    level 0's divided by d, rounded down or up, and the crop begins at a multiple of d.
    """

    series = 0

    def __init__(self, path: Path):
        self._path, self._lock = path, threading.Lock()
        self._slide = self._open()
        properties = self._slide.properties
        full_width, full_height = self._slide.dimensions
        x0, y0, width, height = (
            int(properties.get(f"openslide.bounds-{key}", default))
            for key, default in (("x", 0), ("y", 0), ("width", full_width), ("height", full_height))
        )
        x0, y0 = max(0, x0), max(0, y0)
        width, height = min(width, full_width - x0), min(height, full_height - y0)
        if width < 1 or height < 1:
            raise UnreadableImage(f"{path.name} states bounds outside its own image; export the slide again")
        self._origin = x0, y0
        levels = []
        for (w, h), exact in zip(self._slide.level_dimensions, self._slide.level_downsamples, strict=True):
            d = round(exact)
            fits = all(side in (full // d, -(-full // d)) for side, full in ((w, full_width), (h, full_height)))
            if fits and x0 % d == 0 and y0 % d == 0:
                levels.append(Level(min(w - x0 // d, -(-width // d)), min(h - y0 // d, -(-height // d)), d))
            else:
                size = [max(1, min(int(side / exact), stored)) for side, stored in ((width, w), (height, h))]
                levels.append(Level(size[0], size[1], 0))
        self.levels = tuple(level for level in levels if level.width > 0 and level.height > 0)
        self._scales = self._slide.level_downsamples
        self.vendor = properties.get("openslide.vendor", "openslide")
        colour = properties.get("openslide.background-color", "ffffff").lstrip("#")
        red, green, blue = bytes.fromhex(colour) if len(colour) == 6 else (255, 255, 255)
        self.background = red, green, blue
        self.notices = []
        if (x0, y0, width, height) != (0, 0, full_width, full_height):
            self.notices.append(f"cropped to the scanned area {width} × {height} px at ({x0}, {y0}), as QuPath does")
        areas = sum(key.startswith("openslide.region[") and key.endswith("].x") for key in properties)
        if areas > 1:
            self.notices.append(f"{areas} scanned areas lie in one frame, as QuPath shows them")
        self.resolution = _resolution(properties)
        self.icc_profile = self._profile()

    def _profile(self) -> bytes | None:
        try:
            profile = self._slide.color_profile
        except (openslide.OpenSlideError, AttributeError, OSError):  # an odd profile is no reason to refuse the slide
            return None
        return None if profile is None else profile.tobytes()

    def _open(self) -> openslide.OpenSlide:
        try:
            return openslide.OpenSlide(self._path)
        except openslide.OpenSlideError as error:
            raise UnreadableImage(f"{self._path.name} cannot be opened ({error}); copy or export it again") from None

    def fetch(self, level: int, x: int, y: int, width: int, height: int) -> np.ndarray:
        d = self.levels[level].downsample or self._scales[level]
        place = tuple(origin + round(at * d) for origin, at in zip(self._origin, (x, y), strict=True))
        try:
            return self._rgb(self._slide, place, level, (width, height))
        except openslide.OpenSlideError:
            pass
        fresh = self._open()
        with self._lock:
            self._slide = self._open()  # the spoilt handle is freed when its last reader lets go of it
        try:
            return self._rgb(fresh, place, level, (width, height))
        except openslide.OpenSlideError as error:
            where = f"{width} × {height} px at ({x}, {y})" + (f" of level {level}" if level else "")
            raise UnreadableImage(
                f"{self._path.name}: {where} cannot be decoded ({error}); copy or export the slide again"
            ) from None
        finally:
            fresh.close()

    def _rgb(self, slide: openslide.OpenSlide, place, level, size) -> np.ndarray:
        pixels = np.asarray(slide.read_region(place, level, size))
        if pixels[..., 3].min() == 255:
            return cv2.cvtColor(pixels, cv2.COLOR_RGBA2RGB)
        return composite(pixels, self.background)

    def close(self) -> None:
        self._slide.close()


def _resolution(properties) -> Resolution:
    stated = properties.get("openslide.mpp-x")
    of_slide = NOTHING if stated is None else by_size(stated, properties.get("openslide.mpp-y"), "openslide.mpp-x")
    unit = {"inch": "inch", "centimeter": "cm"}.get(properties.get("tiff.ResolutionUnit", ""))
    if unit is None:
        return of_slide
    x, y = (properties.get(f"tiff.{axis}Resolution") for axis in "XY")
    return first_of(of_slide, by_density(x, y, unit, "TIFF resolution"))
