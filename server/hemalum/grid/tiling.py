"""The plan of a run: which square tiles cover an image, and which stored pixels each of them needs.

Frames (pixel-corner convention, x right, y down).  *Level-0 px* are the image's own; a *model px* is `n · fraction` of
them.  Both grids start at level-0 (0, 0).  A tile is a *core*, which it answers for, plus a *halo*, which it only looks
at.  Tiles begin at multiples of one step and end with the image: at the image's own edge there is nothing to look at
beyond the core, so a core there reaches to the edge, and an image no larger than step + 2 · halo is a single tile
without any halo.

>>> plan = plan_tiles((5000, 3000), image_mpp=0.25, model_mpp=0.5)
>>> plan.scale, plan.core, plan.tile_shape, plan.grid, len(plan.tiles)
(Scale(n=2, fraction=1.0), 1024, 1152, (2, 3), 6)
>>> plan.tiles[4].core, plan.window(plan.tiles[4])
(Rect(x=1088, y=1088, width=1024, height=412), Rect(x=1024, y=1024, width=1152, height=476))
>>> plan.tiles[4].read
Rect(x=2048, y=2048, width=2304, height=952)
>>> [tile.index for tile in plan.neighbours(plan.tiles[0])]
[1, 3, 4]
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import shapely

from hemalum.errors import UsageError

MARGIN_UM = 2.0  # a nucleus is also a candidate this far outside its tile's core
CORE = 1024  # model px; with a halo of 64 a tile of 1152² is computed at 1.27 times the cost of its core
SMALLEST_MPP, LARGEST_MPP = 0.05, 4.0  # µm/px that a microscope can have
SNAP = 0.03  # scanners state 0.2527 µm/px for "40x": resampling that away would cost sharpness and time


class Rect(NamedTuple):
    """A rectangle of whole pixels: x ≤ column < x + width, y ≤ row < y + height."""

    x: int
    y: int
    width: int
    height: int


class Scale(NamedTuple):
    """Model px = `n · fraction` level-0 px: a box mean over n × n, then a resampling by `fraction` (1.0: none)."""

    n: int
    fraction: float

    @property
    def factor(self) -> float:
        """Level-0 px per model px."""
        return self.n * self.fraction


def scale_for(image_mpp: float, model_mpp: float) -> Scale:
    """The way from an image's resolution to a model's (both µm/px).

    `n` is the largest integer ≤ model_mpp ÷ image_mpp, at least 1; a ratio within 3 % of an integer is that integer,
    and then `fraction` is exactly 1.  A coarser image has n = 1 and a fraction below 1 (it is enlarged).

    >>> scale_for(0.2527, 0.5), scale_for(1.0, 0.5), scale_for(0.5, 0.5)
    (Scale(n=2, fraction=1.0), Scale(n=1, fraction=0.5), Scale(n=1, fraction=1.0))

    Raises:
        ValueError: a resolution that is not a positive finite number.
    """
    if not all(math.isfinite(mpp) and mpp > 0 for mpp in (image_mpp, model_mpp)):
        raise ValueError(f"resolutions must be positive numbers, not {image_mpp} and {model_mpp}")
    ratio = model_mpp / image_mpp
    nearest = max(1, round(ratio))
    if abs(ratio / nearest - 1) <= SNAP:
        return Scale(nearest, 1.0)
    n = max(1, math.floor(ratio))
    return Scale(n, ratio / n)


class Tile(NamedTuple):
    """One piece of work.

    Attributes:
        index: position in `Plan.tiles`; rises with (row, col).
        row, col: position on the grid of cores.
        core: what the tile answers for, in *model* px, inside the image.
        read: what a reader must deliver, in *level-0* px: core, halo and the resampling filter's support, grown to
            multiples of n, then clipped to the image (so only the image's own right and lower edge may cut an n × n
            box).
    """

    index: int  # type: ignore[assignment]  # a tuple's own `index` is never called here
    row: int
    col: int
    core: Rect
    read: Rect


@dataclass(frozen=True)
class Plan:
    """How an image is cut.  Made by `plan_tiles`; two plans with equal arguments are equal.

    Attributes:
        image_size: width, height in level-0 px.
        image_mpp, model_mpp: µm per level-0 px and per model px as asked for.
        scale: see `Scale`.
        core, halo: sides in model px; the core of a tile that touches the image's edge may be up to 2 · halo larger, or
            smaller.
        offset: a model pixel (x, y) at which a tile begins; (0, 0) except in tests of the seams.
        tiles: the tiles to compute, ordered by (row, col).
    """

    image_size: tuple[int, int]
    image_mpp: float
    model_mpp: float
    scale: Scale
    core: int
    halo: int
    offset: tuple[int, int] = (0, 0)
    tiles: tuple[Tile, ...] = ()
    _at: dict[tuple[int, int], int] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __post_init__(self):
        for position, tile in enumerate(self.tiles):
            if tile.index != position or (tile.row, tile.col) in self._at:
                raise ValueError(f"tile {tile.index} at row {tile.row}, column {tile.col} cannot be number {position}")
            self._at[tile.row, tile.col] = position

    @property
    def tile_shape(self) -> int:
        """T, the largest side of a tile with its halo, in model px."""
        return self.core + 2 * self.halo

    @property
    def to_level0(self) -> float:
        """Level-0 px per model px."""
        return self.scale.factor

    @property
    def mpp(self) -> float:
        """µm per model px as it really is (differs from `model_mpp` by up to 3 % where the ratio was snapped)."""
        return self.image_mpp * self.scale.factor

    @property
    def margin(self) -> float:
        """2 µm in model px: how far outside the core a centroid may lie."""
        return MARGIN_UM / self.mpp

    @property
    def support(self) -> int:
        """Reach of the resampling filter on each side of a tile, boxed px (n × n level-0 px); 0 without resampling."""
        fraction = self.scale.fraction
        # 2: the radius of a cubic filter, widened when it also has to suppress what the coarser grid cannot hold
        return 0 if fraction == 1 else math.ceil(2 * max(1.0, fraction)) + 1

    @property
    def model_size(self) -> tuple[int, int]:
        """Width and height of the image in model px; a last pixel that is partly covered counts."""
        width, height = (math.ceil(side / self.scale.factor - 1e-6) for side in self.image_size)
        return width, height

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of the whole grid, computed tiles or not."""
        columns, rows = (len(spans) for spans in self._spans())
        return rows, columns

    def _spans(self) -> list[list[tuple[int, int]]]:
        """Begin and end of each core, model px: those along x, those along y."""
        axes = zip(self.model_size, self.offset, strict=True)
        return [_cores(side, self.core, self.halo, shift) for side, shift in axes]

    def window(self, tile: Tile) -> Rect:
        """What the network sees of the image: core and halo, in model px, inside the image."""
        (x, y, width, height), sides = tile.core, self.model_size
        left, top = max(0, x - self.halo), max(0, y - self.halo)
        right, bottom = min(sides[0], x + width + self.halo), min(sides[1], y + height + self.halo)
        return Rect(left, top, right - left, bottom - top)

    def neighbours(self, tile: Tile) -> list[Tile]:
        """Every tile of the plan that touches `tile` by an edge or a corner, ordered by (row, col)."""
        steps = ((-1, -1), (-1, 0), (-1, 1), (0, -1), (0, 1), (1, -1), (1, 0), (1, 1))
        indices = (self._at.get((tile.row + dy, tile.col + dx)) for dy, dx in steps)
        return [self.tiles[index] for index in indices if index is not None]

    def bounds(self, tile: Tile, grown: float) -> tuple[float, float, float, float]:
        """Left, top, right, bottom, level-0 px, of a tile's core with `grown` model px on each side; not clipped."""
        x, y, width, height = tile.core
        factor = self.scale.factor
        return (x - grown) * factor, (y - grown) * factor, (x + width + grown) * factor, (y + height + grown) * factor

    def edge_distance(self, tile: Tile, centroids: np.ndarray) -> np.ndarray:
        """Distance of level-0 points (N × 2) to the edge of a tile with its halo, model px; negative outside."""
        left, top, right, bottom = self.bounds(tile, self.halo)
        x, y = centroids[:, 0], centroids[:, 1]
        return np.minimum(np.minimum(x - left, right - x), np.minimum(y - top, bottom - y)) / self.scale.factor


