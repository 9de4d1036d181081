"""Maps → instances: markers where the distance map is high, flooding inside the foreground.

Frame: map pixels (row, column); nothing here knows about slides or resolutions.

>>> disc = np.hypot(*np.mgrid[-20:21, -20:21]) < 15
>>> distance = np.where(disc, 1 - np.hypot(*np.mgrid[-20:21, -20:21]) / 15, 0)
>>> labels = instances(disc.astype(np.float32), distance.astype(np.float32), Parameters())
>>> int(labels.max()), bool((labels > 0).sum() == disc.sum())
(1, True)
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from hemalum.compiled import compiled

LEVELS = 256


@dataclass(frozen=True)
class Parameters:
    """How instances are told apart.

    Attributes:
        foreground: probability above which a pixel belongs to a nucleus.
        marker: smoothed distance (0…1) above which a pixel is a marker's.
        sigma: standard deviation of the smoothing, map px.
        min_area: smaller instances are dropped, px².
        min_marker: smaller markers are noise, px².
        largest: longest extent of a nucleus, map px: growth stops at half of it from the marker's centre, so that a clump cut
            by a tile's edge changes nothing far inside the tile.
    """

    foreground: float = 0.45
    marker: float = 0.5
    sigma: float = 1.5
    min_area: float = 40.0
    min_marker: float = 8.0
    largest: float = 120.0


def instances(foreground: np.ndarray, distance: np.ndarray, parameters: Parameters) -> np.ndarray:
    """Label image of the nuclei.

    Args:
        foreground: H×W float32, probability 0…1.
        distance: H×W float32, distance to the nucleus's border divided by the nucleus's largest one, 0…1.

    Returns:
        H×W int32, 0 = background, 1…N in raster order of the first pixel; every instance is 4-connected, has no hole of background
        and at least `min_area` pixels.

    Marker-controlled watershed by hierarchical queues (Meyer 1991; Beucher and Meyer 1993) on 256 levels of distance: pixels are
    taken from the highest level down, first come first served within a level.  Ties are broken by position only, so an instance does
    not depend on which tile it is seen in.
    """
    smooth = cv2.GaussianBlur(distance, (0, 0), parameters.sigma) if parameters.sigma > 0 else distance
    mask = foreground > parameters.foreground
    count, markers, stats, centres = cv2.connectedComponentsWithStats((mask & (smooth > parameters.marker)).astype(np.uint8), connectivity=4)
    if count == 1:
        return np.zeros(mask.shape, np.int32)
    valid = stats[:, cv2.CC_STAT_AREA] >= parameters.min_marker
    valid[0] = False
    level = np.clip((1 - smooth) * (LEVELS - 1), 0, LEVELS - 1).astype(np.uint8)
    _flood(markers, mask, level, valid, centres, (parameters.largest / 2) ** 2)
    _, holes = cv2.connectedComponents((markers == 0).astype(np.uint8), connectivity=4)  # 4: a hole open at a corner would pinch the outline
    _fill(markers, holes, int(holes.max()) + 1)
    return _finish(markers, count, parameters.min_area)


@compiled
def _flood(labels, mask, level, valid, centres, reach):
    """Grow the markers in place; `reach` is the squared radius, px²."""
    height, width = labels.shape
    stride = width + 2  # one pixel of padding spares the tests for the border
    size = (height + 2) * stride
    label, free = np.zeros(size, np.int32), np.zeros(size, np.bool_)
    for y in range(height):
        for x in range(width):
            at, k = (y + 1) * stride + x + 1, labels[y, x]
            if k and valid[k] and (x - centres[k, 0]) ** 2 + (y - centres[k, 1]) ** 2 <= reach:
                label[at] = k
            else:
                free[at] = mask[y, x]
    following = np.empty(size, np.int32)
    head, tail = np.full(LEVELS, -1, np.int32), np.full(LEVELS, -1, np.int32)
    for y in range(height):
        for x in range(width):
            at = (y + 1) * stride + x + 1
            if label[at] and (free[at - stride] or free[at - 1] or free[at + 1] or free[at + stride]):
                _push(at, level[y, x], following, head, tail)
    now = 0
    while now < LEVELS:
        at = head[now]
        if at < 0:
            now += 1
            continue
        head[now] = following[at]
        if head[now] < 0:
            tail[now] = -1
        k = label[at]
        for step in (-stride, -1, 1, stride):
            near = at + step
            if free[near]:
                y, x = near // stride - 1, near % stride - 1
                if (x - centres[k, 0]) ** 2 + (y - centres[k, 1]) ** 2 <= reach:
                    label[near], free[near] = k, False
                    _push(near, max(now, level[y, x]), following, head, tail)
    for y in range(height):
        for x in range(width):
            labels[y, x] = label[(y + 1) * stride + x + 1]


@compiled
def _push(at, level, following, head, tail):
    following[at] = -1
    if tail[level] < 0:
        head[level] = at
    else:
        following[tail[level]] = at
    tail[level] = at


@compiled
def _fill(labels, holes, count):
    """Give background that only one instance encloses to that instance, in place."""
    height, width = labels.shape
    owner = np.zeros(count, np.int32)  # -1: not enclosed by one instance
    owner[0] = -1
    for y in range(height):
        for x in range(width):
            hole = holes[y, x]
            if hole == 0 or owner[hole] < 0:
                continue
            if y == 0 or x == 0 or y == height - 1 or x == width - 1:
                owner[hole] = -1
                continue
            for dy, dx in ((-1, 0), (0, -1), (0, 1), (1, 0)):
                label = labels[y + dy, x + dx]
                if label and owner[hole] != label:
                    owner[hole] = label if owner[hole] == 0 else -1
                    if owner[hole] < 0:
                        break
    for y in range(height):
        for x in range(width):
            hole = holes[y, x]
            if hole and owner[hole] > 0:
                labels[y, x] = owner[hole]


@compiled
def _finish(labels, count, min_area):
    """Drop small instances and all but the largest 4-connected part of each; number the rest in raster order."""
    height, width = labels.shape
    seen = np.zeros((height, width), np.uint8)
    stack = np.empty(height * width, np.int32)
    best = np.zeros(count, np.int32)
    start = np.full(count, -1, np.int32)
    for y in range(height):
        for x in range(width):
            label = labels[y, x]
            if label == 0 or seen[y, x]:
                continue
            area = _span(labels, seen, stack, y, x, label, 1)
            if area > best[label]:
                best[label], start[label] = area, y * width + x
    out = np.zeros((height, width), np.int32)
    number = 0
    for y in range(height):
        for x in range(width):
            label = labels[y, x]
            if label and start[label] == y * width + x and best[label] >= min_area:
                number += 1
                size = _span(labels, seen, stack, y, x, label, 2)
                for i in range(size):
                    out[stack[i] // width, stack[i] % width] = number
    return out


@compiled
def _span(labels, seen, stack, y0, x0, label, mark):
    """Collect the 4-connected part of `label` at (y0, x0) in `stack`, setting `seen` to `mark`; returns its size."""
    height, width = labels.shape
    stack[0], size, at = y0 * width + x0, 1, 0
    seen[y0, x0] = mark
    while at < size:
        y, x = stack[at] // width, stack[at] % width
        at += 1
        for dy, dx in ((-1, 0), (0, -1), (0, 1), (1, 0)):
            v, u = y + dy, x + dx
            if 0 <= v < height and 0 <= u < width and labels[v, u] == label and seen[v, u] < mark:
                seen[v, u] = mark
                stack[size] = v * width + u
                size += 1
    return size
