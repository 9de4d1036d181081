"""Properties of the plan: cores cover every pixel once, and a tile reads all that it needs."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from hemalum.errors import UsageError
from hemalum.grid.tiling import Plan, Rect, Tile, plan_tiles, scale_for

SIDES = st.integers(1, 700)


@settings(max_examples=60, deadline=None)
@given(st.tuples(SIDES, SIDES), st.sampled_from([0.25, 0.3, 0.5, 0.77, 1.0]), st.integers(16, 200), st.integers(0, 70),
       st.tuples(st.integers(-300, 300), st.integers(-300, 300)))  # fmt: skip
def test_cores_cover_each_pixel_once_and_tiles_read_their_halo(size, mpp, core, halo, offset):
    halo = min(halo, core // 2)
    plan = plan_tiles(size, mpp, 0.5, core=core, halo=halo, offset=offset)
    width, height = plan.model_size
    covered = np.zeros((height, width), int)
    for tile in plan.tiles:
        x, y, across, down = tile.core
        assert x >= 0 and y >= 0 and across > 0 and down > 0
        covered[y : y + down, x : x + across] += 1
        window = plan.window(tile)
        assert max(window.width, window.height) <= plan.tile_shape
        left, top, right, bottom = plan.bounds(tile, halo)
        read = tile.read
        assert read.width > 0 and read.height > 0
        assert read.x <= max(0, left + 1e-6) and read.x + read.width >= min(size[0], right - 1e-6)
        assert read.y <= max(0, top + 1e-6) and read.y + read.height >= min(size[1], bottom - 1e-6)
        assert read.x >= 0 and read.x + read.width <= size[0] and read.y >= 0 and read.y + read.height <= size[1]
        assert read.x % plan.scale.n == 0 and read.y % plan.scale.n == 0
    assert (covered == 1).all()
    order = [(tile.row, tile.col) for tile in plan.tiles]
    assert order == sorted(order) and [tile.index for tile in plan.tiles] == list(range(len(order)))
    assert plan.grid == (order[-1][0] + 1, order[-1][1] + 1)


@settings(max_examples=60, deadline=None)
@given(st.floats(0.05, 4), st.floats(0.1, 2))
def test_scale_is_the_ratio_or_the_integer_beside_it(image_mpp, model_mpp):
    scale, ratio = scale_for(image_mpp, model_mpp), model_mpp / image_mpp
    assert scale.n >= 1
    if scale.fraction == 1:
        assert scale.factor == pytest.approx(ratio, rel=0.031)
    else:
        assert scale.factor == pytest.approx(ratio) and scale.fraction < 2
        assert abs(ratio / max(1, round(ratio)) - 1) > 0.03


def test_neighbours_touch_and_are_mutual():
    plan = plan_tiles((900, 700), 0.5, 0.5, core=100, halo=50)
    for tile in plan.tiles:
        near = {(other.row - tile.row, other.col - tile.col) for other in plan.neighbours(tile)}
        inside = {(dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)
                  if (dy or dx) and 0 <= tile.row + dy < 6 and 0 <= tile.col + dx < 8}  # fmt: skip
        assert near == inside
        assert all(tile in plan.neighbours(other) for other in plan.neighbours(tile))


def test_regions_choose_tiles_and_overrule_the_tissue_mask():
    region = shapely.box(101, 101, 199, 199)
    glass = (np.zeros((70, 90), bool), 10.0)
    plan = plan_tiles((900, 700), 0.5, 0.5, core=100, halo=50, regions=[region, region], tissue=glass)
    places = {(tile.row, tile.col) for tile in plan.tiles}
    assert (1, 1) in places and all(row < 3 and col < 3 for row, col in places)
    assert plan_tiles((900, 700), 0.5, 0.5, core=100, halo=50, tissue=glass).tiles == ()
    glass[0][35, 45] = True
    plan = plan_tiles((900, 700), 0.5, 0.5, core=100, halo=50, tissue=glass)
    near = {(tile.row, tile.col) for tile in plan.tiles}
    assert near == {(row, col) for row in (2, 3) for col in (3, 4)}  # (45, 35) · 10 px lies near all of them


@pytest.mark.parametrize("side, tiles", [(1, 1), (1152, 1), (1153, 2), (2176, 2), (2177, 3)])
def test_an_image_as_large_as_a_tile_is_one_tile_without_halo(side, tiles):
    plan = plan_tiles((side, side), 0.5, 0.5)
    assert len(plan.tiles) == tiles**2
    assert tiles > 1 or plan.tiles[0].core == plan.window(plan.tiles[0]) == (0, 0, side, side)
    # where the network's windows begin
    assert all(start % 256 == 0 for tile in plan.tiles for start in plan.window(tile)[:2])


def test_refuses_what_makes_no_tile():
    for arguments in [((0, 5), 0.5, 0.5), ((5, 5), 0, 0.5), ((5, 5), float("nan"), 0.5)]:
        with pytest.raises(ValueError):
            plan_tiles(*arguments)


@settings(max_examples=60, deadline=None)
@given(SIDES, st.integers(1, 200), st.integers(0, 120), st.integers(-300, 300))
def test_only_tiles_beside_each_other_see_the_same_pixels(side, core, halo, shift):
    if 2 * halo > core:
        with pytest.raises(UsageError, match=f"{core} px apart.*at least {2 * halo} px"):
            plan_tiles((side, 1), 0.5, 0.5, core=core, halo=halo, offset=(shift, 0))
        return
    plan = plan_tiles((side, 1), 0.5, 0.5, core=core, halo=halo, offset=(shift, 0))
    windows = [plan.window(tile) for tile in plan.tiles if tile.row == 0]
    for window, after_next in zip(windows, windows[2:], strict=False):
        assert window.x + window.width <= after_next.x


@settings(max_examples=60, deadline=None)
@given(st.integers(40, 300), st.integers(1, 64))
def test_the_step_is_a_multiple_of_what_the_network_needs(core, multiple):
    if core % multiple:
        with pytest.raises(UsageError, match=f"core of {core} px.*{multiple} px"):
            plan_tiles((500, 500), 0.5, 0.5, core=core, halo=0, multiple=multiple)
    else:
        plan_tiles((500, 500), 0.5, 0.5, core=core, halo=0, multiple=multiple)


@pytest.mark.parametrize("index, row", [(2, 1), (1, 0)], ids=["a gap in the numbers", "a place taken twice"])
def test_a_plan_numbers_its_tiles_and_has_one_at_a_place(index, row):
    square = Rect(0, 0, 9, 9)
    tiles = Tile(0, 0, 0, square, square), Tile(index, row, 0, square, square)
    with pytest.raises(ValueError, match=f"tile {index} at row {row}"):
        Plan((9, 9), 0.5, 0.5, scale_for(0.5, 0.5), 9, 0, tiles=tiles)
