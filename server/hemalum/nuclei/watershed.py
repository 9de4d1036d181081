"""Marker-controlled watershed by hierarchical queues (Meyer 1991; Beucher and Meyer 1993) on 256 levels.

Pixels are taken from the highest level down, first come first served within a level; neighbours are the four that share
an edge.  Clumps of foreground cannot touch each other's growth, so they are flooded one by one: the memory in use then
fits a core's cache.  A clump with a single marker, most of them, is that marker's without any flooding.

>>> smooth = np.array([[0.5, 1, 0.6, 0.2, 0.5, 1, 0.5]], np.float32)
>>> labels, cut = watershed(np.ones((1, 7), np.float32), 0.5, smooth, 0.9, 1.0, 100.0)
>>> labels.tolist(), cut.tolist()
([[1, 1, 1, 1, 2, 2, 2]], [False, False, False])
"""

from __future__ import annotations

import numpy as np

from hemalum.compiled import compiled
from hemalum.nuclei.markers import split
from hemalum.nuclei.spans import parts, runs_above

LEVELS = 256


def watershed(
    foreground: np.ndarray,
    threshold: float,
    smooth: np.ndarray,
    marker: float,
    min_marker: float,
    reach: float,
    part: float = 0.0,
) -> tuple[np.ndarray, np.ndarray]:
    """Labels grown from markers.

    Args:
        foreground: H×W float32; what exceeds `threshold` can be grown into.
        smooth: H×W float32, 0…1, C-contiguous; high inside nuclei.  What exceeds `marker`, too, is a marker's.
        min_marker: smaller markers are noise, px².
        reach: distance from the marker's centre at which growth stops, px.
        part: a marker that falls into parts of at least this area at a higher level is these parts, px²
            (`hemalum.nuclei.markers`; 0: never).

    Returns:
        labels: H×W int32, 0 and 1…N (not all of which need occur).
        cut: bool (N + 1), which markers were cut by `reach` and may have fallen into parts.
    """
    runs, rows, deep, deep_rows = runs_above(foreground, np.float32(threshold), smooth, np.float32(marker))
    clump, clumps = parts(runs, rows)
    of, markers = parts(deep, deep_rows)
    deep, of, markers = split(deep, deep_rows, of, markers, smooth=smooth, marker=marker, least=part)
    labels = np.zeros(foreground.shape, np.int32)
    cut = _flood(labels, smooth, runs, rows, clump, clumps, deep, of, markers, min_marker, reach**2)
    return labels, cut


@compiled
def _flood(labels, smooth, runs, rows, clump, clumps, deep, of, markers, min_marker, reach):
    height, width = labels.shape
    centres, areas = _centres(deep, of, markers)
    large = areas >= min_marker
    within, sole = _sole_markers(runs, rows, clump, clumps, deep, of, centres, large, reach)
    for i in range(len(runs)):
        labels[runs[i, 0], runs[i, 1] : runs[i, 2]] = sole[clump[i]]  # -1: can be grown into
    cut = _set_markers(labels, deep, of, within, sole, centres, large, reach)
    seeds, begins = _seeds(labels, deep, within, sole, np.int64(areas.sum()))
    following, ends = np.empty(height * width, np.int32), np.empty(LEVELS, np.int32)
    flat_labels, flat_smooth = labels.reshape(-1), smooth.reshape(-1)
    for k in range(clumps):
        if begins[k] < begins[k + 1]:
            _grow(flat_labels, flat_smooth, width, seeds[begins[k] : begins[k + 1]], centres, reach, following, ends)
    for i in range(len(runs)):
        if sole[clump[i]] < 0:
            for x in range(runs[i, 1], runs[i, 2]):
                labels[runs[i, 0], x] = max(labels[runs[i, 0], x], 0)
    return cut


@compiled
def _centres(deep, of, markers):
    """Mean x and y, and area of each marker 1…; the first row is nobody's."""
    sums = np.zeros((markers + 1, 3))
    for i in range(len(deep)):
        y, begin, end, k = deep[i, 0], deep[i, 1], deep[i, 2], of[i] + 1
        sums[k, 0] += (end - begin) * (begin + end - 1) / 2
        sums[k, 1] += (end - begin) * y
        sums[k, 2] += end - begin
    centres = np.zeros((markers + 1, 2))
    for k in range(1, markers + 1):
        centres[k, 0], centres[k, 1] = sums[k, 0] / sums[k, 2], sums[k, 1] / sums[k, 2]
    return centres, sums[:, 2]


