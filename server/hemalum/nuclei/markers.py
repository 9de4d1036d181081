"""Markers of touching nuclei: parts of a marker that come apart at a higher distance become markers of their own.

A threshold alone takes two nuclei for one where the distance between them does not fall below it.  So each marker is
looked at again at higher levels, `STEP` apart; where it falls into at least two parts that are large enough, these take
its place.  These are the leaves of the component tree (Salembier et al. 1998, doi 10.1109/83.663500) pruned by
area.  Runs as in `hemalum.nuclei.spans`.

>>> smooth = np.array([[0.5, 0.9, 0.9, 0.6, 0.9, 0.9, 0.5]], np.float32)
>>> split(np.array([[0, 0, 7]], np.int32), np.array([0, 1]), np.zeros(1, np.int32), 1, smooth, 0.4, 2.0)
(array([[0, 1, 3],
       [0, 4, 6]], dtype=int32), array([0, 1], dtype=int32), 2)
"""

from __future__ import annotations

import numpy as np

from hemalum.compiled import compiled
from hemalum.nuclei.spans import parts

STEP = 0.1


def split(
    runs: np.ndarray, rows: np.ndarray, of: np.ndarray, count: int, smooth: np.ndarray, marker: float, least: float
) -> tuple[np.ndarray, np.ndarray, int]:
    """Markers that no longer fall into parts.

    Args:
        runs, rows, of, count: the markers above `marker`: runs, those of each row, the marker of each run, and how many
            there are.
        smooth: H×W float32, 0…1.
        least: area of the smallest part that may become a marker, px²; 0 leaves the markers as they are.

    Returns:
        runs in raster order, the marker of each, and how many markers there are.
    """
    if least <= 0 or count == 0:
        return runs, of, count
    levels, owners = [runs], [of]
    nodes, total, replaced = np.arange(count, dtype=np.int32), count, np.zeros(count, np.bool_)
    runs, rows, of = _divisible(runs, rows, of, count, least)
    for level in np.arange(marker + STEP, 1, STEP):
        if not len(runs):
            break
        above, above_rows, inside = _runs_within(runs, rows, smooth, np.float32(level))
        part, part_count = parts(above, above_rows)
        nodes, total, replaced, fresh = _descend(above, part, part_count, inside, of, nodes, total, replaced, least)
        levels.append(above[fresh])
        owners.append(nodes[part[fresh]])
        runs, rows, of = _divisible(above, above_rows, part, part_count, least)
    if total == count:
        return levels[0], owners[0], count
    runs, of = np.concatenate(levels), np.concatenate(owners)
    left = np.flatnonzero(~replaced[of])
    left = left[np.argsort(runs[left, 0] * np.int64(smooth.shape[1]) + runs[left, 1], kind="stable")]
    numbers = np.cumsum(~replaced, dtype=np.int32) - 1
    return runs[left], numbers[of[left]], int(numbers[-1]) + 1


@compiled
def _divisible(runs, rows, of, count, least):
    """What belongs to parts from which two of `least` px² could still come: runs, rows, the part of each."""
    area = np.zeros(count, np.int64)
    for i in range(len(runs)):
        area[of[i]] += runs[i, 2] - runs[i, 1]
    kept, kept_rows, kept_of, n = np.empty_like(runs), np.zeros_like(rows), np.empty_like(of), 0
    for y in range(len(rows) - 1):
        for i in range(rows[y], rows[y + 1]):
            if area[of[i]] >= 2 * least:
                kept[n], kept_of[n] = runs[i], of[i]
                n += 1
        kept_rows[y + 1] = n
    return kept[:n], kept_rows, kept_of[:n]


@compiled
def _runs_within(runs, rows, smooth, level):
    """Runs above `level` inside `runs`, their rows, and which of `runs` holds each."""
    size = 0
    for i in range(len(runs)):
        size += (runs[i, 2] - runs[i, 1] + 1) // 2
    above, inside = np.empty((size, 3), np.int32), np.empty(size, np.int32)
    above_rows, n = np.zeros(len(rows), np.int64), 0
    for y in range(len(rows) - 1):
        for i in range(rows[y], rows[y + 1]):
            x, end = runs[i, 1], runs[i, 2]
            while x < end:
                while x < end and smooth[y, x] <= level:
                    x += 1
                begin = x
                while x < end and smooth[y, x] > level:
                    x += 1
                if begin < x:
                    above[n, 0], above[n, 1], above[n, 2], inside[n] = y, begin, x, i
                    n += 1
        above_rows[y + 1] = n
    return above[:n], above_rows, inside[:n]


@compiled
def _descend(runs, part, count, inside, of, nodes, total, replaced, least):
    """One level up: the markers of its parts.

    Returns:
        the marker of each part (-1: too small to count), how many markers there are, which of them were replaced, and
        which runs are of new ones.
    """
    area, above = np.zeros(count, np.int64), np.zeros(count, np.int32)
    for i in range(len(runs)):
        area[part[i]] += runs[i, 2] - runs[i, 1]
        above[part[i]] = nodes[of[inside[i]]]
    large = np.zeros(total, np.int32)
    for k in range(count):
        large[above[k]] += area[k] >= least
    node, number = np.full(count, -1, np.int32), total
    for k in range(count):
        if area[k] >= least:
            if large[above[k]] > 1:
                node[k] = number
                number += 1
            else:
                node[k] = above[k]
    gone = np.zeros(number, np.bool_)
    gone[:total] = replaced
    for k in range(total):
        if large[k] > 1:
            gone[k] = True
    fresh = np.zeros(len(runs), np.bool_)
    for i in range(len(runs)):
        fresh[i] = node[part[i]] >= total
    return node, number, gone, fresh