def _starts(side: int, core: int, halo: int, shift: int) -> range:
    """Where each tile with its halo begins along an axis, model px; the first one may begin before the image."""
    first = shift % core - core if shift % core else 0
    return range(first, max(first + 1, side - 2 * halo), core)


def _cores(side: int, core: int, halo: int, shift: int) -> list[tuple[int, int]]:
    """Begin and end of each core along an axis, model px: from 0 to `side` without a gap."""
    inner = [start + halo for start in _starts(side, core, halo, shift)[1:]]
    spans = list(pairwise([0, *inner, side]))
    sizes = [end - begin for begin, end in spans]
    if min(sizes) < 1 or max(sizes) > core + 2 * halo:
        raise ValueError(
            f"cores of {min(sizes)} to {max(sizes)} px do not cut {side} px into tiles of {core} + 2 · {halo} px"
        )
    return spans


def plan_tiles(
    image_size: tuple[int, int],
    image_mpp: float,
    model_mpp: float,
    core: int = CORE,
    halo: int = 64,
    multiple: int = 1,
    regions: Sequence[shapely.Geometry] | None = None,
    tissue: tuple[np.ndarray, float] | None = None,
    offset: tuple[int, int] = (0, 0),
) -> Plan:
    """Cut an image into tiles.

    Args:
        image_size: width, height, level-0 px.
        image_mpp, model_mpp: µm/px.
        core, halo: the step between tiles and what they look at around it, model px; 2 · halo ≤ core.
        multiple: what the step must be a multiple of, model px: the card's `multiple_of`.
        regions: level-0 polygons, united; only tiles whose core + 2 µm touches them remain.  None: the whole image.
        tissue: boolean mask (rows × columns) and its downsample (level-0 px per mask px).  Leaves out tiles in whose
            core *and* halo it has no tissue; without effect where regions are given, since there the user has decided.
        offset: shifts the grid (model px), for tests: the nuclei must not depend on it.

    Raises:
        ValueError: a size, core or halo that makes no tile, or a resolution that is not positive.
        UsageError: a core that is too small for the halo or does not fit the network.
    """
    width, height = (int(side) for side in image_size)
    if width < 1 or height < 1:
        raise ValueError(f"an image of {width} × {height} px has nothing to cut")
    scale = scale_for(image_mpp, model_mpp)
    if core < 1 or halo < 0:
        raise ValueError(f"core {core} and halo {halo} make no tile")
    if 2 * halo > core:  # nuclei are compared with those of adjacent tiles alone
        raise UsageError(
            f"tiles {core} px apart that see {halo} px around them share nuclei with tiles that are not beside them; "
            f"give a core of at least {2 * halo} px"
        )
    if core % multiple:  # a pixel's map depends on where the network's windows begin
        raise UsageError(f"a tile core of {core} px does not fit a network's {multiple} px; give a multiple of them")
    plan = Plan(
        (width, height), image_mpp, model_mpp, scale=scale, core=core, halo=int(halo), offset=(offset[0], offset[1])
    )
    tiles = _all_tiles(plan)
    if regions is not None:
        united = shapely.union_all([shapely.make_valid(region) for region in regions])
        boxes = shapely.box(*np.array([plan.bounds(tile, plan.margin) for tile in tiles]).T)
        shapely.prepare(united)
        tiles = [tile for tile, hit in zip(tiles, shapely.intersects(united, boxes), strict=True) if hit]
    elif tissue is not None:
        mask, downsample = tissue
        tiles = [tile for tile in tiles if _has_tissue(mask, downsample, plan.bounds(tile, max(halo, plan.margin)))]
    numbered = [tile._replace(index=index, read=_read(plan, tile)) for index, tile in enumerate(tiles)]
    return replace(plan, tiles=tuple(numbered))


