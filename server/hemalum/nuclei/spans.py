"""Runs: what is set in an image, row by row, and which runs hang together.  Far fewer than pixels, so what follows is
cheap.

A run is (row, first column, column after the last), int32; runs are in raster order, and `rows[y]:rows[y + 1]` are
those of row y.

>>> image = np.array([[1, 1, 0, 1], [0, 1, 0, 1], [1, 0, 0, 0]], np.int32)
>>> runs, rows = runs_of_zeros(image)
>>> runs.tolist(), rows.tolist()
([[0, 2, 3], [1, 0, 1], [1, 2, 3], [2, 1, 4]], [0, 1, 3, 4])
>>> part, count = parts(runs, rows)
>>> part.tolist(), count
([0, 1, 0, 0], 2)
"""

from __future__ import annotations

import numpy as np

from hemalum.compiled import compiled, root


@compiled
def runs_above(foreground, threshold, smooth, marker):
    """Runs where `foreground` exceeds `threshold`, and those of them where `smooth` exceeds `marker` (all float32, H×W
    or scalars).

    Returns:
        runs, rows, deeper runs, rows of these.
    """
    height, width = foreground.shape
    outer, inner = np.empty((1024, 3), np.int32), np.empty((1024, 3), np.int32)
    outer_rows, inner_rows = np.zeros(height + 1, np.int64), np.zeros(height + 1, np.int64)
    m = n = 0
    for y in range(height):
        if m + width >= len(outer):
            outer = _larger(outer, m + width)
        if n + width >= len(inner):
            inner = _larger(inner, n + width)
        inside = deep = False
        for x in range(width):
            now = foreground[y, x] > threshold
            deeper = now and smooth[y, x] > marker
            if now != inside:
                m = _turn(outer, m, y, x, now)
                inside = now
            if deeper != deep:
                n = _turn(inner, n, y, x, deeper)
                deep = deeper
        if inside:
            m = _turn(outer, m, y, width, False)
        if deep:
            n = _turn(inner, n, y, width, False)
        outer_rows[y + 1], inner_rows[y + 1] = m, n
    return outer[:m], outer_rows, inner[:n], inner_rows


@compiled
def runs_of_zeros(labels):
    """Runs where a label image (H×W int32) is 0; returns runs, rows."""
    height, width = labels.shape
    runs, rows, n = np.empty((1024, 3), np.int32), np.zeros(height + 1, np.int64), 0
    for y in range(height):
        if n + width >= len(runs):
            runs = _larger(runs, n + width)
        inside = False
        for x in range(width):
            now = labels[y, x] == 0
            if now != inside:
                n = _turn(runs, n, y, x, now)
                inside = now
        if inside:
            n = _turn(runs, n, y, width, False)
        rows[y + 1] = n
    return runs[:n], rows


@compiled
def parts(runs, rows):
    """Which runs hang together by their edges: numbers of the runs (int32, 0… in raster order), and how many parts."""
    parent = np.arange(len(runs)).astype(np.int32)
    for y in range(1, len(rows) - 1):
        i, j = rows[y - 1], rows[y]
        while i < rows[y] and j < rows[y + 1]:
            if runs[i, 1] < runs[j, 2] and runs[j, 1] < runs[i, 2]:
                a, b = root(parent, i), root(parent, j)
                parent[max(a, b)] = min(a, b)
            if runs[i, 2] < runs[j, 2]:
                i += 1
            else:
                j += 1
    count = 0
    for i in range(len(parent)):  # a parent comes before its children
        if parent[i] == i:
            parent[i] = count
            count += 1
        else:
            parent[i] = parent[parent[i]]
    return parent, count


@compiled
def _turn(runs, n, y, x, begins):
    if begins:
        runs[n, 0], runs[n, 1] = y, x
        return n
    runs[n, 2] = x
    return n + 1


@compiled
def _larger(runs, least):
    grown = np.empty((2 * least, 3), np.int32)
    grown[: len(runs)] = runs
    return grown
