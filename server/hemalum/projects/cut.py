"""Pixels and labels of annotated regions, and tissue without labels, at the training set's µm/px.

Image and labels are both cut at the border of the Complete region; what lies outside it is painted white, so that no
pixel that nobody has looked at is ever taken for background.  Where two outlines share a pixel it goes to the smaller
nucleus.  Parts of fewer than 8 px are dropped.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import shapely

from hemalum.grid.tiling import Rect
from hemalum.projects.annotations import Annotations
from hemalum.slides.slide import Slide
from hemalum.stain.tissue import tissue_mask

SIDE, SMALLEST = 1024, 8  # px of an exported image at most; px of a nucleus at least
TILE, TISSUE = 512, 0.5  # side of an unlabelled tile, px; its least share of tissue


def windows(region, to_px: float) -> list[tuple[int, int, int, int]]:
    """Rectangles of at most 1024 px in exported px (x, y, width, height) that cover the parts of a region, each pixel
    once.

    >>> windows(shapely.box(0, 0, 3000, 100), 0.5)
    [(0, 0, 1024, 50), (1024, 0, 476, 50)]
    """
    found = []
    scaled = shapely.transform(region, lambda points: points * to_px)
    for y, columns in sorted(_cells(scaled).items()):
        # row by row: of a region with many corners each cell looks at those of its row only
        row = shapely.box(min(columns) * SIDE, y * SIDE, (max(columns) + 1) * SIDE, (y + 1) * SIDE)
        parts = shapely.get_parts(scaled.intersection(row))
        band = shapely.MultiPolygon([part for part in parts if part.geom_type == "Polygon"])
        for x in sorted(columns):
            inside = band.intersection(shapely.box(x * SIDE, y * SIDE, (x + 1) * SIDE, (y + 1) * SIDE))
            if inside.area < SMALLEST:
                continue
            left, top, right, bottom = inside.bounds
            left, top, right, bottom = math.floor(left), math.floor(top), math.ceil(right), math.ceil(bottom)
            found.append((left, top, right - left, bottom - top))
    return found


def _cells(region) -> dict[int, set[int]]:
    """Row → columns of the cells near a region in exported px."""
    cells: dict[int, set[int]] = {}
    for part in shapely.get_parts(region):
        if part.area:
            left, top, right, bottom = (math.floor(value / SIDE) for value in part.bounds)
            for y in range(top, bottom + 1):
                cells.setdefault(y, set()).update(range(left, right + 1))
    return cells


def read_at(slide: Slide, window: tuple[int, int, int, int], to_px: float, n: int) -> np.ndarray:
    """Pixels of a window in exported px, uint8 h×w×3; beyond the image white."""
    x, y, width, height = window
    left, top = math.floor(x / to_px / n) * n, math.floor(y / to_px / n) * n
    right, bottom = (
        min(slide.size[0], math.ceil((x + width) / to_px / n) * n),
        min(slide.size[1], math.ceil((y + height) / to_px / n) * n),
    )
    boxed = slide.read(Rect(left, top, right - left, bottom - top), n)
    # exported px centre → boxed px: one affine map, so that image and labels keep one frame whatever the ratio
    step = 1 / to_px / n
    matrix = np.array([[step, 0, (x + 0.5) * step - left / n - 0.5], [0, step, (y + 0.5) * step - top / n - 0.5]])
    flags = (cv2.INTER_LINEAR if step >= 1 else cv2.INTER_CUBIC) | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(boxed, matrix, (width, height), flags=flags, borderMode=cv2.BORDER_REPLICATE)


def draw(
    found: Annotations, window, to_px: float, pixels: np.ndarray, region, counts: Counter, used: set[int]
) -> tuple[np.ndarray, dict[int, str]]:
    """Labels of a window (int32 h×w) and the class of each; paints `pixels` white outside the region."""
    x, y, width, height = window
    columns, rows = (np.arange(width) + x + 0.5) / to_px, (np.arange(height) + y + 0.5) / to_px
    shapely.prepare(region)
    inside = _covered(region, columns, rows)
    pixels[~inside] = 255
    labels = np.zeros((height, width), np.int32)
    near = found.tree.query(shapely.box(x / to_px, y / to_px, (x + width) / to_px, (y + height) / to_px)).tolist()
    for index in sorted(near, key=lambda i: (-found.nuclei[i].area, i)):
        left, top, right, bottom = np.array(found.nuclei[index].bounds) * to_px - [x, y, x, y]
        part = np.s_[
            max(0, math.floor(top)) : max(0, math.ceil(bottom)), max(0, math.floor(left)) : max(0, math.ceil(right))
        ]
        mask = inside[part] & _covered(found.nuclei[index], columns[part[1]], rows[part[0]])
        if mask.any():
            used.add(index)
            counts["nuclei that share pixels, given to the smaller"] += bool(labels[part][mask].any())
            labels[part][mask] = index + 1
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    kept = np.flatnonzero(sizes >= SMALLEST)
    counts["nuclei or cut parts of fewer than 8 px, dropped"] += int(np.count_nonzero(sizes)) - len(kept)
    numbers = np.zeros(len(sizes), np.int32)
    numbers[kept] = np.arange(1, len(kept) + 1)
    return numbers[labels], {number: found.classes[value - 1] for number, value in enumerate(kept.tolist(), 1)}


def unknown(found: Annotations, window, to_px: float, labels: np.ndarray, longest: float) -> np.ndarray:
    """Pixels of a window of which nobody knows whether they are background (bool h×w): of a class that is to be
    ignored, or of an outline of nuclear size that has no class.

    Args:
        labels: of the window; what is labelled is known, unless it is to be ignored.  longest: side of a nucleus at
            most, level-0 px.
    """
    x, y, width, height = window
    columns, rows = (np.arange(width) + x + 0.5) / to_px, (np.arange(height) + y + 0.5) / to_px
    frame = shapely.box(x / to_px, y / to_px, (x + width) / to_px, (y + height) / to_px)
    small = [area for area in found.unclassified if _longest(area) <= longest]
    mask = np.zeros((height, width), bool)
    for areas, known in ((small, labels > 0), (found.unknown, False)):
        here = [area for area in areas if area.intersects(frame)]
        if here:
            mask |= _covered(shapely.union_all(here), columns, rows) & ~np.asarray(known)
    return mask


def _longest(area) -> float:
    left, top, right, bottom = area.bounds if not area.is_empty else (0, 0, 0, 0)
    return max(right - left, bottom - top)


def _covered(polygon, columns: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Which pixel centres lie in a polygon; bool, rows × columns."""
    return shapely.contains_xy(polygon, *np.meshgrid(columns, rows))


