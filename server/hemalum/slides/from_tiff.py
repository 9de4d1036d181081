"""TIFF through tifffile and zarr: OME-TIFF, big TIFF, pyramids, any tiling or strips.

>>> TiffSource(Path("slide.ome.tif"), None).levels                               # doctest: +SKIP
(Level(width=9000, height=7000, downsample=1), Level(width=4500, height=3500, downsample=2))
"""

from __future__ import annotations

import logging
import threading
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
import zarr

from hemalum.errors import UnreadableImage, UnsupportedImage, UsageError
from hemalum.slides import transparency
from hemalum.slides.orientation import turned
from hemalum.slides.resolution import NOTHING, UNCOUNTED, Resolution, by_density, by_size, first_of, micrometres
from hemalum.slides.slide import Level
from hemalum.slides.tiff_colours import PageColours, page_colours
from hemalum.slides.tiff_images import chosen_image
from hemalum.slides.unwritten import Unwritten, unwritten

logging.getLogger("tifffile").setLevel(logging.CRITICAL)  # what it finds damaged is said in a sentence of ours

# px: a strip larger than this is decoded once and its level kept, since every tile would need all of it
WHOLE = 4_000_000
BLOCK = 2048  # px read at once where the whole image is looked through


class _Stored:
    """A level as it lies in the file: its pixels, what they mean, and where none were written."""

    def __init__(self, image: tifffile.TiffPageSeries, level: int, colours: PageColours):
        self.image, self.level, self.colours = image, level, colours
        self.series = image.levels[level]
        first = self.series[0]
        self.holes: Unwritten | None = None if first is None else unwritten(first)
        self.empty = first is None  # an OME header promises a plane that is not there
        self.array: Any = None


