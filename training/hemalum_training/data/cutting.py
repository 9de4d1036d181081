"""One slide or image → tiles at 0.5 µm/px with tissue, each with its nuclear density, and the stain of the whole."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import shapely

from hemalum.errors import UnknownResolution
from hemalum.files import commit_text
from hemalum.grid.tiling import scale_for
from hemalum.projects.cut import read_at
from hemalum.slides import open_slide
from hemalum.stain.estimation import Stain, estimate
from hemalum.stain.tissue import tissue_mask
from hemalum_training.config.data import Tiles
from hemalum_training.data.domains import nuclear_density
from hemalum_training.data.regions import regions, tile_grid
from hemalum_training.data.sources import TileSource
from hemalum_training.data.tile_store import TILE_MPP
from hemalum_training.data.twins import thumbnail
from hemalum_training.store import write_png

SMALLEST = 128  # px: less is no tile


def cut(source: TileSource, tiling: Tiles, folder: Path) -> tuple[dict, bool]:
    """The record of a source, and whether it was made now: stain, thumbnail, and [name, x, y, tissue, density] a tile.

    Tiles are written to `folder`/images, the record to `folder`/sources; a record of the same settings and file is not
    made again.

    Raises:
        UnreadableImage, UnknownResolution: of the source.
    """
    key = _key(source, tiling)
    path = folder / "sources" / f"{source.set}-{source.name}.json"
    if path.is_file():
        record = json.loads(path.read_text(encoding="utf-8"))
        if record["key"] == key:
            return record, False
    with open_slide(source.path, source.mpp) as slide:
        overview = slide.overview()
        mask = tissue_mask(overview, slide.unread)
        if slide.mpp is None:
            raise UnknownResolution(
                f"{source.path} states no resolution; write mpp into [unlabelled.{source.set}] (0.25 for a 40× scan, "
                "0.5 for 20×)."
            )
        stain = estimate(overview, mask, "macenko", slide.mpp * slide.size[0] / overview.shape[1])
        tiles = _tiles(slide, mask, stain, source, tiling, folder)
    record = {
        "key": key,
        "stain": stain.record(),
        "thumbnail": thumbnail(overview).round(1).ravel().tolist(),
        "tiles": tiles,
    }
    commit_text(path, json.dumps(record))
    return record, True


def _key(source: TileSource, tiling: Tiles) -> str:
    """A digest of everything that a record depends on."""
    settings = {name: getattr(tiling, name) for name in ("tile", "region_min", "region_max", "regions", "tissue")}
    status = source.path.stat()
    made_with = [settings, source.mpp, status.st_size, status.st_mtime_ns, source.labelled.wkt]
    return hashlib.sha256(json.dumps(made_with).encode()).hexdigest()[:16]


def _tiles(slide, mask: np.ndarray, stain: Stain, source: TileSource, tiling: Tiles, folder: Path) -> list[list]:
    """Write the tiles with tissue that hold nothing labelled already."""
    to_px = slide.mpp / TILE_MPP
    n = scale_for(slide.mpp, TILE_MPP).n
    size = (max(1, round(slide.size[0] * to_px)), max(1, round(slide.size[1] * to_px)))
    width, height = min(tiling.tile, size[0]), min(tiling.tile, size[1])
    if min(width, height) < SMALLEST:
        return []
    areas = regions(mask, size, tiling.region_min, tiling.region_max, tiling.regions)
    tiles = []
    for x, y in tile_grid(areas, size, tiling.tile):
        box = shapely.box(x / to_px, y / to_px, (x + width) / to_px, (y + height) / to_px)
        tissue = _share(mask, (x / size[0], y / size[1], (x + width) / size[0], (y + height) / size[1]))
        if tissue < tiling.tissue or box.intersects(source.labelled):
            continue
        pixels = read_at(slide, (x, y, width, height), to_px, n)
        name = f"{source.set}-{source.name}-{x}-{y}"
        write_png(folder / "images" / f"{name}.png", pixels)
        tiles.append([name, x, y, round(tissue, 3), round(nuclear_density(pixels, stain), 4)])
    return tiles


def _share(mask: np.ndarray, box: tuple[float, float, float, float]) -> float:
    """Share of tissue within fractions left, top, right, bottom of an overview."""
    left, right = (int(v * mask.shape[1]) for v in box[::2])
    top, bottom = (int(v * mask.shape[0]) for v in box[1::2])
    return float(mask[top:max(bottom, top + 1), left:max(right, left + 1)].mean())