def _all_tiles(plan: Plan) -> list[Tile]:
    """Row and column and core of each tile, ordered by (row, col); without a number, and without what it reads."""
    columns, rows = plan._spans()
    nothing = Rect(0, 0, 0, 0)
    tiles = []
    for row, (top, bottom) in enumerate(rows):
        for col, (left, right) in enumerate(columns):
            core = Rect(left, top, right - left, bottom - top)
            tiles.append(Tile(0, row, col, core, read=nothing))
    return tiles


def _has_tissue(mask: np.ndarray, downsample: float, bounds: tuple[float, float, float, float]) -> bool:
    left, top, right, bottom = bounds
    rows = slice(max(0, math.floor(top / downsample)), max(0, math.ceil(bottom / downsample)))
    cols = slice(max(0, math.floor(left / downsample)), max(0, math.ceil(right / downsample)))
    return bool(mask[rows, cols].any())


def _read(plan: Plan, tile: Tile) -> Rect:
    n, support = plan.scale.n, plan.support
    left, top, right, bottom = plan.bounds(tile, plan.halo)
    spans = []
    for low, high, side in ((left, right, plan.image_size[0]), (top, bottom, plan.image_size[1])):
        low = (math.floor(low / n + 1e-9) - support) * n
        high = (math.ceil(high / n - 1e-9) + support) * n
        spans.append((max(0, low), min(side, high)))
    (x0, x1), (y0, y1) = spans
    return Rect(x0, y0, x1 - x0, y1 - y0)


def check_mpp(mpp: float) -> float:
    """`mpp` itself; `UsageError` unless it is a number within 0.05–4 µm/px."""
    if not SMALLEST_MPP <= mpp <= LARGEST_MPP:  # also refuses NaN
        raise UsageError(
            f"{mpp:g} µm/px cannot be a slide's resolution; give {SMALLEST_MPP:g} to {LARGEST_MPP:g} "
            "(0.25 is a 40× scan, 0.5 a 20× scan)"
        )
    return mpp