@compiled
def _set_markers(labels, deep, of, within, sole, centres, large, reach):
    """Write the large markers of clumps that are flooded; returns which of them reach farther than they may."""
    cut = np.zeros(len(centres), np.bool_)
    for i in range(len(deep)):
        y, k = deep[i, 0], of[i] + 1
        if sole[within[i]] < 0 and large[k]:
            for x in range(deep[i, 1], deep[i, 2]):
                if (x - centres[k, 0]) ** 2 + (y - centres[k, 1]) ** 2 <= reach:
                    labels[y, x] = k
                else:
                    cut[k] = True
    return cut


@compiled
def _seeds(labels, deep, within, sole, most):
    """Pixels of markers beside what can be grown into, clump by clump, each in raster order; where each begins."""
    height, width = labels.shape
    rim, used = np.empty(most, np.int32), 0
    begins, ends_at = np.zeros(len(sole) + 1, np.int64), np.empty(len(deep), np.int64)
    for i in range(len(deep)):
        y, before = deep[i, 0], used
        for x in range(deep[i, 1], deep[i, 2] if sole[within[i]] < 0 else deep[i, 1]):
            if labels[y, x] > 0 and (
                (y > 0 and labels[y - 1, x] < 0)
                or (x > 0 and labels[y, x - 1] < 0)
                or (x + 1 < width and labels[y, x + 1] < 0)
                or (y + 1 < height and labels[y + 1, x] < 0)
            ):
                rim[used] = y * width + x
                used += 1
        begins[within[i] + 1] += used - before
        ends_at[i] = used
    begins = np.cumsum(begins)
    seeds, place, at = np.empty(used, np.int32), begins.copy(), 0
    for i in range(len(deep)):
        while at < ends_at[i]:
            seeds[place[within[i]]] = rim[at]
            place[within[i]] += 1
            at += 1
    return seeds, begins


@compiled
def _sole_markers(runs, rows, clump, clumps, deep, of, centres, large, reach):
    """Clumps that need no flooding.

    Returns:
        the clump of each marker's run; and for each clump 0 where it has no marker, the marker if it is the only one
        and reaches everything, else -1.
    """
    within, sole = np.empty(len(deep), np.int32), np.zeros(clumps, np.int32)
    for i in range(len(deep)):
        inside, k = rows[deep[i, 0]], of[i] + 1
        while runs[inside, 2] <= deep[i, 1]:
            inside += 1
        c = within[i] = clump[inside]
        if large[k] and sole[c] != k:
            sole[c] = k if sole[c] == 0 else -1
    for i in range(len(runs)):
        k = sole[clump[i]]
        if k > 0:
            down, left, right = runs[i, 0] - centres[k, 1], runs[i, 1] - centres[k, 0], runs[i, 2] - 1 - centres[k, 0]
            if max(left * left, right * right) + down * down > reach:
                sole[clump[i]] = -1
    return within, sole


@compiled
def _grow(labels, smooth, width, seeds, centres, reach, following, ends):
    """Flood from the seeds, the highest level first.  `following` and `ends` (LEVELS) are room for the queues."""
    last = len(labels) - width
    ends[:] = -1
    for at in seeds:
        _push(at, _level(smooth[at]), following, ends)
    now = 0
    while now < LEVELS:
        end = ends[now]
        if end < 0:
            now += 1
            continue
        at = following[end]
        following[end] = following[at]
        if at == end:
            ends[now] = -1
        k, x = labels[at], at % width
        dx, dy = x - centres[k, 0], at // width - centres[k, 1]
        if at >= width and labels[at - width] < 0 and dx * dx + (dy - 1) * (dy - 1) <= reach:
            labels[at - width] = k
            _push(at - width, max(now, _level(smooth[at - width])), following, ends)
        if x > 0 and labels[at - 1] < 0 and (dx - 1) * (dx - 1) + dy * dy <= reach:
            labels[at - 1] = k
            _push(at - 1, max(now, _level(smooth[at - 1])), following, ends)
        if x + 1 < width and labels[at + 1] < 0 and (dx + 1) * (dx + 1) + dy * dy <= reach:
            labels[at + 1] = k
            _push(at + 1, max(now, _level(smooth[at + 1])), following, ends)
        if at < last and labels[at + width] < 0 and dx * dx + (dy + 1) * (dy + 1) <= reach:
            labels[at + width] = k
            _push(at + width, max(now, _level(smooth[at + width])), following, ends)


@compiled
def _level(smooth):
    return np.int64(min(max((np.float32(1) - smooth) * np.float32(LEVELS - 1), np.float32(0)), np.float32(LEVELS - 1)))


@compiled
def _push(at, level, following, ends):
    """Append to the queue of a level: a ring, entered by its end."""
    end = ends[level]
    if end < 0:
        following[at] = at
    else:
        following[at] = following[end]
        following[end] = at
    ends[level] = at