def unlabelled_tiles(slide: Slide, region, to_px: float, n: int, folder: Path, stem: str, most: int) -> int:
    """Write up to `most` tiles of tissue outside the annotated region, chosen by a hash of their place."""
    overview = slide.overview()
    mask = tissue_mask(overview, slide.unread)
    step = slide.size[0] / mask.shape[1]
    found = []
    for y in range(0, int(slide.size[1] * to_px) - TILE + 1, TILE):
        for x in range(0, int(slide.size[0] * to_px) - TILE + 1, TILE):
            left, top, right, bottom = (value / to_px for value in (x, y, x + TILE, y + TILE))
            rows, cols = (
                slice(int(low / step), max(int(low / step) + 1, int(high / step)))
                for low, high in ((top, bottom), (left, right))
            )
            tissue = mask[rows, cols]
            if tissue.size and tissue.mean() >= TISSUE and not shapely.box(left, top, right, bottom).intersects(region):
                found.append((hashlib.sha256(f"{x},{y}".encode()).hexdigest(), x, y))
    for _, x, y in sorted(found)[:most]:
        write_png(folder / f"{stem}_{x}_{y}.png", read_at(slide, (x, y, TILE, TILE), to_px, n)[..., ::-1])
    return min(most, len(found))


def write_png(path: Path, pixels: np.ndarray) -> None:
    path.write_bytes(cv2.imencode(".png", np.ascontiguousarray(pixels))[1].tobytes())
