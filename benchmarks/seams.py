"""The same nuclei from another tile size and from a shifted grid, and none counted twice, on the bundled slide region.

Matched one to one at IoU > 0.7.  Prints one JSON line.

    python benchmarks/seams.py [--models DIR] [--model ID] [--slide FILE]
"""

from __future__ import annotations

import argparse
import functools
import json
from pathlib import Path

import numpy as np
import shapely

import hemalum
import hemalum.run
from hemalum.events import NucleiFound, Parameters
from hemalum.models import find
from hemalum.nuclei import Nuclei
from hemalum.pipeline import Pipeline, drive, image_info
from hemalum.slides import open_slide
from hemalum.tiling import plan_tiles

SLIDE = Path(hemalum.__file__).parent / "data" / "CMU-1-Small-Region.svs"


def nuclei_of(pipeline, model, slide, core: int, offset=(0, 0)) -> Nuclei:
    """The nuclei with a given tile core and grid offset, model px."""
    hemalum.run.plan_tiles = functools.partial(plan_tiles, offset=offset)  # users cannot shift the grid; this benchmark can
    try:
        run = pipeline.run(model, image_info(slide), slide.overview(), Parameters(core=core, skip_glass=False, measure=False))
    finally:
        hemalum.run.plan_tiles = plan_tiles
    return Nuclei.concat([event.nuclei for event in drive(run, slide.read) if isinstance(event, NucleiFound)])


def matched(a: Nuclei, b: Nuclei, iou: float = 0.7) -> float:
    """Matched pairs ÷ the mean number of nuclei."""
    first, second = a.polygons(), b.polygons()
    i, j = shapely.STRtree(second).query(first, predicate="intersects")
    both = shapely.area(shapely.intersection(first[i], second[j]))
    ratio = both / (shapely.area(first[i]) + shapely.area(second[j]) - both)
    return 2 * int((ratio > iou).sum()) / (len(a) + len(b))  # above one half a pair is unique


def counted_twice(a: Nuclei) -> int:
    """Pairs of nuclei whose intersection covers more than half of the smaller one."""
    polygons = a.polygons()
    i, j = shapely.STRtree(polygons).query(polygons, predicate="intersects")
    i, j = i[i < j], j[i < j]
    shared = shapely.area(shapely.intersection(polygons[i], polygons[j]))
    return int((shared > 0.5 * np.minimum(shapely.area(polygons[i]), shapely.area(polygons[j]))).sum())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", action="append", default=[])
    parser.add_argument("--model", default="nuclei")
    parser.add_argument("--slide", type=Path, default=SLIDE)
    arguments = parser.parse_args()
    model = find(arguments.model, arguments.models)
    with Pipeline("cpu") as pipeline, open_slide(arguments.slide) as slide:
        usual = nuclei_of(pipeline, model, slide, 1024)
        small = nuclei_of(pipeline, model, slide, 512)
        shifted = nuclei_of(pipeline, model, slide, 1024, (256, 512))
    print(
        json.dumps(
            {
                "benchmark": "seams",
                "nuclei": len(usual),
                "other_tile_size": round(matched(usual, small), 4),
                "shifted_grid": round(matched(usual, shifted), 4),
                "counted_twice": max(map(counted_twice, (usual, small, shifted))),
            }
        )
    )


if __name__ == "__main__":
    main()
