"""Marker-controlled watershed by hierarchical queues (Meyer 1991; Beucher and Meyer 1993) on 256 levels.

Pixels are taken from the highest level down, first come first served within a level; neighbours are the four that share an edge.
Clumps of foreground cannot touch each other's growth, so they are flooded one by one: the memory in use then fits a core's cache.

>>> labels = np.zeros((1, 7), np.int32)
>>> labels[0, 1], labels[0, 5] = 1, 2
>>> smooth = np.array([[0.5, 1, 0.6, 0.2, 0.5, 1, 0.5]], np.float32)
>>> flood(labels, np.ones((1, 7), np.int32), 2, smooth, 3, 1.0, 100.0).any(), labels.tolist()
(np.False_, [[1, 1, 1, 1, 2, 2, 2]])
"""

from __future__ import annotations

import numpy as np

from hemalum.compiled import compiled

LEVELS = 256


@compiled
def flood(labels, clump, clumps, smooth, count, min_marker, reach):
    """Grow markers in place.

    Args:
        labels: H×W int32, 0 and markers 1…count−1.
        clump, clumps: 4-connected parts of the foreground, H×W int32, 0 = background, and their number with it.
        smooth: H×W float32, 0…1, C-contiguous; high inside nuclei.
        count: largest label + 1.
        min_marker: smaller markers are noise, px².
        reach: squared distance from the marker's centre at which growth stops, px².

    Returns:
        bool (count), which markers were cut by `reach` and may have fallen into parts.
    """
    height, width = labels.shape
    sums = np.zeros((count, 3))
    for y in range(height):
        for x in range(width):
            k = labels[y, x]
            if k:
                sums[k, 0] += x
                sums[k, 1] += y
                sums[k, 2] += 1
    centres, cut = np.zeros((count, 2)), np.zeros(count, np.bool_)
    for k in range(1, count):
        centres[k, 0], centres[k, 1] = sums[k, 0] / sums[k, 2], sums[k, 1] / sums[k, 2]
    for y in range(height):  # from here on: -1 can be grown into, 0 cannot
        for x in range(width):
            k = labels[y, x]
            if k:
                if sums[k, 2] < min_marker:
                    labels[y, x] = -1
                elif (x - centres[k, 0]) ** 2 + (y - centres[k, 1]) ** 2 > reach:
                    labels[y, x] = -1
                    cut[k] = True
            elif clump[y, x]:
                labels[y, x] = -1
    rim, rims, used = np.empty(height * width, np.int32), np.zeros(clumps + 1, np.int32), 0
    for y in range(height):
        for x in range(width):
            if labels[y, x] > 0 and (
                (y > 0 and labels[y - 1, x] < 0)
                or (x > 0 and labels[y, x - 1] < 0)
                or (x + 1 < width and labels[y, x + 1] < 0)
                or (y + 1 < height and labels[y + 1, x] < 0)
            ):
                rim[used] = y * width + x
                rims[clump[y, x] + 1] += 1
                used += 1
    rims = np.cumsum(rims).astype(np.int32)
    seeds, place = np.empty(used, np.int32), rims.copy()
    for i in range(used):  # in raster order within each clump
        part = clump[rim[i] // width, rim[i] % width]
        seeds[place[part]] = rim[i]
        place[part] += 1
    ends = np.empty(LEVELS, np.int32)
    for part in range(clumps):
        if rims[part] < rims[part + 1]:
            _grow(labels.reshape(-1), smooth.reshape(-1), width, seeds[rims[part] : rims[part + 1]], centres, reach, rim, ends)
    for y in range(height):
        for x in range(width):
            labels[y, x] = max(labels[y, x], 0)
    return cut


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
