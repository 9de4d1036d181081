"""All compiled loops, run once on a made-up tile, so that who runs first on a machine does not wait for the compiler.

What is compiled here is what runs use: the test asks that a run after this compiles nothing.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import cv2
import numpy as np

from hemalum.grid.resample import box_mean, model_tile
from hemalum.grid.tiling import plan_tiles
from hemalum.nuclei.from_maps import MapSettings, tile_nuclei
from hemalum.nuclei.nuclei import Nuclei
from hemalum.scoring.metrics import score
from hemalum.sinks import open_sinks
from hemalum.sinks.base import Target
from hemalum.sinks.labels import LARGEST_PNG
from hemalum.stain.estimation import DEFAULT_MATRIX, REFERENCE, estimate
from hemalum.stain.table import apply_table, colour_table
from hemalum.stain.tissue import tissue_mask

SIDE = 512  # px of the tile


def compile_all() -> int:
    """Run every compiled loop; returns the number of nuclei it found on the made-up tile (32)."""
    pixels, maps = picture()
    estimate(pixels, tissue_mask(pixels))
    apply_table(pixels, colour_table(REFERENCE, REFERENCE), threads=1)
    for mpp in (0.25, 0.1, 0.2):  # as it is, box means, resampled
        plan = plan_tiles((SIDE, SIDE), mpp, 0.25)
        tile = plan.tiles[0]
        rect = tile.read
        stored = np.ascontiguousarray(pixels[rect.y : rect.y + rect.height, rect.x : rect.x + rect.width])
        model_tile(box_mean(stored, plan.scale.n), tile, plan)
    plan = plan_tiles((SIDE, SIDE), 0.25, 0.25)
    settings = MapSettings(
        foreground=0.5,
        marker=0.35,
        sigma=1.0,
        min_area_um2=5.0,
        largest_nucleus_um=30.0,
        output_scale=1,
        stain_matrix=DEFAULT_MATRIX,
        part_um2=3.0,
    )
    nuclei = tile_nuclei(maps, pixels, plan.tiles[0], plan, settings)
    _write(nuclei, settings.columns)
    labels = np.zeros((SIDE, SIDE), np.int32)
    labels[8:40, 8:40], labels[8:40, 60:90] = 1, 2
    score(labels, np.roll(labels, 2, axis=1))
    return len(nuclei)


def picture() -> tuple[np.ndarray, np.ndarray]:
    """A tile of pairs of touching nuclei: pixels (uint8 512×512×3) and the maps of a network (float32 2×512×512)."""
    pixels = np.full((SIDE, SIDE, 3), (228, 165, 205), np.uint8)
    maps = np.zeros((2, SIDE, SIDE), np.float32)
    pixels[:64] = 245
    for y in range(128, SIDE - 64, 80):
        for x in range(64, SIDE - 64, 96):
            for side in (0, 26):
                cv2.circle(pixels, (x + side, y), 15, (80, 60, 130), -1)
                cv2.circle(maps[0], (x + side, y), 15, 0.9, -1)
                cone = np.hypot(*np.ogrid[-y : SIDE - y, -(x + side) : SIDE - x - side])
                maps[1] = np.maximum(maps[1], np.clip(1 - cone / 15, 0, 1))
    return pixels, maps


def _write(nuclei: Nuclei, columns: tuple[str, ...]) -> None:
    """Print coordinates and numbers; draw labels, as PNG and as TIFF."""
    formats = ["geojson", "labels"]
    with tempfile.TemporaryDirectory(prefix="hemalum-") as scratch:
        for width in (SIDE, LARGEST_PNG + 1):
            target = Target(width, SIDE, 0.25, "model", "image", columns, (0, 0, width, SIDE))
            sinks = open_sinks(formats, Path(scratch), "tile", target)
            for sink in sinks:
                sink.write(nuclei, nuclei.ids("model", "image"))
                sink.close()
