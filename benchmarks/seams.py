"""The same nuclei from another tile size and from a shifted grid, none counted twice, none lost.

On the bundled slide region.  Matched one to one at IoU > 0.7.  Lost: seen whole in the maps of two neighbours, but
covered by no nucleus of the result.  Prints one JSON line.

    python benchmarks/seams.py [--models DIR] [--model ID] [--slide FILE]
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import json
from pathlib import Path

import numpy as np
import shapely

import hemalum
import hemalum.runs.planning
from hemalum.grid.resample import model_tile
from hemalum.grid.tiling import Plan, plan_tiles
from hemalum.models import find
from hemalum.nuclei.from_maps import tile_nuclei
from hemalum.nuclei.nuclei import UNIT, Nuclei
from hemalum.runs.events import NucleiFound, Parameters
from hemalum.runs.pipeline import Pipeline, drive, image_info
from hemalum.slides import open_slide

SLIDE = Path(hemalum.__file__).parent / "data" / "CMU-1-Small-Region.svs"


def nuclei_of(pipeline, model, slide, core: int, offset=(0, 0)) -> Nuclei:
    """The nuclei with a given tile core and grid offset, model px."""
    # users cannot shift the grid; this benchmark can
    hemalum.runs.planning.plan_tiles = functools.partial(plan_tiles, offset=offset)
    try:
        run = open_run(pipeline, model, slide, core)
    finally:
        hemalum.runs.planning.plan_tiles = plan_tiles
    return Nuclei.concat([event.nuclei for event in drive(run, slide.read) if isinstance(event, NucleiFound)])


def open_run(pipeline, model, slide, core: int):
    parameters = Parameters(core=core, skip_glass=False, measure=False)
    return pipeline.run(model, image_info(slide), slide.overview(), parameters)


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


class Wide(Plan):
    """A plan whose tiles report all that they see."""

    @property
    def margin(self) -> float:
        return float(self.halo)


def seen_whole(run, slide, tile) -> Nuclei:
    """All that a tile sees, but for what its window cuts."""
    plan = run.plan
    wide = Wide(**{field.name: getattr(plan, field.name) for field in dataclasses.fields(plan) if field.init})
    pixels = model_tile(slide.read(tile.read, plan.scale.n), tile, plan)
    nuclei = tile_nuclei(run.engine.maps(pixels[None])[0], pixels, tile, wide, settings=run.settings)
    left, top, width, height = (value * plan.to_level0 for value in plan.window(tile))
    right, bottom = left + width, top + height
    x0, y0, x1, y1 = nuclei.boxes().T / UNIT
    cut = ((x0 <= left) & (left > 0)) | ((y0 <= top) & (top > 0))
    cut |= ((x1 >= right) & (right < slide.size[0])) | ((y1 >= bottom) & (bottom < slide.size[1]))
    return nuclei.take(~cut)


def lost(pipeline, model, slide, core: int, result: Nuclei) -> int:
    """Nuclei that two neighbours see whole and alike (IoU > 0.5), and that one answers for, but `result` has not."""
    run = open_run(pipeline, model, slide, core)
    run.cancel()
    plan = run.plan
    seen = [seen_whole(run, slide, tile) for tile in plan.tiles]
    final = result.polygons()
    tree, missing = shapely.STRtree(final), 0
    for tile in plan.tiles:
        ours = seen[tile.index].polygons()
        for neighbour in plan.neighbours(tile):
            if neighbour.index < tile.index:
                continue
            theirs = seen[neighbour.index].polygons()
            i, j = shapely.STRtree(theirs).query(ours, predicate="intersects")
            both = shapely.area(shapely.intersection(ours[i], theirs[j]))
            twice = ours[i[both > 0.5 * (shapely.area(ours[i]) + shapely.area(theirs[j]) - both)]]
            cores = shapely.union(*(shapely.box(*plan.bounds(one, 0)) for one in (tile, neighbour)))
            twice = twice[shapely.contains(cores, shapely.centroid(twice))]
            i, j = tree.query(twice, predicate="intersects")
            shared = shapely.area(shapely.intersection(twice[i], final[j]))
            there = i[shared > 0.5 * np.minimum(shapely.area(twice[i]), shapely.area(final[j]))]
            missing += len(twice) - len(np.unique(there))
    return missing


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", action="append", default=[])
    parser.add_argument("--model", default="nuclei")
    parser.add_argument("--slide", type=Path, default=SLIDE)
    arguments = parser.parse_args()
    model = find(arguments.model, arguments.models)
    with Pipeline("cpu") as pipeline, open_slide(arguments.slide) as slide:
        core = model.card.core
        usual = nuclei_of(pipeline, model, slide, core)
        small = nuclei_of(pipeline, model, slide, core // 2)
        shifted = nuclei_of(pipeline, model, slide, core, offset=(core // 4, core // 2))
        missing = lost(pipeline, model, slide, core // 2, result=small)
    print(
        json.dumps(
            {
                "benchmark": "seams",
                "nuclei": len(usual),
                "other_tile_size": round(matched(usual, small), 4),
                "shifted_grid": round(matched(usual, shifted), 4),
                "counted_twice": max(map(counted_twice, (usual, small, shifted))),
                "lost_at_a_seam": missing,
            }
        )
    )


if __name__ == "__main__":
    main()
