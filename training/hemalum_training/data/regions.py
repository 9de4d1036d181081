"""Where tiles are cut: regions of 2000–8000 px with tissue (METHOD S1), and the tiles inside them.  Pure.

Frame: px at the tiles' resolution, origin at the image's; all tiles of a slide lie on one grid, so regions may touch
and no pixel is in two tiles.
"""

from __future__ import annotations

import numpy as np

LEAST_TISSUE = 0.05  # share of a region; less is glass with a speck


def regions(mask: np.ndarray, size: tuple[int, int], least: int, most: int,
            count: int) -> list[tuple[int, int, int, int]]:
    """The regions with most tissue.

    Args:
        mask: bool h×w, tissue on an overview of the image.
        size: of the image, px (width, height).
        least, most: side of a region; an image smaller than `least` is one region as it is.
        count: regions at most.

    Returns:
        x, y, width, height, those with most tissue first.

    >>> mask = np.zeros((50, 100), bool); mask[10:40, 60:90] = True
    >>> regions(mask, (10000, 5000), 2000, 8000, 4)
    [(6000, 1000, 3000, 3000)]
    """
    width, height = size
    fx, fy = width / mask.shape[1], height / mask.shape[0]
    xs, ys = (np.linspace(0, side, -(-side // most) + 1).round().astype(int) for side in (width, height))
    areas = []
    for top, bottom in zip(ys, ys[1:], strict=False):
        for left, right in zip(xs, xs[1:], strict=False):
            row, column = int(top / fy), int(left / fx)
            rows, columns = np.nonzero(mask[row:int(np.ceil(bottom / fy)), column:int(np.ceil(right / fx))])
            if not len(rows):
                continue
            left_tissue, right_tissue = (column + columns.min()) * fx, (column + columns.max() + 1) * fx
            top_tissue, bottom_tissue = (row + rows.min()) * fy, (row + rows.max() + 1) * fy
            x, w = _fit(max(left, left_tissue), min(right, right_tissue), least, width)
            y, h = _fit(max(top, top_tissue), min(bottom, bottom_tissue), least, height)
            tissue = len(rows) * fx * fy
            if tissue >= LEAST_TISSUE * w * h:
                areas.append((tissue, (x, y, w, h)))
    areas.sort(key=lambda area: (-area[0], area[1]))
    return [region for _, region in areas[:count]]


def _fit(low: float, high: float, least: int, side: int) -> tuple[int, int]:
    """Begin and length of an interval around low…high, at least `least` long where the image is."""
    low, high = max(0, int(low)), min(side, int(np.ceil(high)))
    if high - low < least:
        low = int(np.clip((low + high - least) // 2, 0, max(0, side - least)))
        high = min(side, low + least)
    return low, high - low


def tile_grid(areas: list[tuple[int, int, int, int]], size: tuple[int, int], tile: int) -> list[tuple[int, int]]:
    """Left upper corners of the whole tiles inside the regions, in raster order, each once.

    The grid is centred in the image; an image smaller than a tile has one tile, its own size.

    >>> tile_grid([(0, 0, 600, 300)], (600, 300), 256)
    [(44, 22), (300, 22)]
    """
    offset = [max(0, side % tile // 2) if side >= tile else 0 for side in size]
    places = set()
    for x, y, width, height in areas:
        starts = []
        for begin, length, shift, side in ((x, width, offset[0], size[0]), (y, height, offset[1], size[1])):
            first = shift + -(-(begin - shift) // tile) * tile
            last = min(begin + length, side) - tile
            starts.append(range(first, last + 1, tile) if side >= tile else [0])
        places.update((left, top) for left in starts[0] for top in starts[1])
    return sorted(places, key=lambda p: (p[1], p[0]))
