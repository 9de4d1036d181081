"""Seams: which candidates of overlapping tiles are the nuclei, decided once, whatever the order of arrival.

A tile's candidates are its nuclei with the centroid in its core or 2 µm around it, so a nucleus on a seam is a
candidate of two tiles or more.  Two candidates conflict when their intersection covers more than half of the smaller
one.  Candidates have one total order (far from the own tile's edge first, then tile row, column, y, x); a candidate is
kept unless it conflicts with a kept one of higher rank.  That is the greedy independent set of the whole slide; it is
unique, and computed here piece by piece.

>>> from hemalum.nuclei.nuclei import Nuclei
>>> from hemalum.grid.tiling import plan_tiles
>>> plan = plan_tiles((512, 256), 0.5, 0.5, core=256)
>>> def candidate(x, tile, edge):
...     square = np.array([[x, 80], [x + 80, 80], [x + 80, 160], [x, 160]])
...     return Nuclei.of(square, np.array([0, 4]), tile=tile, edge=np.array([edge]))
>>> settler = Settler(plan)
>>> len(settler.add(plan.tiles[0], candidate(2520, 0, 64.0)))
0
>>> settler.add(plan.tiles[1], candidate(2522, 1, 65.0)).tile.tolist(), settler.removed, settler.take_settled()
([1], 1, [0, 1])
"""

from __future__ import annotations

import numpy as np
import shapely

from hemalum.grid.tiling import Plan, Tile
from hemalum.nuclei.nuclei import UNIT, Nuclei

OVERLAP = 0.5
KEPT, DROPPED, OPEN = 1, -1, 0


class _Candidates:
    """Candidates of one tile, and what is known of them.

    `fate` N int8; `conflicts` maps a candidate to (tile, candidate) pairs of *higher* rank; outlines are let go when
    every neighbour has been compared, nuclei when they are decided.
    """

    def __init__(self, nuclei: Nuclei):
        self.nuclei = nuclei
        self.fate = np.zeros(len(nuclei), np.int8)
        self.conflicts: dict[int, list[tuple[int, int]]] = {}
        self.boxes = nuclei.boxes().astype(np.float64) / UNIT
        self.areas = nuclei.areas()
        self.tree = shapely.STRtree(shapely.box(*self.boxes.T)) if len(nuclei) else None

    def let_go(self) -> None:
        """Forget all but the fates, which neighbours may still ask for."""
        del self.nuclei, self.boxes, self.areas, self.tree
        self.conflicts = {}


