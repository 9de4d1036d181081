"""Throughput with two post-processing processes against one, when the engine needs 20 ms a tile.

A stub engine replays the maps of real tiles at the pace of a GPU; everything behind it is the real pipeline.  Prints
one JSON line.

    python benchmarks/replay.py [--models DIR] [--model ID] [--tiles 40]
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np

import hemalum
from hemalum.engine import TileQueue, open_engine
from hemalum.engine.workers import Workers
from hemalum.grid.resample import model_tile
from hemalum.grid.tiling import plan_tiles
from hemalum.models import find
from hemalum.runs.events import Finished, ImageInfo, Parameters
from hemalum.runs.pipeline import drive
from hemalum.runs.run import Place, Run
from hemalum.slides import open_slide

SLIDE = Path(hemalum.__file__).parent / "data" / "CMU-1-Small-Region.svs"


class Replay:
    """An engine that gives stored maps after 20 ms of sleep, which costs no core, as a GPU would."""

    device, precision, batch = "replay", "fp32", 1

    def __init__(self, stored: list[np.ndarray], seconds: float):
        self.notices: list[str] = []
        self._stored, self._seconds, self._next = stored, seconds, 0

    def maps(self, tiles: np.ndarray) -> np.ndarray:
        time.sleep(self._seconds)
        self._next += 1
        return self._stored[self._next % len(self._stored)]


def stored_maps(model) -> list[np.ndarray]:
    """Maps of the three tiles of the bundled region that hold the most nuclei."""
    engine = open_engine(model, "cpu")
    with open_slide(SLIDE) as slide:
        plan = plan_tiles(slide.size, slide.mpp, model.card.mpp, core=model.card.core, halo=model.card.halo)
        maps = [engine.maps(model_tile(slide.read(tile.read, plan.scale.n), tile, plan)[None]) for tile in plan.tiles]
    full = plan.tile_shape * model.card.output_scale
    maps = [m for m in maps if m.shape[2] == m.shape[3] == full]
    return sorted(maps, key=lambda m: -float((m[0, 0] > 0.5).mean()))[:3]


def throughput(model, stored: list[np.ndarray], workers: int, tiles: int, seconds: float) -> tuple[float, int]:
    """Tiles per second, and nuclei found, with `workers` post-processing processes."""
    core, margin = model.card.core, 2 * model.card.halo
    side = core * tiles // 4 + margin, core * 4 + margin  # every tile of full size
    image = ImageInfo(*side, model.card.mpp, "benchmark", "benchmark")
    overview = np.full((64, 64, 3), 240, np.uint8)
    with TileQueue() as queue, Workers(workers, processes=True) as pool:
        pool.warm()
        run = Run(
            place=Place(queue, Replay(stored, seconds), pool),
            model=model,
            image=image,
            overview=overview,
            parameters=Parameters(skip_glass=False, core=core),
        )
        blank: dict = {}

        def read(rect, n):
            return blank.setdefault((rect.height, rect.width), np.full((rect.height, rect.width, 3), 200, np.uint8))

        started = time.perf_counter()
        for event in drive(run, read):
            if isinstance(event, Finished):
                summary = event.summary
        assert not summary.failed, summary.failed
        return len(run.plan.tiles) / (time.perf_counter() - started), summary.nuclei


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", action="append", default=[])
    parser.add_argument("--model", default="nuclei")
    parser.add_argument("--tiles", type=int, default=40)
    parser.add_argument("--milliseconds", type=float, default=20.0)
    arguments = parser.parse_args()
    model = find(arguments.model, arguments.models)
    stored = stored_maps(model)
    seconds = arguments.milliseconds / 1000
    one, nuclei = throughput(model, stored, 1, arguments.tiles, seconds=seconds)
    two, same = throughput(model, stored, 2, arguments.tiles, seconds=seconds)
    print(
        json.dumps(
            {
                "benchmark": "replay",
                "tiles_per_s_1": round(one, 2),
                "tiles_per_s_2": round(two, 2),
                "ratio": round(two / one, 3),
                "nuclei": nuclei,
                "identical": nuclei == same,
            }
        )
    )


if __name__ == "__main__":
    main()
