"""Label image → smooth sub-pixel outlines.

Frame: map pixels, pixel-corner convention (x right, y down): a one-pixel instance at (0, 0) is the square (0,0)–(1,1).

>>> labels = (np.hypot(*np.mgrid[-20:21, -20:21]) < 15).astype(np.int32)
>>> ring = outlines(labels)
>>> x, y = ring.points.T
>>> area = 0.5 * np.sum(x * np.roll(y, -1) - y * np.roll(x, -1))
>>> bool(abs(area / labels.sum() - 1) < 0.01)
True
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from hemalum.compiled import compiled

# passes of the kernel (1, 2, 1)/4 along the ring and vertices stepped by, tried in this order; the last only cuts the
# steps' corners, which a nucleus of 60 to 120 px² can bear where any smoothing would change more than its IoU allows
SMOOTHINGS = ((6, 2), (3, 2), (3, 1), (1, 1), (0, 1))
SMALL = 60  # px²; below it a pixel's corner is a larger share of the area, so more may change


class Outlines(NamedTuple):
    """Rings of N instances.

    Attributes:
        points: V×2 float64 (x, y).
        offsets: N+1 int64; ring i is `points[offsets[i]:offsets[i+1]]`, open, clockwise on the screen (positive
            shoelace area).
    """

    points: np.ndarray
    offsets: np.ndarray


def outlines(labels: np.ndarray) -> Outlines:
    """Outlines of the instances 1…N of a label image (H×W int32), each 4-connected and without holes.

    The crack between instance and surroundings is followed (its area is the pixel count), the middles of its edges are
    smoothed along the ring, every second one is kept, and the ring is scaled about its centroid to the pixel count.
    The area between the crack and the smoothed ring bounds what the smoothing changed: where it allows an IoU below
    0.95 (0.9 below 60 px²) less smoothing is tried, at last the crack itself.
    """
    count = int(labels.max()) if labels.size else 0
    if count == 0:
        return Outlines(np.zeros((0, 2)), np.zeros(1, np.int64))
    return Outlines(*_all_outlines(labels, count, True))


def cracks(labels: np.ndarray) -> Outlines:
    """The raw rings: pixel corners, one vertex at each turn; the area of each is its pixel count."""
    count = int(labels.max()) if labels.size else 0
    if count == 0:
        return Outlines(np.zeros((0, 2)), np.zeros(1, np.int64))
    return Outlines(*_all_outlines(labels, count, False))


@compiled
def _first_pixels(labels, count):
    first = np.full(count + 1, -1, np.int64)
    height, width = labels.shape
    for y in range(height):
        for x in range(width):
            if labels[y, x] and first[labels[y, x]] < 0:
                first[labels[y, x]] = y * width + x
    return first


@compiled
def _trace(labels, y, x, ring):
    """Corners of the crack around the instance whose first pixel is (y, x), one per edge.

    Returns:
        the ring's room (grown if needed), and how much of it is used.
    """
    height, width = labels.shape
    label = labels[y, x]
    cx, cy, direction, length = x, y, 0, 0
    while True:
        if length == len(ring):
            larger = np.empty((2 * length, 2), np.int32)
            larger[:length] = ring
            ring = larger
        ring[length, 0], ring[length, 1] = cx, cy
        length += 1
        if direction == 0:
            cx += 1
        elif direction == 1:
            cy += 1
        elif direction == 2:
            cx -= 1
        else:
            cy -= 1
        if direction == 0:
            ahead_left, ahead_right = (cy - 1, cx), (cy, cx)
        elif direction == 1:
            ahead_left, ahead_right = (cy, cx), (cy, cx - 1)
        elif direction == 2:
            ahead_left, ahead_right = (cy, cx - 1), (cy - 1, cx - 1)
        else:
            ahead_left, ahead_right = (cy - 1, cx - 1), (cy - 1, cx)
        right = 0 <= ahead_right[0] < height and 0 <= ahead_right[1] < width and labels[ahead_right] == label
        left = 0 <= ahead_left[0] < height and 0 <= ahead_left[1] < width and labels[ahead_left] == label
        if not right:
            direction = (direction + 1) % 4
        elif left:
            direction = (direction + 3) % 4
        if cx == x and cy == y and direction == 0:
            return ring, length


@compiled
def _area_centre(ring, length):
    """Shoelace area and centroid."""
    area, mx, my, x0, y0 = 0.0, 0.0, 0.0, ring[0, 0], ring[0, 1]
    for i in range(length):
        j = (i + 1) % length
        ax, ay, bx, by = ring[i, 0] - x0, ring[i, 1] - y0, ring[j, 0] - x0, ring[j, 1] - y0
        cross = ax * by - bx * ay
        area += cross
        mx += (ax + bx) * cross
        my += (ay + by) * cross
    if area == 0:
        return 0.0, float(x0), float(y0)
    return area / 2, x0 + mx / (3 * area), y0 + my / (3 * area)


@compiled
def _middle(ring, length, edge):
    """Middle of an edge of the crack; `edge` may go round once."""
    i, j = edge % length, (edge + 1) % length
    return (ring[i, 0] + ring[j, 0]) / 2, (ring[i, 1] + ring[j, 1]) / 2


@compiled
def _smooth(ring, length, passes, step, out):
    """Smoothed middles of the crack's edges, every `step`-th, with the crack's area, into `out`.

    Returns:
        their number, and the area that was changed.
    """
    a, b = np.empty((length, 2)), np.empty((length, 2))
    for i in range(length):
        a[i, 0], a[i, 1] = _middle(ring, length, i)
    for _ in range(passes):
        for i in range(length):
            h, j = (i - 1) % length, (i + 1) % length
            for k in range(2):
                b[i, k] = (a[h, k] + 2 * a[i, k] + a[j, k]) / 4
        a, b = b, a
    count = 0
    for i in range(0, length - (step - 1), step):
        out[count] = a[i]
        count += 1
    pixels, _, _ = _area_centre(ring, length)
    area, mx, my = _area_centre(out, count)
    if area <= 0:
        return 0, pixels
    factor = np.sqrt(pixels / area)
    for i in range(count):
        out[i, 0], out[i, 1] = mx + (out[i, 0] - mx) * factor, my + (out[i, 1] - my) * factor
    # crack and smoothed ring run side by side from edge middle to edge middle; the area between them was changed
    changed = 0.0
    for i in range(count):
        begin, end = i * step, (i + 1) * step if i + 1 < count else length
        px, py = _middle(ring, length, begin)
        bx, by = out[i, 0], out[i, 1]
        pieces = end - begin + 1
        for j in range(1, pieces + 1):
            if j < pieces:
                qx, qy = float(ring[(begin + j) % length, 0]), float(ring[(begin + j) % length, 1])
            else:
                qx, qy = _middle(ring, length, end)
            part = min(1.0, max(0.0, (j - 0.5) / (pieces - 1))) if j < pieces else 1.0
            cx = out[i, 0] + part * (out[(i + 1) % count, 0] - out[i, 0])
            cy = out[i, 1] + part * (out[(i + 1) % count, 1] - out[i, 1])
            changed += _between(px, py, qx, qy, bx, by, cx, cy)
            px, py, bx, by = qx, qy, cx, cy
    return count, changed


@compiled
def _between(px, py, qx, qy, bx, by, cx, cy):
    """Area between the segments p–q and b–c, whose ends are joined p–b and q–c; also where they cross."""
    p = (cx - bx) * (py - by) - (cy - by) * (px - bx)  # twice the signed triangles over b–c
    q = (cx - bx) * (qy - by) - (cy - by) * (qx - bx)
    if p * q < 0:
        t = p / (p - q)
        x, y = px + t * (qx - px), py + t * (qy - py)
        one = (bx - px) * (y - py) - (by - py) * (x - px)
        two = (cx - qx) * (y - qy) - (cy - qy) * (x - qx)
        return (abs(one) + abs(two)) / 2
    return abs((cx - px) * (by - qy) - (bx - qx) * (cy - py)) / 2  # half the cross product of the diagonals


@compiled
def _all_outlines(labels, count, smoothed):
    first = _first_pixels(labels, count)
    width = labels.shape[1]
    offsets = np.zeros(count + 1, np.int64)
    points = np.empty((1024, 2))
    ring, out = np.empty((256, 2), np.int32), np.empty((256, 2))
    used = 0
    for label in range(1, count + 1):
        ring, length = _trace(labels, first[label] // width, first[label] % width, ring)
        if len(out) < length:
            out = np.empty((2 * length, 2))
        area, _, _ = _area_centre(ring, length)
        allowed = (0.1 if area < SMALL else 0.05) * area
        n = 0
        for passes, step in SMOOTHINGS:
            if not smoothed or (step > 1 and length < 24):
                continue
            n, changed = _smooth(ring, length, passes, step, out)
            if n >= 3 and changed <= allowed:
                break
            n = 0
        if n == 0:
            n = _corners(ring, length, out)
        while used + n > len(points):
            larger = np.empty((2 * len(points), 2))
            larger[:used] = points[:used]
            points = larger
        points[used : used + n] = out[:n]
        used += n
        offsets[label] = used
    return points[:used].copy(), offsets


@compiled
def _corners(ring, length, out):
    """The ring's vertices at turns only; returns their number."""
    n = 0
    for i in range(length):
        h, j = (i - 1) % length, (i + 1) % length
        if ring[h, 0] + ring[j, 0] != 2 * ring[i, 0] or ring[h, 1] + ring[j, 1] != 2 * ring[i, 1]:
            out[n, 0], out[n, 1] = ring[i, 0], ring[i, 1]
            n += 1
    return n
