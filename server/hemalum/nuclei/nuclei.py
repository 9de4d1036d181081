"""`Nuclei`: the columns of a set of nuclei, from the outlines of one tile to the result of a slide.

Outlines are ragged: nucleus i has the vertices `vertices[offsets[i]:offsets[i + 1]]`, in 1/8 level-0 px (`UNIT` = 8 to
    the
pixel), pixel-corner convention, open (the first vertex is not repeated), with a positive shoelace area.

>>> square = Nuclei.of(np.array([[0, 0], [8, 0], [8, 8], [0, 8]]), np.array([0, 4]))
>>> len(square), square.areas().tolist(), square.centroids[0].tolist(), square.polygons()[0].wkt
(1, [1.0], [0.5, 0.5], 'POLYGON ((0 0, 1 0, 1 1, 0 1, 0 0))')
>>> counts, deltas = pack(square.vertices, square.offsets)
>>> counts.tolist(), deltas.tolist()
([4], [0, 0, 8, 0, 0, 8, -8, 0])
>>> unpack(counts, deltas)[0].tolist()
[[0, 0], [8, 0], [8, 8], [0, 8]]
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha1

import numpy as np
import shapely

UNIT = 8  # steps per level-0 px on which every vertex lies
NAMESPACE = uuid.uuid5(uuid.NAMESPACE_DNS, "nuclei.hemalum")


def ring_moments(vertices: np.ndarray, offsets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Signed areas (N, px²) and centroids (N × 2, px) of rings given in 1/8 px; a ring without area has its vertices'
    mean.

    Each sum is taken relative to the ring's own first vertex, so that the result does not depend on where on a slide it
    lies.
    """
    counts = np.diff(offsets)
    if not len(counts):
        return np.zeros(0), np.zeros((0, 2))
    starts = offsets[:-1]
    first = vertices[starts].astype(np.int64)
    here = vertices.astype(np.int64) - np.repeat(first, counts, axis=0)
    after = np.empty_like(here)
    after[:-1] = here[1:]
    after[offsets[1:] - 1] = 0  # the ring closes at its first vertex, the origin of its own frame
    cross = here[:, 0] * after[:, 1] - after[:, 0] * here[:, 1]
    twice = np.add.reduceat(cross, starts)
    moment = np.add.reduceat((here + after) * cross[:, None], starts, axis=0)
    mean = np.add.reduceat(here, starts, axis=0) / counts[:, None]
    with np.errstate(divide="ignore", invalid="ignore"):
        local = np.where(twice[:, None] != 0, moment / (3 * twice[:, None]), mean)
    return twice / (2 * UNIT**2), (first + local) / UNIT


