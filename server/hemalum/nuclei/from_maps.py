"""Maps of one tile → its candidate nuclei, as one pure function.

The function depends on nothing but its arguments, so it gives the same nuclei in a thread, in another process, on a
server.

Frames: maps are float32 2×sH×sW; map px (0, 0) starts where `plan.window(tile)` does; nuclei leave in 1/8 level-0 px.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hemalum.grid.tiling import Plan, Tile
from hemalum.nuclei import measure
from hemalum.nuclei.instances import InstanceParameters, instances
from hemalum.nuclei.nuclei import UNIT, Nuclei
from hemalum.nuclei.outlines import outlines
from hemalum.nuclei.tidying import tidy


@dataclass(frozen=True)
class MapSettings:
    """What turns maps into nuclei.

    Attributes:
        foreground, marker: 0–1; sigma: map px; min_area_um2: µm².
        largest_nucleus_um: growth from a marker is bounded by it.
        output_scale: map px per model px.
        measure: add the measurements.
        stain_matrix: 2×3, or None: no optical densities.
        part_um2: smallest part into which a marker is split (`hemalum.nuclei.markers`); 0: none is.
    """

    foreground: float
    marker: float
    sigma: float
    min_area_um2: float
    largest_nucleus_um: float
    output_scale: int
    measure: bool = True
    stain_matrix: tuple | None = None
    part_um2: float = 0.0

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the measurements, in the order they are written."""
        if not self.measure:
            return ()
        stains = () if self.stain_matrix is None else (measure.HAEMATOXYLIN, measure.EOSIN)
        return (*measure.SHAPE, *stains)


def tile_nuclei(maps: np.ndarray, pixels: np.ndarray, tile: Tile, plan: Plan, settings: MapSettings) -> Nuclei:
    """The candidates of a tile: nuclei whose centroid lies in the core or within 2 µm of it.

    Args:
        maps: 2×sH×sW float32, not changed.  pixels: H×W×3 uint8, the network's input.
        tile, plan: from `hemalum.grid.tiling`.
    """
    maps = np.ascontiguousarray(maps)  # of a part of an array compiled loops would be compiled once more
    scale, factor = settings.output_scale, plan.scale.factor
    map_um = plan.mpp / scale
    labels = instances(
        maps[0],
        maps[1],
        InstanceParameters(
            foreground=settings.foreground,
            marker=settings.marker,
            sigma=settings.sigma,
            min_area=settings.min_area_um2 / map_um**2,
            largest=settings.largest_nucleus_um / map_um,
            part=settings.part_um2 / map_um**2,
        ),
    )
    count = int(labels.max()) if labels.size else 0
    if not count:
        return Nuclei.empty(settings.columns)
    traced = outlines(labels)
    to_level0 = factor / scale * UNIT
    vertices = np.rint((traced.points + np.array(plan.window(tile)[:2]) * scale) * to_level0).astype(np.int32)
    vertices, offsets, kept = tidy(vertices, np.asarray(traced.offsets, np.int64), plan.image_size)
    nuclei = Nuclei.of(vertices, offsets, measure.probability_means(labels, maps[0], count)[kept], tile.index)
    nuclei.edge = plan.edge_distance(tile, nuclei.centroids)
    if settings.measure:
        nuclei.columns = measure.shape_columns(nuclei.vertices, nuclei.offsets, plan.image_mpp)
        if settings.stain_matrix is not None:
            matrix = np.asarray(settings.stain_matrix)
            stains = measure.stain_columns(labels, pixels, scale, count, stain_matrix=matrix)
            nuclei.columns.update({name: column[kept] for name, column in stains.items()})
    left, top, right, bottom = plan.bounds(tile, plan.margin)
    x, y = nuclei.centroids.T
    return nuclei.take((x >= left) & (x < right) & (y >= top) & (y < bottom))
