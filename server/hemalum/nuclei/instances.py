"""Maps → instances: markers where the distance map is high, flooding inside the foreground.

Frame: map pixels (row, column); nothing here knows about slides or resolutions.

>>> disc = np.hypot(*np.mgrid[-20:21, -20:21]) < 15
>>> distance = np.where(disc, 1 - np.hypot(*np.mgrid[-20:21, -20:21]) / 15, 0)
>>> labels = instances(disc.astype(np.float32), distance.astype(np.float32), InstanceParameters())
>>> int(labels.max()), bool((labels > 0).sum() == disc.sum())
(1, True)
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from hemalum.compiled import compiled
from hemalum.nuclei.spans import parts, runs_of_zeros
from hemalum.nuclei.watershed import watershed


@dataclass(frozen=True)
class InstanceParameters:
    """How instances are told apart.

    Attributes:
        foreground: probability above which a pixel belongs to a nucleus.
        marker: smoothed distance (0…1) above which a pixel is a marker's.
        sigma: standard deviation of the smoothing, map px.
        min_area: smaller instances are dropped, px².
        min_marker: smaller markers are noise, px².
        part: a marker whose parts above a higher distance have at least this area is split into them, px²; 0: never.
        largest: longest extent of a nucleus, map px: growth stops at half of it from the marker's centre, so that a
            clump cut by a tile's edge changes nothing far inside the tile.
    """

    foreground: float = 0.45
    marker: float = 0.5
    sigma: float = 1.5
    min_area: float = 40.0
    min_marker: float = 8.0
    largest: float = 120.0
    part: float = 0.0


def instances(foreground: np.ndarray, distance: np.ndarray, parameters: InstanceParameters) -> np.ndarray:
    """Label image of the nuclei.

    Args:
        foreground: H×W float32, probability 0…1.
        distance: H×W float32, distance to the nucleus's border divided by the nucleus's largest one, 0…1.

    Returns:
        H×W int32, 0 = background, 1…N in raster order of the first pixel; every instance is 4-connected, has no hole of
        background and at least `min_area` pixels.

    Marker-controlled watershed of the distance (`hemalum.nuclei.watershed`).  Ties are broken by position only, so an
    instance does not depend on which tile it is seen in.
    """
    smooth = np.ascontiguousarray(distance)
    if parameters.sigma > 0:
        smooth = cv2.GaussianBlur(distance, (0, 0), parameters.sigma)
    labels, cut = watershed(
        foreground,
        parameters.foreground,
        smooth,
        parameters.marker,
        min_marker=parameters.min_marker,
        reach=parameters.largest / 2,
        part=parameters.part,
    )
    if len(cut) > 1:
        _fill(labels, *runs_of_zeros(labels))
        _finish(labels, len(cut), parameters.min_area, cut)
    return labels


@compiled
def _fill(labels, runs, rows):
    """Give background that only one instance encloses to that instance, in place.

    Background hangs together by edges: a hole open at a corner would pinch the outline.
    """
    height, width = labels.shape
    hole, count = parts(runs, rows)
    owner = np.zeros(count, np.int32)  # -1: not enclosed by one instance
    for i in range(len(runs)):
        y, begin, end = runs[i, 0], runs[i, 1], runs[i, 2]
        if y == 0 or begin == 0 or y == height - 1 or end == width:
            owner[hole[i]] = -1
    for i in range(len(runs)):
        k, y, begin, end = hole[i], runs[i, 0], runs[i, 1], runs[i, 2]
        if owner[k] < 0:
            continue
        _claim(owner, k, labels[y, begin - 1])
        _claim(owner, k, labels[y, end])
        for x in range(begin, end):
            _claim(owner, k, labels[y - 1, x])
            _claim(owner, k, labels[y + 1, x])
    for i in range(len(runs)):
        if owner[hole[i]] > 0:
            labels[runs[i, 0], runs[i, 1] : runs[i, 2]] = owner[hole[i]]


@compiled
def _claim(owner, hole, label):
    if label and owner[hole] != label:
        owner[hole] = label if owner[hole] == 0 else -1


@compiled
def _finish(labels, count, min_area, cut):
    """Drop small instances and all but the largest 4-connected part of the cut ones; number the rest; in place.

    Numbers rise in raster order of the first pixel.
    """
    height, width = labels.shape
    if cut.any():
        _join(labels, cut)
    areas, numbers = np.zeros(count, np.int64), np.zeros(count, np.int32)
    for y in range(height):
        for x in range(width):
            if labels[y, x]:
                areas[labels[y, x]] += 1
    number = 0
    for y in range(height):
        for x in range(width):
            label = labels[y, x]
            if label:
                if numbers[label] == 0 and areas[label] >= min_area:
                    number += 1
                    numbers[label] = number
                labels[y, x] = numbers[label]


@compiled
def _join(labels, cut):
    """Drop all but the largest 4-connected part of each label in `cut`; in place.

    Every other label is in one part since it grew from one marker.
    """
    height, width = labels.shape
    seen = np.zeros((height, width), np.uint8)
    stack = np.empty(height * width, np.int32)
    best = np.zeros(len(cut), np.int32)
    start = np.full(len(cut), -1, np.int32)
    for y in range(height):
        for x in range(width):
            label = labels[y, x]
            if cut[label] and not seen[y, x]:
                area = _span(labels, seen, stack, y, x, label, 1)
                if area > best[label]:
                    best[label], start[label] = area, y * width + x
    for label in range(1, len(cut)):
        if start[label] >= 0:
            _span(labels, seen, stack, start[label] // width, start[label] % width, label, 2)
    for y in range(height):
        for x in range(width):
            if cut[labels[y, x]] and seen[y, x] < 2:
                labels[y, x] = 0


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