@dataclass
class Nuclei:
    """N nuclei, column by column.

    Attributes:
        vertices: V × 2 int32, 1/8 level-0 px.
        offsets: N + 1 int64, first vertex of each nucleus, then V.
        centroids: N × 2 float64, level-0 px, of the outline's area.
        probability: N float32, 0…1.
        tile: N int32, index of the tile in its plan.
        edge: N float64, distance of the centroid to the edge of its own tile (with halo), model px: the first rank.
        columns: measurements by name, N float32 each.
    """

    vertices: np.ndarray
    offsets: np.ndarray
    centroids: np.ndarray
    probability: np.ndarray
    tile: np.ndarray
    edge: np.ndarray
    columns: dict[str, np.ndarray] = field(default_factory=dict)

    def __post_init__(self):
        self.vertices = np.ascontiguousarray(self.vertices, dtype=np.int32).reshape(-1, 2)
        self.offsets = np.ascontiguousarray(self.offsets, dtype=np.int64)
        self.centroids = np.ascontiguousarray(self.centroids, dtype=np.float64).reshape(-1, 2)
        self.probability = np.ascontiguousarray(self.probability, dtype=np.float32)
        self.tile = np.ascontiguousarray(self.tile, dtype=np.int32)
        self.edge = np.ascontiguousarray(self.edge, dtype=np.float64)
        self.columns = {name: np.ascontiguousarray(column, dtype=np.float32) for name, column in self.columns.items()}
        columns = [self.centroids, self.probability, self.tile, self.edge, *self.columns.values()]
        lengths = [len(column) for column in columns]
        if any(length != len(self) for length in lengths):
            raise ValueError(f"{len(self)} outlines, but columns of lengths {sorted(set(lengths))}")
        if self.offsets[0] != 0 or self.offsets[-1] != len(self.vertices) or (np.diff(self.offsets) < 3).any():
            raise ValueError("offsets must rise by at least 3 from 0 to the number of vertices")

    @classmethod
    def of(cls, vertices, offsets, probability=None, tile: int = 0, edge=None, columns=None) -> Nuclei:
        """Nuclei of one tile from their outlines; centroids come from the outlines."""
        offsets = np.asarray(offsets, dtype=np.int64)
        n = len(offsets) - 1
        centroids = ring_moments(np.asarray(vertices).reshape(-1, 2), offsets)[1]
        return cls(
            vertices,
            offsets,
            centroids,
            probability=np.ones(n) if probability is None else probability,
            tile=np.full(n, tile),
            edge=np.zeros(n) if edge is None else edge,
            columns=columns or {},
        )

    @classmethod
    def empty(cls, columns: Iterable[str] = ()) -> Nuclei:
        """No nuclei, with the given measurement names."""
        none = np.zeros(0)
        return cls(
            np.zeros((0, 2)),
            np.zeros(1),
            np.zeros((0, 2)),
            probability=none,
            tile=none,
            edge=none,
            columns=dict.fromkeys(columns, none),
        )

    @classmethod
    def concat(cls, parts: Sequence[Nuclei]) -> Nuclei:
        """All nuclei of `parts`, in order.

        Raises:
            ValueError: non-empty parts with different measurements.
        """
        filled = [part for part in parts if len(part)]
        if len(filled) < 2:
            return filled[0] if filled else (parts[0] if parts else cls.empty())
        names = list(filled[0].columns)
        if any(set(part.columns) != set(names) for part in filled):
            raise ValueError("parts have different measurements")
        offsets, vertices = [np.zeros(1, np.int64)], 0
        for part in filled:
            offsets.append(part.offsets[1:] + vertices)
            vertices += len(part.vertices)
        columns = {}
        for name in names:
            columns[name] = np.concatenate([part.columns[name] for part in filled])

        def joined(name: str) -> np.ndarray:
            return np.concatenate([getattr(part, name) for part in filled])

        return cls(
            joined("vertices"),
            np.concatenate(offsets),
            joined("centroids"),
            probability=joined("probability"),
            tile=joined("tile"),
            edge=joined("edge"),
            columns=columns,
        )

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def take(self, which) -> Nuclei:
        """The nuclei at `which` (indices, in that order, or a boolean mask)."""
        which = np.asarray(which)
        which = np.flatnonzero(which) if which.dtype == bool else which.astype(np.int64)
        counts = np.diff(self.offsets)[which]
        offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(counts)])
        source = np.repeat(self.offsets[which] - offsets[:-1], counts) + np.arange(offsets[-1])
        return replace(
            self, vertices=self.vertices[source], offsets=offsets, centroids=self.centroids[which],
            probability=self.probability[which], tile=self.tile[which], edge=self.edge[which],
            columns={name: column[which] for name, column in self.columns.items()},
        )  # fmt: skip

    def areas(self) -> np.ndarray:
        """Area inside each outline, level-0 px² (float64)."""
        return ring_moments(self.vertices, self.offsets)[0]

    def polygons(self) -> np.ndarray:
        """N shapely polygons, level-0 px."""
        if not len(self):
            return np.zeros(0, object)
        owner = np.repeat(np.arange(len(self)), np.diff(self.offsets))
        return shapely.polygons(shapely.linearrings(self.vertices / UNIT, indices=owner))

    def boxes(self) -> np.ndarray:
        """N × 4 int32: smallest x, y, largest x, y of each outline, 1/8 level-0 px."""
        if not len(self):
            return np.zeros((0, 4), np.int32)
        starts = self.offsets[:-1]
        low, high = (ufunc.reduceat(self.vertices, starts, axis=0) for ufunc in (np.minimum, np.maximum))
        return np.concatenate([low, high], axis=1)

    def order(self) -> np.ndarray:
        """Indices from the highest rank to the lowest: far from the tile's edge, then tile (row, col), then y, x."""
        return np.lexsort((self.centroids[:, 0], self.centroids[:, 1], self.tile, -self.edge))

    def ids(self, model: str, image: str) -> list[str]:
        """A UUIDv5 for each nucleus; see `uuids`."""
        return uuids(self.centroids, model, image)


def uuids(centroids: np.ndarray, model: str, image: str) -> list[str]:
    """UUIDv5 of each nucleus from its model, its image and its centroid (N × 2, level-0 px) rounded to 1/8 px.

    Repeated and resumed runs name a nucleus alike; another model or another image never does.

    >>> uuids(np.array([[0.5, 0.5]]), "nuclei", "slide")
    ['3a5eb96e-1866-52e1-bb02-da75ee6c464b']
    """
    seed = sha1(uuid.uuid5(NAMESPACE, f"{model}\n{image}").bytes)
    names = []
    for x, y in np.rint(np.asarray(centroids).reshape(-1, 2) * UNIT).astype(np.int64).tolist():
        digest = seed.copy()
        digest.update(f"{x},{y}".encode())
        h = digest.hexdigest()
        variant = "89ab"[int(h[16], 16) & 3]
        names.append(f"{h[:8]}-{h[8:12]}-5{h[13:16]}-{variant}{h[17:20]}-{h[20:32]}")
    return names


def pack(vertices: np.ndarray, offsets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Outlines as small integers for the wire: vertices per nucleus (N uint32) and dx, dy, dx, dy… (2 V int32).

    Each vertex is the difference to the one before it in the whole stream, the first one to (0, 0); as zigzag varints
    most take one byte per coordinate.
    """
    deltas = np.diff(vertices.astype(np.int64), axis=0, prepend=np.zeros((1, 2), np.int64))
    return np.diff(offsets).astype(np.uint32), deltas.astype(np.int32).ravel()


def unpack(counts: Sequence[int] | np.ndarray, deltas: Sequence[int] | np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The `vertices` and `offsets` that `pack` was given.

    Raises:
        ValueError: an outline of fewer than three vertices, counts that do not match the deltas, or a vertex beyond
            int32.
    """
    lengths, steps = np.asarray(counts, dtype=np.int64), np.asarray(deltas, dtype=np.int64)
    if (lengths < 3).any() or 2 * lengths.sum() != len(steps):
        raise ValueError(f"{len(steps)} deltas do not make {len(lengths)} outlines of at least three vertices")
    vertices = np.cumsum(steps.reshape(-1, 2), axis=0)
    if len(vertices) and np.abs(vertices).max() > np.iinfo(np.int32).max:
        raise ValueError("a vertex lies beyond the range of a slide")
    return vertices.astype(np.int32), np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
