"""Outlines on the 1/8 px grid made valid: inside the image, no vertex twice, no crossing, no pinch.

>>> bow = np.array([[0, 0], [32, 32], [32, 0], [0, 24]], np.int32)
>>> crossings(bow, np.array([0, 4])).tolist()
[True]
>>> vertices, offsets, kept = tidy(bow, np.array([0, 4]), (10, 10))
>>> crossings(vertices, offsets).tolist(), kept.tolist()
([False], [0])
"""

from __future__ import annotations

import numpy as np
import shapely

from hemalum.compiled import compiled
from hemalum.nuclei.nuclei import UNIT


def tidy(
    vertices: np.ndarray, offsets: np.ndarray, image_size: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Outlines inside the image and without repeated vertices; the few that this or rounding has crossed are mended.

    Args:
        vertices: V×2 int32, 1/8 level-0 px.  offsets: N + 1 int64.
        image_size: width, height, level-0 px.

    Returns:
        vertices, offsets, and the indices of the outlines that are left.
    """
    limit = np.array(image_size) * UNIT
    owner = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
    if vertices.min() < 0 or (vertices.max(0) > limit).any():
        vertices = np.clip(vertices, 0, limit).astype(np.int32)
    points = np.ascontiguousarray(vertices).view(np.int64).ravel()  # x and y at once
    first, last = offsets[:-1], offsets[1:] - 1
    repeated = np.zeros(len(points), bool)
    repeated[1:] = points[1:] == points[:-1]
    repeated[first] = False
    repeated[last] |= points[last] == points[first]
    if repeated.any():
        vertices, owner = vertices[~repeated], owner[~repeated]
    counts = np.bincount(owner, minlength=len(offsets) - 1)
    whole = counts >= 3
    vertices, kept = vertices[whole[owner]], np.flatnonzero(whole)
    counts = counts[whole]
    offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(counts)])
    if not len(kept):
        return vertices, offsets, kept
    crossed = np.flatnonzero(crossings(np.ascontiguousarray(vertices), offsets))
    if not len(crossed):
        return vertices, offsets, kept
    rings = np.split(vertices, offsets[1:-1])
    for index in crossed:
        rings[index] = _mended(shapely.Polygon(rings[index] / UNIT))
    left = [index for index, ring in enumerate(rings) if len(ring) >= 3]
    rings = [rings[index] for index in left]
    offsets = np.cumsum([0, *map(len, rings)])
    return np.concatenate(rings) if rings else np.zeros((0, 2), np.int32), offsets, kept[left]


def _mended(polygon) -> np.ndarray:
    """The largest valid piece of a crossed outline on the 1/8 px grid, or nothing."""
    for grown in (0.0, -0.125, -0.25):  # shrinking parts pinches that rounding would close again
        fixed = shapely.make_valid(polygon).buffer(grown)
        pieces = [part for part in shapely.get_parts(fixed) if part.geom_type == "Polygon" and not part.is_empty]
        if not pieces:
            break
        ring = shapely.get_coordinates(shapely.Polygon(max(pieces, key=lambda part: part.area).exterior))[:-1]
        ring = np.rint(ring * UNIT).astype(np.int32)
        if len(ring) >= 3:
            ring = ring[(ring != np.roll(ring, 1, axis=0)).any(1)]
        if len(ring) < 3:
            continue
        candidate = shapely.Polygon(ring / UNIT)
        if shapely.is_valid(candidate):
            return ring if candidate.exterior.is_ccw else ring[::-1]
    return np.zeros((0, 2), np.int32)


@compiled
def crossings(vertices, offsets):
    """Which rings (V×2 int32, N + 1) cross or touch themselves, exactly, by looking at all pairs of edges."""
    crossed = np.zeros(len(offsets) - 1, np.bool_)
    for ring in range(len(crossed)):
        start, n = offsets[ring], offsets[ring + 1] - offsets[ring]
        if _goes_round(vertices, start, n):
            continue
        for i in range(n - 1):
            if crossed[ring]:
                break
            ax, ay = np.int64(vertices[start + i, 0]), np.int64(vertices[start + i, 1])
            bx, by = np.int64(vertices[start + i + 1, 0]), np.int64(vertices[start + i + 1, 1])
            left, right, top, bottom = min(ax, bx), max(ax, bx), min(ay, by), max(ay, by)
            for j in range(i + 1, n):
                k = j + 1 if j + 1 < n else 0
                cx, cy = np.int64(vertices[start + j, 0]), np.int64(vertices[start + j, 1])
                dx, dy = np.int64(vertices[start + k, 0]), np.int64(vertices[start + k, 1])
                if max(cx, dx) < left or min(cx, dx) > right or max(cy, dy) < top or min(cy, dy) > bottom:
                    continue
                if j == i + 1 or k == i:  # neighbours share a vertex; they must not fold back
                    if j == i + 1:
                        px, py, qx, qy = ax - bx, ay - by, dx - bx, dy - by
                    else:
                        px, py, qx, qy = bx - ax, by - ay, cx - ax, cy - ay
                    if px * qy == py * qx and px * qx + py * qy > 0:
                        crossed[ring] = True
                        break
                    continue
                one, two = _side(ax, ay, bx, by, cx, cy), _side(ax, ay, bx, by, dx, dy)
                three, four = _side(cx, cy, dx, dy, ax, ay), _side(cx, cy, dx, dy, bx, by)
                if one * two <= 0 and three * four <= 0:  # with the boxes above this also holds for edges on one line
                    crossed[ring] = True
                    break
    return crossed


@compiled
def _goes_round(vertices, start, n):
    """Whether a ring turns about its vertices' mean in one direction, once: then it cannot cross itself, as most."""
    x0, y0, mx, my = np.int64(vertices[start, 0]), np.int64(vertices[start, 1]), np.int64(0), np.int64(0)
    for i in range(start, start + n):
        mx += vertices[i, 0] - x0
        my += vertices[i, 1] - y0
    turns = 0
    for i in range(n):  # n times the distances from the mean, to stay with integers
        j = start + (i + 1 if i + 1 < n else 0)
        ax, ay = n * (vertices[start + i, 0] - x0) - mx, n * (vertices[start + i, 1] - y0) - my
        bx, by = n * (vertices[j, 0] - x0) - mx, n * (vertices[j, 1] - y0) - my
        if ax * by - bx * ay <= 0:
            return False
        turns += ay < 0 <= by
    return turns == 1


@compiled
def _side(ax, ay, bx, by, px, py):
    return np.sign((bx - ax) * (py - ay) - (by - ay) * (px - ax))
