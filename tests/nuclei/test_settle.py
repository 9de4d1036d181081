"""Settling gives the greedy set of the whole slide whatever the order of arrival, with chains and failed tiles."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hemalum.grid.tiling import plan_tiles
from hemalum.nuclei.nuclei import UNIT, Nuclei
from hemalum.nuclei.settle import Settler

PLAN = plan_tiles((320, 320), 0.5, 0.5, core=80, halo=40)


def candidates(tile, seed, crowded):
    """Squares near the tile's edges, so that several tiles see them; crowded ones form chains of conflicts."""
    rng = np.random.default_rng([seed, tile.index])
    x, y, *size = tile.core
    n = int(rng.integers(0, 60 if crowded else 15))
    corner = rng.integers(-4 * UNIT, (np.array(size) - 4) * UNIT, (n, 2)) + np.array([x, y]) * UNIT
    length = rng.integers(8 * UNIT, 14 * UNIT, (n, 1))
    square = corner[:, None] + length[:, None] * np.array([[0, 0], [1, 0], [1, 1], [0, 1]])
    nuclei = Nuclei.of(square.reshape(-1, 2), np.arange(n + 1) * 4, tile=tile.index)
    nuclei.edge = PLAN.edge_distance(tile, nuclei.centroids)
    return nuclei


def greedy(parts):
    """The definition, with all pairs."""
    everything = Nuclei.concat(parts)
    polygons, kept = everything.polygons(), []
    row_col = [(PLAN.tiles[t].row, PLAN.tiles[t].col) for t in everything.tile]
    for i in everything.order():
        for j in kept:
            touching = max(abs(row_col[i][0] - row_col[j][0]), abs(row_col[i][1] - row_col[j][1])) <= 1
            if touching and polygons[i].intersection(polygons[j]).area > 0.5 * min(polygons[i].area, polygons[j].area):
                break
        else:
            kept.append(i)
    return names(everything.take(np.array(kept, np.int64)))


def names(nuclei):
    return sorted((int(tile), *box) for tile, box in zip(nuclei.tile, nuclei.boxes().tolist(), strict=True))


@settings(max_examples=40, deadline=None)
@given(
    st.permutations(range(len(PLAN.tiles))),
    st.sets(st.integers(0, 8), max_size=3),
    st.integers(0, 10**6),
    st.booleans(),
)
def test_any_order_gives_the_greedy_set(order, failed, seed, crowded):
    parts = {tile.index: candidates(tile, seed, crowded) for tile in PLAN.tiles if tile.index not in failed}
    settler, final, settled = Settler(PLAN), [], []
    for index in order:
        tile = PLAN.tiles[index]
        final.append(settler.fail(tile) if index in failed else settler.add(tile, parts[index]))
        settled += settler.take_settled()
    result = Nuclei.concat(final)
    assert names(result) == greedy(list(parts.values()))
    assert sorted(settled) == list(range(len(PLAN.tiles)))
    assert settler.removed == sum(map(len, parts.values())) - len(result)


def test_a_chain_over_three_tiles_keeps_its_ends():
    plan = plan_tiles((320, 80), 0.5, 0.5, core=80, halo=40)

    def bar(x, width, tile, edge):
        ring = np.array([[x, 30], [x + width, 30], [x + width, 40], [x, 40]]) * UNIT
        return Nuclei.of(ring, np.array([0, 4]), tile=tile, edge=np.array([edge]))

    # first beats second, second would beat third
    parts = [bar(60, 60, 0, 50.0), bar(80, 122, 1, 45.0), bar(166, 60, 2, 40.0)]
    for order in ([0, 1, 2], [2, 1, 0], [1, 2, 0], [2, 0, 1]):
        settler = Settler(plan)
        kept = Nuclei.concat([settler.add(plan.tiles[i], parts[i]) for i in order])
        assert sorted(kept.tile.tolist()) == [0, 2]


def test_a_tile_is_reported_once():
    settler = Settler(PLAN)
    settler.skip(PLAN.tiles[0])
    with pytest.raises(ValueError, match="before"):
        settler.fail(PLAN.tiles[0])


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(PLAN.tiles), st.integers(-200, 200), st.integers(-200, 200))
def test_a_candidate_lies_in_its_own_tile(tile, right, down):
    """A nucleus of 10 px whose centroid is moved against the middle of its tile's core."""
    x, y, width, height = tile.core
    centre = np.array([x + width // 2 + right, y + height // 2 + down])
    ring = (centre + np.array([[-5, -5], [5, -5], [5, 5], [-5, 5]])) * UNIT
    nucleus = Nuclei.of(ring, np.array([0, 4]), tile=tile.index, edge=np.array([10.0]))
    settler = Settler(PLAN)
    outside = max(abs(right) - width / 2, abs(down) - height / 2)
    if outside <= 4:
        settler.add(tile, nucleus)
    elif outside > 6:
        with pytest.raises(ValueError, match=f"tile {tile.index} have centroids"):
            settler.add(tile, nucleus)
        settler.add(tile, Nuclei.empty())  # nothing of the refused report is kept


def test_tiles_and_candidates_of_others_are_refused():
    settler, other = Settler(PLAN), plan_tiles((320, 320), 0.5, 0.5, core=160, halo=40)
    with pytest.raises(ValueError, match="not of this plan"):
        settler.fail(other.tiles[1])
    first, second = (candidates(tile, 3, True) for tile in PLAN.tiles[:2])
    assert len(first) and len(second)
    with pytest.raises(ValueError, match="candidates of tile 1 were reported as those of tile 0"):
        settler.add(PLAN.tiles[0], second)
