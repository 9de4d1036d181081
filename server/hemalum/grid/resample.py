"""Stored pixels to model pixels: a box mean by a whole factor, then an anti-aliased resampling by what remains.

Pixels are uint8, rows × columns × 3.  A *boxed px* is the mean of n × n level-0 px; a *model px* is `fraction` boxed px
(see `hemalum.grid.tiling.Scale`).  All three grids start at level-0 (0, 0), and every output value is computed in
integers from its absolute position alone: two tiles that share a model pixel agree on it to the bit, whoever read them.

`box_mean` is also what QuPath's side does before it sends a tile; `tests/data/box_mean.json` holds both to the same
numbers.

>>> import numpy as np
>>> box_mean(np.array([[[0, 0, 0], [1, 2, 3], [9, 9, 9]]], np.uint8), 2).tolist()
[[[1, 1, 2], [9, 9, 9]]]
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from hemalum.compiled import compiled
from hemalum.stain.tissue import never_scanned

if TYPE_CHECKING:
    from hemalum.grid.tiling import Plan, Tile

BITS = 14  # of a filter weight; two passes of 8-bit values stay far inside an int64


def box_mean(pixels: np.ndarray, n: int) -> np.ndarray:
    """Mean of every n × n block, halves rounded up: `(2·sum + m) // (2·m)` with m = n².

    Blocks start at the array's corner.  Where the array ends inside a block, m counts the pixels that exist; a reader
    must therefore deliver whole blocks except at the image's own right and lower edge.

    Args:
        pixels: uint8 h×w×3, h and w ≥ 1.
        n: factor, 1…2048.

    Returns:
        uint8 ⌈h/n⌉×⌈w/n⌉×3; for n = 1 the input itself.

    Raises:
        ValueError: another shape or dtype, or n < 1.
    """
    _check(pixels)
    if not 1 <= n <= 2048:
        raise ValueError(f"a box of {n} px is not possible; 1…2048 are")
    if n == 1:
        return pixels
    height, width, channels = pixels.shape
    out = np.empty((-(-height // n), -(-width // n), channels), np.uint8)
    _box_mean(pixels, n, out)
    return out


def model_tile(boxed: np.ndarray, tile: Tile, plan: Plan) -> np.ndarray:
    """The tile as the network sees it; black that was never scanned is white, as glass is (`never_scanned`).

    Resampling: Keys' cubic convolution (a = −0.5; R. Keys 1981, IEEE TASSP 29), separable, widened by `fraction` where
    that is above 1 (so that what the coarser grid cannot hold does not alias), weights rounded to 14 bits with an exact
    sum.  It reaches 2·max(1, fraction) boxed px from a pixel's centre, i.e. at most 1.5·max(1, fraction) + 0.5 beyond
    the tile; `tile.read` must cover that, clipped to the image.  Beyond the image's own edge the last boxed px is
    repeated for the filter.

    Args:
        boxed: uint8 ⌈h/n⌉×⌈w/n⌉×3, `box_mean` of the pixels of `tile.read`.
        tile, plan: from `hemalum.grid.tiling`.

    Returns:
        uint8 H×W×3, the model px of `plan.window(tile)`.

    Raises:
        ValueError: `boxed` has not the shape that `tile.read` announces.
    """
    _check(boxed)
    n, fraction = plan.scale
    expected = -(-tile.read.height // n), -(-tile.read.width // n)
    if boxed.shape[:2] != expected:
        sizes = " boxed px, not ".join(f"{rows}×{columns}" for rows, columns in (expected, boxed.shape[:2]))
        raise ValueError(f"tile {tile.index} needs {sizes}")
    hole = never_scanned(boxed)
    if hole is not None:
        boxed = np.where(hole[..., None], np.uint8(255), boxed)
    left, top, width, height = plan.window(tile)
    if fraction == 1:
        y, x = tile.read.y // n, tile.read.x // n
        return np.ascontiguousarray(boxed[top - y : top - y + height, left - x : left - x + width])
    boxed_width, boxed_height = (-(-side // n) for side in plan.image_size)
    rows, row_weights = _taps(top, top + height, float(fraction), length=boxed_height, origin=tile.read.y // n)
    cols, col_weights = _taps(left, left + width, float(fraction), length=boxed_width, origin=tile.read.x // n)
    pixels = np.empty((height, width, 3), np.uint8)
    _resample(np.ascontiguousarray(boxed), rows, row_weights, cols, col_weights, pixels)
    return pixels


def _check(pixels: np.ndarray) -> None:
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or 0 in pixels.shape:
        raise ValueError(f"pixels must be uint8 h×w×3, not {pixels.dtype} {'×'.join(map(str, pixels.shape))}")


@lru_cache(maxsize=64)
def _taps(low: int, high: int, fraction: float, length: int, origin: int) -> tuple[np.ndarray, np.ndarray]:
    """For model px low…high − 1: indices of boxed px and their integer weights.

    Indices are relative to `origin` and clamped to the image's `length`.
    """
    widen = max(1.0, fraction)
    centres = (np.arange(low, high) + 0.5) * fraction
    first = np.ceil(centres - 2 * widen - 0.5).astype(np.int64)
    index = first[:, None] + np.arange(math.ceil(4 * widen) + 1)
    distance = np.abs(index + 0.5 - centres[:, None]) / widen
    near = (1.5 * distance - 2.5) * distance**2 + 1
    far = ((-0.5 * distance + 2.5) * distance - 4) * distance + 2
    weights = np.where(distance < 1, near, np.where(distance < 2, far, 0))
    exact = weights / weights.sum(1, keepdims=True) * (1 << BITS)
    rounded = np.rint(exact).astype(np.int64)
    rounded[np.arange(len(rounded)), rounded.argmax(1)] += (1 << BITS) - rounded.sum(1)
    return np.clip(index, 0, length - 1) - origin, rounded


@compiled
def _box_mean(pixels, n, out):
    height, width = pixels.shape[:2]
    sums = np.empty((out.shape[1], 3), np.int64)
    for row in range(out.shape[0]):
        top, bottom = row * n, min(height, (row + 1) * n)
        sums[:] = 0
        for y in range(top, bottom):
            for col in range(out.shape[1]):
                red, green, blue = sums[col, 0], sums[col, 1], sums[col, 2]
                for x in range(col * n, min(width, (col + 1) * n)):
                    red += pixels[y, x, 0]
                    green += pixels[y, x, 1]
                    blue += pixels[y, x, 2]
                sums[col, 0], sums[col, 1], sums[col, 2] = red, green, blue
        for col in range(out.shape[1]):
            count = (bottom - top) * (min(width, (col + 1) * n) - col * n)
            for c in range(3):
                out[row, col, c] = (2 * sums[col, c] + count) // (2 * count)


@compiled
def _resample(boxed, rows, row_weights, cols, col_weights, out):
    half = 1 << (2 * BITS - 1)
    columns = np.zeros((boxed.shape[1], 3), np.int64)
    for i in range(rows.shape[0]):
        columns[:] = 0
        for k in range(rows.shape[1]):
            weight = row_weights[i, k]
            if weight != 0:
                line = boxed[rows[i, k]]
                for x in range(line.shape[0]):
                    for c in range(3):
                        columns[x, c] += weight * line[x, c]
        for j in range(cols.shape[0]):
            red = green = blue = half
            for k in range(cols.shape[1]):
                weight = col_weights[j, k]
                x = cols[j, k]
                if weight != 0:
                    red += weight * columns[x, 0]
                    green += weight * columns[x, 1]
                    blue += weight * columns[x, 2]
            out[i, j, 0] = min(255, max(0, red >> (2 * BITS)))
            out[i, j, 1] = min(255, max(0, green >> (2 * BITS)))
            out[i, j, 2] = min(255, max(0, blue >> (2 * BITS)))
