"""Milliseconds of one core from maps to measured outlines, per 1000 nuclei, on a tile as slides have it (576 µm).

The cost has a part per pixel and a part per nucleus, so there are two tiles: dense tissue, eight fields of breast cancer (tests/data,
or --images) laid side by side until the tile is full; and sparse tissue, the first tile of the bundled region.

Prints one JSON line; `stages_ms` says where the time of one tile goes.

    python benchmarks/postprocess.py [--models DIR] [--model ID] [--images FILE... --mpp F] [--repeats 5]
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import cv2
import numpy as np

import hemalum
from hemalum.engine import open_engine
from hemalum.grid.resample import model_tile
from hemalum.grid.tiling import plan_tiles
from hemalum.models import find
from hemalum.nuclei import instances, measure, outlines
from hemalum.nuclei.from_maps import MapSettings, tile_nuclei
from hemalum.slides import open_slide

SLIDE = Path(hemalum.__file__).parent / "data" / "CMU-1-Small-Region.svs"
IMAGES = sorted((Path(__file__).parent.parent / "tests" / "data" / "nucls_sample" / "images").glob("*.png"))


def milliseconds(function, repeats: int) -> float:
    """The least time of this thread alone, so that other work on the machine counts little."""
    taken = []
    for _ in range(repeats + 1):
        start = time.thread_time()
        function()
        taken.append(time.thread_time() - start)
    return 1000 * min(taken[1:])


def mosaic(fields: list[np.ndarray], side: int) -> np.ndarray:
    """A square of `side` px laid with the fields, row by row."""
    low = min(min(field.shape[:2]) for field in fields)
    count = -(-side // low)
    squares = [fields[i % len(fields)][:low, :low] for i in range(count * count)]
    rows = [np.concatenate(squares[row * count : (row + 1) * count], axis=1) for row in range(count)]
    return np.ascontiguousarray(np.concatenate(rows)[:side, :side])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", action="append", default=[])
    parser.add_argument("--model", default="nuclei")
    parser.add_argument("--images", nargs="+", type=Path, default=IMAGES)
    parser.add_argument("--mpp", type=float, default=0.25)
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    model = find(arguments.model, arguments.models)
    card, limits = model.card, model.card.thresholds
    settings = MapSettings(
        limits["foreground"],
        limits["marker"],
        limits["sigma"],
        limits["min_area_um2"],
        card.largest_nucleus_um,
        card.output_scale,
        True,
        ((0.651, 0.701, 0.29), (0.216, 0.801, 0.558)),
        limits.get("part_um2", 0.0),
    )
    engine = open_engine(model, "cpu")
    side = card.core + 2 * card.halo
    fields = []
    for path in arguments.images:
        with open_slide(path, arguments.mpp) as slide:
            plan = plan_tiles(slide.size, slide.mpp, card.mpp, core=card.core, halo=card.halo)
            fields += [model_tile(slide.read(tile.read, plan.scale.n), tile, plan) for tile in plan.tiles]
    with open_slide(SLIDE) as slide:
        plan = plan_tiles(slide.size, slide.mpp, card.mpp, core=card.core, halo=card.halo)
        sparse = model_tile(slide.read(plan.tiles[0].read, plan.scale.n), plan.tiles[0], plan)
    plan = plan_tiles((side, side), card.mpp, card.mpp, core=card.core, halo=card.halo)
    work = [(engine.maps(pixels[None])[0], pixels, plan.tiles[0], plan, settings) for pixels in (mosaic(fields, side), sparse)]
    found = [len(tile_nuclei(*one)) for one in work]
    taken = [milliseconds(lambda one=one: tile_nuclei(*one), arguments.repeats) for one in work]
    maps, pixels, *_ = work[0]
    map_um = plan.mpp / card.output_scale
    parameters = instances.InstanceParameters(
        limits["foreground"],
        limits["marker"],
        limits["sigma"],
        limits["min_area_um2"] / map_um**2,
        largest=card.largest_nucleus_um / map_um,
        part=limits.get("part_um2", 0.0) / map_um**2,
    )
    labels = instances.instances(maps[0], maps[1], parameters)
    ring = outlines.outlines(labels)
    count, vertices = int(labels.max()), np.rint(ring.points * 4).astype(np.int32)
    stages = {
        "instances": lambda: instances.instances(maps[0], maps[1], parameters),
        "outlines": lambda: outlines.outlines(labels),
        "shape": lambda: measure.shape_columns(vertices, ring.offsets, 0.5),
        "probability": lambda: measure.probability_means(labels, maps[0], count),
        "stains": lambda: measure.stain_columns(labels, pixels, card.output_scale, count, np.array(settings.stain_matrix)),
    }
    print(
        json.dumps(
            {
                "benchmark": "postprocess",
                "nuclei": found[0],
                "ms": round(taken[0], 1),
                "ms_per_1000": round(1000 * taken[0] / found[0], 1),
                "sparse": {"nuclei": found[1], "ms": round(taken[1], 1), "ms_per_1000": round(1000 * taken[1] / found[1], 1)},
                "stages_ms": {name: round(milliseconds(stage, arguments.repeats), 1) for name, stage in stages.items()},
            }
        )
    )


if __name__ == "__main__":
    main()
