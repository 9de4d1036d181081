"""A map of nuclei cut at random into tiles and put together again holds the same nuclei."""

import numpy as np
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from hemalum.grid.tiling import plan_tiles
from hemalum.nuclei.from_maps import MapSettings, tile_nuclei
from hemalum.nuclei.nuclei import Nuclei
from hemalum.nuclei.settle import Settler

HALO = 48  # model px: 24 µm, half the largest nucleus and some
SETTINGS = MapSettings(
    foreground=0.45,
    marker=0.4,
    sigma=1.0,
    min_area_um2=3.0,
    largest_nucleus_um=20.0,
    output_scale=1,
    measure=False,
)


def tissue(width, height, seed, pitch=17):
    """Foreground and distance of a field of ellipses (radii 4–9 px) at 0.5 µm/px, many of them touching."""
    rng = np.random.default_rng(seed)
    maps = np.zeros((2, height, width), np.float32)
    for y in range(pitch // 2, height, pitch):
        for x in range(pitch // 2, width, pitch):
            cx, cy = x + rng.uniform(-4, 4), y + rng.uniform(-4, 4)
            a, b, turn = rng.uniform(6, 9), rng.uniform(4, 7), rng.uniform(0, np.pi)
            low_y, low_x = max(0, int(cy) - 11), max(0, int(cx) - 11)
            rows, cols = np.mgrid[low_y : min(height, int(cy) + 12), low_x : min(width, int(cx) + 12)]
            u = (cols + 0.5 - cx) * np.cos(turn) + (rows + 0.5 - cy) * np.sin(turn)
            v = (rows + 0.5 - cy) * np.cos(turn) - (cols + 0.5 - cx) * np.sin(turn)
            depth = np.clip(1 - np.hypot(u / a, v / b), 0, 1)
            part = maps[:, rows[0, 0] : rows[-1, 0] + 1, cols[0, 0] : cols[0, -1] + 1]
            part[0] = np.maximum(part[0], depth > 0)
            part[1] = np.maximum(part[1], depth)
    return maps


def found(maps, order=None, **plan):
    """Final nuclei of the maps cut by a plan, and the candidates of each tile."""
    height, width = maps.shape[1:]
    plan = plan_tiles((width, height), 0.5, 0.5, halo=HALO, **plan)
    settler, candidates, final = Settler(plan), [], []
    for index in order(len(plan.tiles)) if order else range(len(plan.tiles)):
        tile = plan.tiles[index]
        x, y, across, down = plan.window(tile)
        cut = np.ascontiguousarray(maps[:, y : y + down, x : x + across])
        candidates.append(tile_nuclei(cut, np.zeros((down, across, 3), np.uint8), tile, plan, SETTINGS))
        final.append(settler.add(tile, candidates[-1]))
    return Nuclei.concat(final), candidates


def overlaps(first, second):
    """Pairs of two lists of polygons, with intersection and the two areas."""
    i, j = shapely.STRtree(second).query(first, predicate="intersects")
    both = shapely.area(shapely.intersection(first[i], second[j]))
    return i, j, both, shapely.area(first[i]), shapely.area(second[j])


def matched(first, second):
    """How many pairs have an IoU above 0.7: at most one for each nucleus."""
    _, _, both, a, b = overlaps(first, second)
    return int((both / (a + b - both) > 0.7).sum())


offsets = st.tuples(st.integers(0, 179), st.integers(0, 179))


@given(st.integers(0, 100_000), st.integers(96, 180), offsets, st.randoms(use_true_random=False))
@settings(max_examples=20, deadline=None)
def test_a_map_cut_anywhere_holds_the_same_nuclei(seed, core, offset, random):
    maps = tissue(330, 270, seed)
    whole = found(maps, core=512)[0].polygons()
    nuclei, candidates = found(maps, lambda n: random.sample(range(n), n), core=core, offset=offset)
    pieces = nuclei.polygons()
    assert len(whole) > 150 and shapely.is_valid(pieces).all() and shapely.is_valid(whole).all()
    assert matched(whole, pieces) >= 0.98 * max(len(whole), len(pieces))

    i, j, both, a, b = overlaps(pieces, pieces)
    assert not (both[i < j] > 0.5 * np.minimum(a, b)[i < j]).any(), "counted twice"

    # lost: in the candidates of a tile, but nothing final covers half of it
    every = np.concatenate([part.polygons() for part in candidates])
    i, _, both, a, b = overlaps(every, pieces)
    covered = np.zeros(len(every))
    np.maximum.at(covered, i, both / np.minimum(a, b))
    assert (covered > 0.5).all(), "lost at a seam"


def test_arrival_changes_no_vertex():
    maps = tissue(300, 300, 5)
    forward, _ = found(maps, core=100)
    backward, _ = found(maps, lambda n: reversed(range(n)), core=100)
    first, second = (n.take(np.lexsort((n.centroids[:, 0], n.centroids[:, 1]))) for n in (forward, backward))
    np.testing.assert_array_equal(first.vertices, second.vertices)
    np.testing.assert_array_equal(first.offsets, second.offsets)
