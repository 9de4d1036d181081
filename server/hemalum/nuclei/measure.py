"""Measurements of nuclei.

A name of QuPath's own is used where QuPath would give the same number; what is ours alone, such as densities by the
run's own stain, begins with `Hemalum: `.  `tests/cases/measurements.csv` defines each name for all clients.

Shape comes from the reported outlines (level-0 frame, so two readers of one GeoJSON compute the same); probability and
optical densities come from the pixels of the tile the nucleus was found in.

>>> square = np.array([[0, 0], [80, 0], [80, 80], [0, 80]], np.int32)
>>> shape = shape_columns(square, np.array([0, 4]), mpp=0.5)
>>> [round(float(shape[name][0]), 3) for name in (AREA, PERIMETER, CIRCULARITY, SOLIDITY, ECCENTRICITY)]
[25.0, 20.0, 0.785, 1.0, 0.0]
"""

from __future__ import annotations

import math

import numpy as np

from hemalum.compiled import compiled
from hemalum.nuclei.nuclei import UNIT
from hemalum.stain.estimation import unmixing

AREA, PERIMETER = "Nucleus: Area µm^2", "Nucleus: Length µm"
CIRCULARITY, SOLIDITY, ECCENTRICITY = "Nucleus: Circularity", "Nucleus: Solidity", "Hemalum: Eccentricity"
HAEMATOXYLIN, EOSIN = "Hemalum: Hematoxylin OD mean", "Hemalum: Eosin OD mean"
SHAPE = (AREA, PERIMETER, CIRCULARITY, SOLIDITY, ECCENTRICITY)


def shape_columns(vertices: np.ndarray, offsets: np.ndarray, mpp: float) -> dict[str, np.ndarray]:
    """Shape of N outlines.

    Args:
        vertices, offsets: as in `Nuclei` (V × 2 int32 in 1/8 level-0 px, N + 1).
        mpp: µm per level-0 px.

    Returns:
        N float32 per name of `SHAPE`: area µm²; perimeter µm; circularity 4πA/P² (1 = a disc, at most 1); solidity
        A/area of the convex hull; eccentricity √(1 − b²/a²) of the ellipse with the outline's second moments (0 = a
        circle).
    """
    table = np.empty((5, len(offsets) - 1), np.float64)
    if table.shape[1]:
        _shape(np.ascontiguousarray(vertices), np.ascontiguousarray(offsets, np.int64), mpp / UNIT, table)
    return {name: table[row].astype(np.float32) for row, name in enumerate(SHAPE)}


def probability_means(labels: np.ndarray, foreground: np.ndarray, count: int) -> np.ndarray:
    """Mean of the foreground map (H×W float32) within each label 1…`count` (H×W int32).

    Returns:
        `count` float32; 0 where a label has no pixel.
    """
    sums, sizes = np.zeros(count + 1), np.zeros(count + 1, np.int64)
    _sum_map(labels, foreground, sums, sizes)
    return (sums[1:] / np.maximum(sizes[1:], 1)).astype(np.float32)


def stain_columns(
    labels: np.ndarray, pixels: np.ndarray, scale: int, count: int, stain_matrix: np.ndarray
) -> dict[str, np.ndarray]:
    """Mean haematoxylin and eosin optical density within each label.

    Args:
        labels: sH×sW int32.  pixels: H×W×3 uint8 of the same tile.  scale: s.
        stain_matrix: 2×3 (haematoxylin, eosin), optical density base 10 against 255.

    Returns:
        two columns of `count` float32.
    """
    inverse = unmixing(stain_matrix)
    density = -np.log10(np.maximum(np.arange(256), 1) / 255.0)
    sums, sizes = np.zeros((count + 1, 2)), np.zeros(count + 1, np.int64)
    _sum_stains(labels, pixels, scale, density, inverse, sums, sizes)
    means = sums[1:] / np.maximum(sizes[1:], 1)[:, None]
    return {HAEMATOXYLIN: means[:, 0].astype(np.float32), EOSIN: means[:, 1].astype(np.float32)}