class TiffSource:
    """See `hemalum.slides.slide.Source`.  Of several planes (z, t, pages of one size) the first is used, and said.

    Args:
        series: which image of the file, from 0; None is the largest that is no label, macro or thumbnail.
    """

    background = (255, 255, 255)

    def __init__(self, path: Path, series: int | None):
        self._path, self._lock = path, threading.Lock()
        self._look = threading.Lock()
        self._opaque: bool | None = None
        self.notices: list[str] = []
        try:
            self._file = tifffile.TiffFile(path)
        except Exception as error:  # tifffile answers damage with many kinds of exception
            raise UnreadableImage(f"{path.name} is damaged ({_reason(error)}); copy or export it again") from None
        try:
            self._prepare(series)
        except (UnreadableImage, UnsupportedImage, UsageError):
            self._file.close()
            raise
        except Exception as error:
            self._file.close()
            raise UnreadableImage(f"{path.name} is damaged ({_reason(error)}); copy or export it again") from None

    def _prepare(self, wanted: int | None) -> None:
        name, images = self._path.name, self._ome_images()
        number, said = chosen_image(self._file, wanted, name, [str(image.get("Name", "")) for image in images])
        if said:
            self.notices.append(said)
        self.series, series = number, self._file.series[number]
        page = series.keyframe
        pixels = images[number].get("Pixels", {}) if number < len(images) else {}
        sizes = dict(zip(series.axes, series.shape, strict=True))
        channels, samples = sizes.get("C", 1), sizes.get("S", 1)
        described = _listed(pixels.get("Channel"))
        named = [str(channel.get("Name", "")).lower()[:3] for channel in described] == ["red", "gre", "blu"]
        planes_of_rgb = channels == 3 and named
        if channels > 1 and not planes_of_rgb:
            raise UnsupportedImage(f"{name} has {channels} channels (fluorescence?); export it as brightfield RGB")
        as_rgb = planes_of_rgb or samples == 3 and [channel.get("SamplesPerPixel") for channel in described] == [3]
        colours = page_colours(page, name, as_rgb)
        self._colour_axis = "S" if samples > 1 else "C" if channels > 1 else None
        extra = {axis: size for axis, size in sizes.items() if axis not in "YXSC" and size > 1}
        if extra:
            self.notices.append(f"the first of {int(np.prod(list(extra.values())))} planes in the file is used")
        self.notices += [*colours.notices, *turned(page.tags.valueof("Orientation"))]
        width, height = sizes["X"], sizes["Y"]
        levels = []
        self._stored = []
        for index, stored in enumerate(series.levels):
            w, h = (stored.shape[stored.axes.index(axis)] for axis in "XY")
            d = max(1, round(width / w))
            fits = all(side in (full // d, -(-full // d)) for side, full in ((w, width), (h, height)))
            try:
                self._stored.append(_Stored(series, index, page_colours(stored.keyframe, name, as_rgb)))
            except UnsupportedImage:
                continue  # a smaller level of another kind is done without
            levels.append(Level(w, h, d if fits else 0))
        self.levels = tuple(levels)
        self._say_unwritten()
        self.vendor = "OME-TIFF" if self._file.is_ome else "TIFF"
        self.icc_profile: bytes | None = page.iccprofile
        self.resolution = first_of(self._of_ome(pixels), self._of_tags(page))

    def _say_unwritten(self) -> None:
        stored = self._stored[0]
        if stored.empty or (stored.holes is not None and stored.holes.missing.all()):
            raise UnreadableImage(f"{self._path.name} holds no pixels, only their places; copy or export it again")
        if stored.holes is not None:
            count, total = int(stored.holes.missing.sum()), stored.holes.missing.size
            what = "tiles" if stored.series.keyframe.is_tiled else "strips"
            self.notices.append(f"{count} of {total} {what} were never written and are shown as background")

    def _ome_images(self) -> list[dict]:
        if not self._file.is_ome or self._file.ome_metadata is None:
            return []
        return _listed(tifffile.xml2dict(self._file.ome_metadata).get("OME", {}).get("Image"))

    def _of_ome(self, pixels: dict) -> Resolution:
        if "PhysicalSizeX" not in pixels:
            return NOTHING
        sides = []
        for axis in "XY":
            unit = str(pixels.get(f"PhysicalSize{axis}Unit", pixels.get("PhysicalSizeXUnit", "µm")))
            length = micrometres(unit)
            if length is None:
                return _unknown(pixels["PhysicalSizeX"], unit)
            side = pixels.get(f"PhysicalSize{axis}", pixels["PhysicalSizeX"])
            try:
                sides.append(length * float(str(side).replace(",", ".")))
            except ValueError:
                return by_size(side, None, "OME")
        return by_size(sides[0], sides[1], "OME")

    def _of_tags(self, page) -> Resolution:
        tags = [page.tags.get(name) for name in ("XResolution", "YResolution")]
        if any(tag is None or not tag.value[1] or not tag.value[0] for tag in tags):
            return NOTHING
        x, y = (tag.value[0] / tag.value[1] for tag in tags)
        if self._file.is_imagej:
            unit = str((self._file.imagej_metadata or {}).get("unit", ""))
            length = micrometres(unit)
            if length is not None:
                found = by_size(length / x, length / y, "ImageJ")
                return found if found.mpp is None else found._replace(mpp=round(found.mpp, 6))
            if unknown := _unknown(1 / x, unit).doubt:
                return Resolution(doubt=unknown)
        per = {2: "inch", 3: "cm"}.get(int(page.resolutionunit))
        return by_density(x, y, per, "TIFF resolution") if per else NOTHING

    def _array(self, level: int):
        """The level as something that can be sliced: a zarr array, or in memory where single strips are very large."""
        stored = self._stored[level]
        with self._lock:
            if stored.array is None:
                series, page = stored.series, stored.series.keyframe
                array: Any = zarr.open(stored.image.aszarr(level=stored.level), mode="r")
                if not page.is_tiled and page.rowsperstrip * page.imagewidth > WHOLE:
                    array = (
                        tifffile.memmap(self._path, page=page.index, mode="r")
                        if page.is_memmappable and len(series) == 1
                        else array[:]
                    )
                stored.array = array
            return stored.array

    def fetch(self, level: int, x: int, y: int, width: int, height: int) -> np.ndarray:
        stored = self._stored[level]
        pixels = self._decoded(level, x, y, width, height)
        holes = None if stored.holes is None else stored.holes.within(x, y, width, height)
        if stored.empty:
            return np.full((height, width, 3), self.background, np.uint8)
        if stored.colours.alpha is not None:
            if self._is_opaque():
                pixels = np.ascontiguousarray(pixels[..., :3])
            else:
                pixels = transparency.composite(pixels, self.background, stored.colours.premultiplied)
        if holes is not None:
            pixels = np.where(holes[..., None], np.array(self.background, np.uint8), pixels)
        return pixels

    def _decoded(self, level: int, x: int, y: int, width: int, height: int) -> np.ndarray:
        """uint8 height×width×3, or ×4 with transparency."""
        try:
            array, axes = self._array(level), self._stored[level].series.axes
            axes = axes[-array.ndim :]
            where = {"Y": slice(y, y + height), "X": slice(x, x + width), self._colour_axis: slice(None)}
            pixels = np.asarray(array[tuple(where.get(axis, 0) for axis in axes)])
        except Exception as error:
            place = f"{width} × {height} px at ({x}, {y})" + (f" of level {level}" if level else "")
            raise UnreadableImage(
                f"{self._path.name}: {place} cannot be decoded ({_reason(error)}); copy or export the slide again"
            ) from None
        order = [axis for axis in axes if axis in where]
        if self._colour_axis and order[-1] != self._colour_axis:
            pixels = np.moveaxis(pixels, order.index(self._colour_axis), -1)
        return self._stored[level].colours.rgb(pixels)

    def _is_opaque(self) -> bool:
        """Whether transparency is to be ignored since nothing would be seen; looked up once, in as few px as can be."""
        with self._look:
            if self._opaque is None:
                self._opaque = not any(self._anything(level) for level in {len(self.levels) - 1, 0})
                self.notices.append(transparency.IGNORED if self._opaque else transparency.SHOWN)
            return self._opaque

    def _anything(self, level: int) -> bool:
        """Whether any pixel of a level is not wholly transparent; what cannot be decoded counts for nothing."""
        width, height, _ = self.levels[level]
        stored = self._stored[level]
        if stored.colours.alpha is None:
            return False
        for y in range(0, height, BLOCK):
            for x in range(0, width, BLOCK):
                try:
                    block = self._decoded(level, x, y, min(BLOCK, width - x), min(BLOCK, height - y))
                except UnreadableImage:
                    continue
                if block[..., 3].any():
                    return True
        return False

    def close(self) -> None:
        for stored in self._stored:
            stored.array = None
        self._file.close()


def _unknown(size, unit: str) -> Resolution:
    if unit.strip().lower() in UNCOUNTED:
        return NOTHING
    return Resolution(doubt=f"states a pixel of {size:.4g} in the unit {unit!r}, which is not known")


def _listed(value) -> list[dict]:
    return [] if value is None else value if isinstance(value, list) else [value]


def _reason(error: Exception) -> str:
    return " ".join(str(error).split())[:120] or type(error).__name__
