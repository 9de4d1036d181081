"""Milliseconds of one core from maps to measured outlines, per 1000 nuclei, on a tile as slides have it (576 µm).

The cost has a part per pixel and a part per nucleus, so there are two tiles: dense tissue, eight fields of breast
cancer (tests/data, or --images) laid side by side until the tile is full; and sparse tissue, the first tile of the
bundled region.

Prints one JSON line; `stages_ms` says where the time of the dense tile goes, and `scikit_image_ms` what its watershed
takes with the same foreground and thresholds (no limit to growth), where it is installed.

    python benchmarks/postprocess.py [--models DIR] [--model ID] [--images FILE... --mpp F] [--repeats 5]
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np

import hemalum
from hemalum.engine import open_engine
from hemalum.grid.resample import model_tile
from hemalum.grid.tiling import plan_tiles
from hemalum.models import find
from hemalum.nuclei import measure
from hemalum.nuclei.from_maps import MapSettings, tile_nuclei
from hemalum.nuclei.instances import InstanceParameters, instances
from hemalum.nuclei.outlines import outlines
from hemalum.nuclei.watershed import watershed
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


def settings_of(card) -> MapSettings:
    """As a run with measurements would have them."""
    limits = card.thresholds
    return MapSettings(
        foreground=limits["foreground"],
        marker=limits["marker"],
        sigma=limits["sigma"],
        min_area_um2=limits["min_area_um2"],
        largest_nucleus_um=card.largest_nucleus_um,
        output_scale=card.output_scale,
        stain_matrix=((0.651, 0.701, 0.29), (0.216, 0.801, 0.558)),
        part_um2=limits.get("part_um2", 0.0),
    )


def dense_tile(paths: list[Path], mpp: float, card) -> np.ndarray:
    """A full tile laid with the images, uint8."""
    fields = []
    for path in paths:
        with open_slide(path, mpp) as slide:
            plan = plan_tiles(slide.size, slide.mpp, card.mpp, core=card.core, halo=card.halo)
            fields += [model_tile(slide.read(tile.read, plan.scale.n), tile, plan) for tile in plan.tiles]
    return mosaic(fields, card.core + 2 * card.halo)


def sparse_tile(card) -> np.ndarray:
    """The first tile of the bundled region, uint8."""
    with open_slide(SLIDE) as slide:
        plan = plan_tiles(slide.size, slide.mpp, card.mpp, core=card.core, halo=card.halo)
        return model_tile(slide.read(plan.tiles[0].read, plan.scale.n), plan.tiles[0], plan)


def scikit_image_watershed(maps: np.ndarray, parameters: InstanceParameters) -> np.ndarray:
    """The watershed of `hemalum.nuclei.watershed` by SciPy's labelling and scikit-image's flooding."""
    from scipy import ndimage
    from skimage.segmentation import watershed

    foreground, distance = maps
    mask = foreground > np.float32(parameters.foreground)
    smooth = cv2.GaussianBlur(distance, (0, 0), parameters.sigma)
    markers, _ = ndimage.label(mask & (smooth > np.float32(parameters.marker)))
    markers[np.bincount(markers.ravel())[markers] < parameters.min_marker] = 0
    levels = np.clip((1 - smooth) * np.float32(255), 0, 255).astype(np.uint8)
    return watershed(levels, markers, mask=mask, connectivity=1)


def our_watershed(maps: np.ndarray, parameters: InstanceParameters) -> np.ndarray:
    """The same by our own loops."""
    smooth = cv2.GaussianBlur(maps[1], (0, 0), parameters.sigma)
    labels, _ = watershed(
        maps[0], parameters.foreground, smooth, parameters.marker, min_marker=parameters.min_marker, reach=1e6
    )
    return labels


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
    card, settings = model.card, settings_of(model.card)
    engine = open_engine(model, "cpu")
    side = card.core + 2 * card.halo
    plan = plan_tiles((side, side), card.mpp, card.mpp, core=card.core, halo=card.halo)
    tiles = {}
    for name, pixels in (
        ("dense", dense_tile(arguments.images, arguments.mpp, card)),
        ("sparse", sparse_tile(card)),
    ):
        maps = engine.maps(pixels[None])[0]
        work = partial(tile_nuclei, maps, pixels, plan.tiles[0], plan, settings=settings)
        nuclei, taken = len(work()), milliseconds(work, arguments.repeats)
        tiles[name] = {"nuclei": nuclei, "ms": round(taken, 1), "ms_per_1000": round(1000 * taken / nuclei, 1)}
        if name == "dense":
            stages = stages_of(maps, pixels, plan.mpp / card.output_scale, settings)
    taken_by_stage = {name: round(milliseconds(stage, arguments.repeats), 1) for name, stage in stages.items()}
    result = {"benchmark": "postprocess", **tiles["dense"], "sparse": tiles["sparse"], "stages_ms": taken_by_stage}
    if "scikit_image" in taken_by_stage:
        result["scikit_image_ms"] = taken_by_stage.pop("scikit_image")
    print(json.dumps(result))


def stages_of(maps: np.ndarray, pixels: np.ndarray, map_um: float, settings: MapSettings) -> dict[str, Callable]:
    """What `tile_nuclei` does one after the other, as functions without arguments."""
    parameters = InstanceParameters(
        foreground=settings.foreground,
        marker=settings.marker,
        sigma=settings.sigma,
        min_area=settings.min_area_um2 / map_um**2,
        largest=settings.largest_nucleus_um / map_um,
        part=settings.part_um2 / map_um**2,
    )
    labels = instances(maps[0], maps[1], parameters)
    rings = outlines(labels)
    count, vertices = int(labels.max()), np.rint(rings.points * 4).astype(np.int32)
    matrix, scale = np.array(settings.stain_matrix), settings.output_scale
    stages: dict[str, Callable] = {
        "instances": lambda: instances(maps[0], maps[1], parameters),
        "watershed": lambda: our_watershed(maps, parameters),
        "outlines": lambda: outlines(labels),
        "shape": lambda: measure.shape_columns(vertices, rings.offsets, 0.5),
        "probability": lambda: measure.probability_means(labels, maps[0], count),
        "stains": lambda: measure.stain_columns(labels, pixels, scale, count, stain_matrix=matrix),
    }
    if find_spec("skimage") is not None:
        stages["scikit_image"] = lambda: scikit_image_watershed(maps, parameters)
    return stages


if __name__ == "__main__":
    main()
