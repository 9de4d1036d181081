"""Milliseconds per 1000 nuclei from maps to instances, to outlines, and all the way to measured candidates.  Prints one JSON line.

    python benchmarks/post_processing.py
"""

from __future__ import annotations

import json
import time

import cv2
import numpy as np

from hemalum.instances import Parameters, instances
from hemalum.outlines import outlines
from hemalum.postprocess import Settings, tile_nuclei
from hemalum.tiling import plan_tiles

SIDE = 1024  # map px
SETTINGS = Settings(0.45, 0.4, 1.5, 5.0, 25.0, 2, True, ((0.65, 0.7, 0.29), (0.07, 0.99, 0.11)))


def synthetic_maps(seed: int = 1, pitch: int = 35) -> np.ndarray:
    """Foreground and distance of about 850 ellipses of 5–8 µm at 0.25 µm per map px, some of them touching (2×1024×1024)."""
    rng = np.random.default_rng(seed)
    maps = np.zeros((2, SIDE, SIDE), np.float32)
    for y in range(pitch // 2, SIDE, pitch):
        for x in range(pitch // 2, SIDE, pitch):
            cx, cy = x + rng.uniform(-7, 7), y + rng.uniform(-7, 7)
            a, b, turn = rng.uniform(12, 17), rng.uniform(9, 14), rng.uniform(0, np.pi)
            rows, cols = np.mgrid[max(0, y - 26) : min(SIDE, y + 27), max(0, x - 26) : min(SIDE, x + 27)]
            u = (cols - cx) * np.cos(turn) + (rows - cy) * np.sin(turn)
            v = (rows - cy) * np.cos(turn) - (cols - cx) * np.sin(turn)
            depth = np.clip(1 - np.hypot(u / a, v / b), 0, 1)
            part = maps[:, rows[0, 0] : rows[-1, 0] + 1, cols[0, 0] : cols[0, -1] + 1]
            part[0] = np.maximum(part[0], depth > 0)
            part[1] = np.maximum(part[1], depth)
    maps[0] = cv2.GaussianBlur(maps[0], (0, 0), 1.0)
    return maps


def measure(repeats: int = 7) -> dict:
    """The best of `repeats` rounds on one thread, each divided by the nuclei found."""
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        maps = synthetic_maps()
        pixels = np.random.default_rng(2).integers(60, 240, (SIDE // 2, SIDE // 2, 3), dtype=np.uint8)
        plan = plan_tiles((SIDE // 2, SIDE // 2), 0.5, 0.5, core=SIDE // 2, halo=0)
        parameters = Parameters(SETTINGS.foreground, SETTINGS.marker, SETTINGS.sigma, SETTINGS.min_area_um2 * 16, 8.0, 100.0)
        labels = instances(maps[0], maps[1], parameters)
        stages = {
            "instances": lambda: instances(maps[0], maps[1], parameters),
            "outlines": lambda: outlines(labels),
            "tile_nuclei": lambda: tile_nuclei(maps, pixels, plan.tiles[0], plan, SETTINGS),
        }
        result = {"nuclei": int(labels.max())}
        for name, stage in stages.items():
            stage()  # compiled or loaded outside the measurement
            seconds = []
            for _ in range(repeats):
                started = time.perf_counter()
                stage()
                seconds.append(time.perf_counter() - started)
            result[f"{name}_ms_per_1000"] = round(min(seconds) * 1e6 / result["nuclei"], 2)
        return result
    finally:
        cv2.setNumThreads(threads)


if __name__ == "__main__":
    print(json.dumps(measure()))
