"""TIFF through tifffile and zarr: OME-TIFF, big TIFF, pyramids, any tiling or strips.

>>> TiffSource(Path("slide.ome.tif"), 0).levels                                  # doctest: +SKIP
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
from tifffile import PHOTOMETRIC

from hemalum.errors import UnreadableImage, UnsupportedImage, UsageError
from hemalum.slides.from_openslide import composite
from hemalum.slides.resolution import UNITS, from_density, plausible
from hemalum.slides.slide import Level

logging.getLogger("tifffile").setLevel(logging.CRITICAL)  # what it finds damaged is said in a sentence of ours

WHOLE = (
    4_000_000  # px: a strip larger than this is decoded once and its level kept, since every tile would need all of it
)
KNOWN = {PHOTOMETRIC.MINISWHITE, PHOTOMETRIC.MINISBLACK, PHOTOMETRIC.RGB, PHOTOMETRIC.PALETTE, PHOTOMETRIC.YCBCR}


class TiffSource:
    """See `hemalum.slides.slide.Source`.  Of several planes (z, t, pages of one size) the first is used, and said."""

    background = (255, 255, 255)

    def __init__(self, path: Path, series: int):
        self._path, self._lock = path, threading.Lock()
        self._arrays: dict[int, tuple[Any, str]] = {}
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

    def _prepare(self, index: int) -> None:
        name, every = self._path.name, self._file.series
        if not every:
            raise UnreadableImage(f"{name} holds no image; copy or export it again")
        if not 0 <= index < len(every):
            raise UsageError(f"{name} holds {len(every)} images; give --series 0 to {len(every) - 1}")
        self._series = series = every[index]
        page, axes = series.keyframe, series.axes
        self._photometric, self._colormap = page.photometric, page.colormap
        if series.dtype not in (np.uint8, np.bool_):
            raise UnsupportedImage(f"{name} has {series.dtype} pixels; save it as 8-bit RGB")
        if page.photometric == PHOTOMETRIC.SEPARATED:
            raise UnsupportedImage(f"{name} has printing colours (CMYK); save it as RGB")
        if page.photometric not in KNOWN:
            raise UnsupportedImage(
                f"{name} has {getattr(page.photometric, 'name', page.photometric)} pixels; save it as RGB"
            )
        pixels = self._ome_pixels(index)
        sizes = dict(zip(axes, series.shape, strict=True))
        channels, samples = sizes.get("C", 1), sizes.get("S", 1)
        names = [str(c.get("Name", "")).lower()[:3] for c in _listed(pixels.get("Channel"))]
        if (channels > 1 and not (channels == 3 and names == ["red", "gre", "blu"])) or samples > 4:
            raise UnsupportedImage(
                f"{name} has {max(channels, samples)} channels (fluorescence?); export it as brightfield RGB"
            )
        self._colour_axis = "S" if samples > 1 else "C" if channels > 1 else None
        extra = {axis: size for axis, size in sizes.items() if axis not in "YXSC" and size > 1}
        if extra:
            self.notices.append(f"the first of {int(np.prod(list(extra.values())))} planes in the file is used")
        if self._colour_axis is None:
            self.notices.append("grey image, converted to RGB")
        elif samples in (2, 4):
            self.notices.append("transparent pixels are shown over white")
        width, height = sizes["X"], sizes["Y"]
        levels = []
        for stored in series.levels:
            w, h = (stored.shape[stored.axes.index(axis)] for axis in "XY")
            d = max(1, round(width / w))
            fits = all(side in (full // d, -(-full // d)) for side, full in ((w, width), (h, height)))
            levels.append(Level(w, h, d if fits else 0))
        self.levels = tuple(levels)
        self.vendor = "OME-TIFF" if self._file.is_ome else "TIFF"
        self.stated_mpp, self.mpp_source = self._resolution(pixels, page)

    def _ome_pixels(self, index: int) -> dict:
        if not self._file.is_ome or self._file.ome_metadata is None:
            return {}
        images = _listed(tifffile.xml2dict(self._file.ome_metadata).get("OME", {}).get("Image"))
        return images[index].get("Pixels", {}) if index < len(images) else {}

    def _resolution(self, pixels: dict, page) -> tuple[float | None, str]:
        if "PhysicalSizeX" in pixels:
            unit = pixels.get("PhysicalSizeXUnit", "µm")
            sizes = [
                UNITS.get(pixels.get(f"PhysicalSize{axis}Unit", unit), np.nan)
                * pixels.get(f"PhysicalSize{axis}", pixels["PhysicalSizeX"])
                for axis in "XY"
            ]
            mpp = plausible(*sizes)
            if mpp is not None:
                return mpp, "OME"
            self.notices.append(f"the stated resolution of {sizes[0]:g} µm/px is no microscope's and is ignored")
        tags = [page.tags.get(name) for name in ("XResolution", "YResolution")]
        if any(tag is None or not tag.value[1] or not tag.value[0] for tag in tags):
            return None, ""
        x, y = (tag.value[0] / tag.value[1] for tag in tags)
        unit_name = (self._file.imagej_metadata or {}).get("unit") if self._file.is_imagej else None
        if unit_name in UNITS:
            mpp = from_density(x, y, UNITS[unit_name])
            return (mpp, "ImageJ") if mpp else (None, "")
        unit = {2: 25400.0, 3: 1e4}.get(int(page.resolutionunit))
        mpp = unit and from_density(x, y, unit)
        return (mpp, "TIFF resolution") if mpp else (None, "")

    def _array(self, level: int):
        """The level as something that can be sliced: a zarr array, or in memory where single strips are very large."""
        with self._lock:
            if level not in self._arrays:
                stored = self._series.levels[level]
                array: Any = zarr.open(self._series.aszarr(level=level), mode="r")
                page = stored.keyframe
                if not page.is_tiled and page.rowsperstrip * page.imagewidth > WHOLE:
                    array = (
                        tifffile.memmap(self._path, page=page.index)
                        if page.is_memmappable and len(stored) == 1
                        else array[:]
                    )
                self._arrays[level] = array, stored.axes
            return self._arrays[level]

    def fetch(self, level: int, x: int, y: int, width: int, height: int) -> np.ndarray:
        try:
            array, axes = self._array(level)
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
        return self._rgb(pixels)

    def _rgb(self, pixels: np.ndarray) -> np.ndarray:
        if pixels.dtype == np.bool_:
            pixels = pixels.astype(np.uint8) * 255
        if self._photometric == PHOTOMETRIC.MINISWHITE:
            pixels = 255 - pixels
        if self._photometric == PHOTOMETRIC.PALETTE and pixels.ndim == 2 and self._colormap is not None:
            return np.ascontiguousarray((self._colormap.T >> 8).astype(np.uint8)[pixels])
        if pixels.ndim == 2:
            pixels = pixels[..., None]
        if pixels.shape[2] in (1, 2):
            pixels = np.concatenate([pixels[..., :1]] * 3 + [pixels[..., 1:]], axis=2)
        return composite(pixels, self.background) if pixels.shape[2] == 4 else np.ascontiguousarray(pixels)

    def close(self) -> None:
        self._arrays.clear()
        self._file.close()


def _listed(value) -> list[dict]:
    return [] if value is None else value if isinstance(value, list) else [value]


def _reason(error: Exception) -> str:
    return " ".join(str(error).split())[:120] or type(error).__name__
