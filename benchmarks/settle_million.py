"""A million nuclei from a synthetic source through settle and the GeoJSON sink: seconds and peak memory.

The source gives each tile's candidates with its halo, so that every seam has duplicates to settle.  Prints one JSON
line.

    python benchmarks/settle_million.py [--nuclei 1000000]
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path

import numpy as np

from hemalum.grid.tiling import plan_tiles
from hemalum.nuclei.measure import shape_columns
from hemalum.nuclei.nuclei import UNIT, Nuclei
from hemalum.nuclei.settle import Settler
from hemalum.runs.record import peak_memory
from hemalum.runs.writing import PlanOrder
from hemalum.sinks import GeoJsonSink, Target

PITCH = 24  # px between centres at 0.5 µm/px: 12 µm, dense tissue
VERTICES = 32


def candidates(plan, tile) -> Nuclei:
    """Nuclei on a jittered lattice whose centroid lies in the core or 2 µm around it: the same seen from every tile."""
    left, top, right, bottom = plan.bounds(tile, plan.margin)
    cols = np.arange(max(0, int(left // PITCH)), int(right // PITCH) + 1)
    rows = np.arange(max(0, int(top // PITCH)), int(bottom // PITCH) + 1)
    col, row = (grid.ravel().astype(np.uint64) for grid in np.meshgrid(cols, rows))
    noise = (col * np.uint64(73856093) ^ row * np.uint64(19349663)) * np.uint64(2654435761) & np.uint64(0xFFFFFFFF)
    x = (col + 0.5) * PITCH + (noise % np.uint64(64)).astype(float) / 8 - 4
    y = (row + 0.5) * PITCH + ((noise >> np.uint64(8)) % np.uint64(64)).astype(float) / 8 - 4
    radius = 5 + ((noise >> np.uint64(16)) % np.uint64(32)).astype(float) / 8
    angles = np.linspace(0, 2 * np.pi, VERTICES, endpoint=False)
    across, down = radius[:, None] * np.cos(angles), 0.8 * radius[:, None] * np.sin(angles)
    points = np.stack([x[:, None] + across, y[:, None] + down], -1)
    vertices = np.rint(points * UNIT).astype(np.int32).clip(0).reshape(-1, 2)
    nuclei = Nuclei.of(vertices, np.arange(len(x) + 1) * VERTICES, tile=tile.index)
    nuclei.edge = plan.edge_distance(tile, nuclei.centroids)
    nuclei.columns = shape_columns(nuclei.vertices, nuclei.offsets, plan.image_mpp)
    cx, cy = nuclei.centroids.T
    return nuclei.take((cx >= left) & (cx < right) & (cy >= top) & (cy < bottom))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--nuclei", type=int, default=1_000_000)
    arguments = parser.parse_args()
    side = int(arguments.nuclei**0.5 * PITCH)
    plan = plan_tiles((side, side), 0.5, 0.5)
    warm = plan_tiles((512, 512), 0.5, 0.5)
    with tempfile.TemporaryDirectory() as folder:
        _through(warm, Path(folder) / "warm.geojson")  # compiled loops are loaded outside the time taken
        started = time.perf_counter()
        written, removed, stages = _through(plan, Path(folder) / "million.geojson")
        seconds = time.perf_counter() - started
        size = (Path(folder) / "million.geojson").stat().st_size
    print(
        json.dumps(
            {
                "benchmark": "settle_million",
                "nuclei": written,
                "duplicates": removed,
                "seconds": round(seconds, 1),
                **stages,
                "peak_gb": round(peak_memory() / 1e9, 3),
                "file_gb": round(size / 1e9, 3),
            }
        )
    )


def _through(plan, path: Path) -> tuple[int, int, dict]:
    width, height = plan.image_size
    columns = tuple(shape_columns(np.zeros((0, 2), np.int32), np.zeros(1, np.int64), 1.0))
    sink = GeoJsonSink(path, Target(width, height, plan.image_mpp, "benchmark", "benchmark", columns))
    written, seen, seconds = 0, 0, {"source_s": 0.0, "settle_s": 0.0, "write_s": 0.0}

    def write(nuclei: Nuclei) -> None:
        nonlocal written
        start = time.perf_counter()
        sink.write(nuclei, nuclei.ids("benchmark", "benchmark"))
        seconds["write_s"] += time.perf_counter() - start
        written += len(nuclei)

    order, settler = PlanOrder(len(plan.tiles), write), Settler(plan)
    for tile in plan.tiles:
        start = time.perf_counter()
        nuclei = candidates(plan, tile)
        middle = time.perf_counter()
        final = settler.add(tile, nuclei)
        settled = settler.take_settled()
        seconds["source_s"] += middle - start
        seconds["settle_s"] += time.perf_counter() - middle
        seen += len(nuclei)
        order.found(final)
        for index in settled:
            order.settled(index)
    sink.close()
    return written, seen - written, {name: round(value, 1) for name, value in seconds.items()}


if __name__ == "__main__":
    main()