class Settler:
    """Takes tiles in any order, gives nuclei when they are final.

    Every tile of the plan is reported exactly once by `add`, `fail` or `skip`; each call returns the nuclei that became
    final by it.  Not thread-safe: the caller holds a lock.  Memory: the candidates of tiles with an unreported
    neighbour, and one byte a candidate.

    Attributes:
        removed: candidates dropped so far.
    """

    def __init__(self, plan: Plan):
        self._plan = plan
        self._waiting = {tile.index: len(plan.neighbours(tile)) + 1 for tile in plan.tiles}
        self._candidates: dict[int, _Candidates] = {}
        self._reported: set[int] = set()
        self._settled: list[int] = []
        self._open: set[int] = set()
        self.removed = 0

    def add(self, tile: Tile, nuclei: Nuclei) -> Nuclei:
        """Report a tile's candidates.

        Raises:
            ValueError: the tile was reported before or is not the plan's, or a candidate is not the tile's.
        """
        self.check(tile, nuclei)
        self._report(tile)
        ours = self._candidates[tile.index] = _Candidates(nuclei)
        self._open.add(tile.index)
        self._compare(tile.index, ours, tile.index, ours)
        for neighbour in self._plan.neighbours(tile):
            if (theirs := self._candidates.get(neighbour.index)) is not None:
                self._compare(tile.index, ours, neighbour.index, theirs)
        inner = self._inner(tile, ours)
        return Nuclei.concat([inner, self._decide(tile)])

    def fail(self, tile: Tile) -> Nuclei:
        """Report a tile that gives no candidates: its neighbours are decided without it."""
        self._report(tile)
        self._open.add(tile.index)
        self._candidates[tile.index] = _Candidates(Nuclei.empty())
        return self._decide(tile)

    skip = fail

    def take_settled(self) -> list[int]:
        """Indices of tiles whose candidates have all been decided since the last call, rising."""
        settled, self._settled = sorted(self._settled), []
        return settled

    def check(self, tile: Tile, nuclei: Nuclei) -> None:
        """Candidates are compared with those of adjacent tiles alone, so none may lie elsewhere: `ValueError`."""
        strangers = np.setdiff1d(nuclei.tile, [tile.index])
        if len(strangers):
            raise ValueError(f"candidates of tile {strangers[0]} were reported as those of tile {tile.index}")
        if not len(nuclei):
            return
        left, top, right, bottom = self._plan.bounds(tile, self._plan.margin + 1)  # 1 px: for a rounding elsewhere
        (x0, y0), (x1, y1) = nuclei.centroids.min(0), nuclei.centroids.max(0)
        if x0 < left or y0 < top or x1 > right or y1 > bottom:
            raise ValueError(
                f"candidates of tile {tile.index} have centroids from {x0:.1f}, {y0:.1f} to {x1:.1f}, {y1:.1f} px, "
                f"outside of {left:.1f}, {top:.1f} to {right:.1f}, {bottom:.1f} px"
            )

    def _report(self, tile: Tile) -> None:
        if not 0 <= tile.index < len(self._plan.tiles) or self._plan.tiles[tile.index] != tile:
            raise ValueError(f"tile {tile.index} at row {tile.row}, column {tile.col} is not of this plan")
        if tile.index in self._reported:
            raise ValueError(f"tile {tile.index} was reported before")
        self._reported.add(tile.index)
        for index in self._around(tile.index):
            self._waiting[index] -= 1

    def _inner(self, tile: Tile, ours: _Candidates) -> Nuclei:
        """Decide at once what no other tile can have found, so that nuclei are seen while the neighbours are still
        computed.

        A candidate of another tile has its centroid within 2 µm of that tile's core and reaches no further than the
        largest nucleus, which twice the halo bounds: so candidates deeper inside this core have conflicts in this tile
        only.
        """
        left, top, right, bottom = self._plan.bounds(tile, -2 * self._plan.halo - self._plan.margin)
        x0, y0, x1, y1 = ours.boxes.T
        inside = (x0 > left) & (y0 > top) & (x1 < right) & (y1 < bottom)
        inside[list(ours.conflicts)] = False
        ours.fate[inside] = KEPT
        return ours.nuclei.take(inside)

    def _compare(self, a: int, ours: _Candidates, b: int, theirs: _Candidates) -> None:
        """Record the conflicts between the candidates of two tiles (or inside one)."""
        if ours.tree is None or theirs.tree is None:
            return
        i, j = theirs.tree.query(shapely.box(*ours.boxes.T))
        if a == b:
            i, j = i[i < j], j[i < j]
        low = np.maximum(ours.boxes[i, :2], theirs.boxes[j, :2])
        high = np.minimum(ours.boxes[i, 2:], theirs.boxes[j, 2:])
        smaller = np.minimum(ours.areas[i], theirs.areas[j])
        likely = (high - low).clip(0).prod(1) > OVERLAP * smaller
        i, j, smaller = i[likely], j[likely], smaller[likely]
        if not len(i):
            return
        first, second = _polygons(ours.nuclei.take(i)), _polygons(theirs.nuclei.take(j))
        conflict = shapely.area(shapely.intersection(first, second)) > OVERLAP * smaller
        for p, q in zip(i[conflict].tolist(), j[conflict].tolist(), strict=True):
            if _rank(ours.nuclei, p) < _rank(theirs.nuclei, q):
                theirs.conflicts.setdefault(q, []).append((a, p))
            else:
                ours.conflicts.setdefault(p, []).append((b, q))

    def _decide(self, tile: Tile) -> Nuclei:
        """Decide all that can be, beginning around `tile`; a decision may free others, also further away."""
        final: list[Nuclei] = []
        work = [index for index in self._around(tile.index) if self._can_be_judged(index)]
        while work:
            index = work.pop()
            if index not in self._open:
                continue
            state = self._candidates[index]
            newly = self._judge(state)
            if newly.any():
                kept = np.flatnonzero(newly & (state.fate == KEPT))
                self.removed += int((newly & (state.fate == DROPPED)).sum())
                if len(kept):
                    final.append(state.nuclei.take(kept))
                work += [other for other in self._around(index)[1:] if self._can_be_judged(other)]
            if (state.fate != OPEN).all():
                self._open.discard(index)
                self._settled.append(index)
                state.let_go()
        return Nuclei.concat(final)

    def _around(self, index: int) -> list[int]:
        """A tile and its neighbours."""
        return [index, *(neighbour.index for neighbour in self._plan.neighbours(self._plan.tiles[index]))]

    def _can_be_judged(self, index: int) -> bool:
        """Whether a tile is not settled yet and all around it have been reported."""
        return index in self._open and self._waiting[index] == 0

    def _judge(self, state: _Candidates) -> np.ndarray:
        """Decide what can be decided in a tile whose neighbours are all reported; which were decided just now."""
        before = state.fate.copy()
        free = state.fate == OPEN
        free[list(state.conflicts)] = False
        state.fate[free] = KEPT
        changed = True
        while changed:
            changed = False
            for candidate, higher in state.conflicts.items():
                if state.fate[candidate] != OPEN:
                    continue
                fates = [self._candidates[t].fate[c] for t, c in higher]
                if KEPT in fates:
                    state.fate[candidate] = DROPPED
                elif OPEN not in fates:
                    state.fate[candidate] = KEPT
                changed |= state.fate[candidate] != OPEN
        return before != state.fate


def _rank(nuclei: Nuclei, index: int) -> tuple:
    x, y = nuclei.centroids[index]
    return (-nuclei.edge[index], nuclei.tile[index], y, x, index)


def _polygons(nuclei: Nuclei) -> np.ndarray:
    polygons = nuclei.polygons()
    return np.where(shapely.is_valid(polygons), polygons, shapely.make_valid(polygons))