@compiled
def _shape(vertices, offsets, unit, table):
    for i in range(len(offsets) - 1):
        start, end = offsets[i], offsets[i + 1]
        x0, y0 = vertices[start, 0], vertices[start, 1]
        area = mx = my = xx = yy = xy = length = 0.0
        for k in range(start, end):
            after = k + 1 if k + 1 < end else start
            ax, ay = float(vertices[k, 0] - x0), float(vertices[k, 1] - y0)
            bx, by = float(vertices[after, 0] - x0), float(vertices[after, 1] - y0)
            cross = ax * by - bx * ay
            area += cross
            mx += (ax + bx) * cross
            my += (ay + by) * cross
            xx += (ax * ax + ax * bx + bx * bx) * cross
            yy += (ay * ay + ay * by + by * by) * cross
            xy += (ax * by + 2 * ax * ay + 2 * bx * by + bx * ay) * cross
            length += math.sqrt((bx - ax) ** 2 + (by - ay) ** 2)
        area /= 2
        if area <= 0:
            table[:, i] = 0
            continue
        cx, cy = mx / (6 * area), my / (6 * area)
        vxx, vyy, vxy = xx / (12 * area) - cx * cx, yy / (12 * area) - cy * cy, xy / (24 * area) - cx * cy
        middle, spread = (vxx + vyy) / 2, math.sqrt(((vxx - vyy) / 2) ** 2 + vxy * vxy)
        large, small = middle + spread, max(0.0, middle - spread)
        table[0, i] = area * unit * unit
        table[1, i] = length * unit
        table[2, i] = min(1.0, 4 * math.pi * area / (length * length))
        table[3, i] = min(1.0, area / _hull_area(vertices, start, end))
        table[4, i] = math.sqrt(max(0.0, 1 - small / large)) if large > 0 else 0.0


@compiled
def _hull_area(vertices, start, end):
    n = end - start
    keys = np.empty(n, np.int64)
    for k in range(n):
        keys[k] = (np.int64(vertices[start + k, 0]) << 32) + vertices[start + k, 1]
    order = np.empty(n, np.int64)
    for k in range(n):  # numpy's sort would be another second of compiling
        at = k
        while at > 0 and keys[order[at - 1]] > keys[k]:
            order[at] = order[at - 1]
            at -= 1
        order[at] = k
    hull = np.empty(2 * n + 1, np.int64)
    size = 0
    for sweep in range(2):  # the lower chain, then the upper one (Andrew's algorithm)
        floor = 1 if sweep == 0 else size
        for step in range(n):
            if sweep == 1 and step == 0:
                continue
            p = start + (order[step] if sweep == 0 else order[n - 1 - step])
            while size > floor and _turn(vertices, hull[size - 2], hull[size - 1], p) <= 0:
                size -= 1
            hull[size] = p
            size += 1
    twice = 0.0
    x0, y0 = vertices[start, 0], vertices[start, 1]
    for k in range(size - 1):
        a, b = hull[k], hull[k + 1]
        twice += float(vertices[a, 0] - x0) * (vertices[b, 1] - y0) - float(vertices[b, 0] - x0) * (vertices[a, 1] - y0)
    return max(abs(twice) / 2, 1e-9)


@compiled
def _turn(vertices, a, b, c):
    abx, aby = np.int64(vertices[b, 0]) - vertices[a, 0], np.int64(vertices[b, 1]) - vertices[a, 1]
    return abx * (np.int64(vertices[c, 1]) - vertices[a, 1]) - aby * (np.int64(vertices[c, 0]) - vertices[a, 0])


@compiled
def _sum_map(labels, values, sums, sizes):
    for y in range(labels.shape[0]):
        for x in range(labels.shape[1]):
            label = labels[y, x]
            if label > 0:
                sums[label] += values[y, x]
                sizes[label] += 1


@compiled
def _sum_stains(labels, pixels, scale, density, inverse, sums, sizes):
    for y in range(labels.shape[0]):
        for x in range(labels.shape[1]):
            label = labels[y, x]
            if label > 0:
                pixel = pixels[y // scale, x // scale]
                red, green, blue = density[pixel[0]], density[pixel[1]], density[pixel[2]]
                sums[label, 0] += red * inverse[0, 0] + green * inverse[1, 0] + blue * inverse[2, 0]
                sums[label, 1] += red * inverse[0, 1] + green * inverse[1, 1] + blue * inverse[2, 1]
                sizes[label] += 1
