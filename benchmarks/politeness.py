"""A person's small run at a server, idle and while four batch clients keep it busy: p50 and p95 of one run of this
script.

The batch clients stand for other machines: they hold their pixels in memory, and their process gives way to others.
Prints one JSON line.

    python benchmarks/politeness.py [--models DIR] [--model ID] [--rounds 25] [--clients 4]
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import threading
import time
from functools import lru_cache
from pathlib import Path

import numpy as np

import hemalum
from hemalum.client.child import local_server
from hemalum.client.client import Client, PixelSource
from hemalum.grid.tiling import Rect
from hemalum.runs.events import Finished, ImageInfo, Parameters
from hemalum.runs.pipeline import image_info
from hemalum.slides import open_slide

SLIDE = Path(hemalum.__file__).parent / "data" / "CMU-1-Small-Region.svs"
FIELD = 512  # px of a person's field of view; at this slide's 0.5 µm/px a quarter of a millimetre


def field(slide) -> PixelSource:
    """The middle of the slide as an image of its own."""
    x, y = (side // 2 - FIELD // 2 for side in slide.size)
    pixels = slide.read(Rect(x, y, FIELD, FIELD), 1)
    image = ImageInfo(FIELD, FIELD, slide.mpp, "benchmark", "benchmark")
    return PixelSource(image, pixels, lambda rect, n: pixels)


def timed(client: Client, source: PixelSource, model: str) -> tuple[float, int]:
    """Seconds of an interactive run from the click to the last nucleus, and their number."""
    began = time.perf_counter()
    with client.run_source(source, model, Parameters(interactive=True)) as run:
        *_, last = run.events()
    return time.perf_counter() - began, last.summary.nuclei


def keep_busy(address: str, token: str, model: str, clients: int) -> None:
    """Batch runs on the whole slide from as many clients, until this process is ended; a line for every tile."""
    if hasattr(os, "nice"):
        os.nice(10)
    with open_slide(SLIDE) as slide:
        read = lru_cache(maxsize=None)(slide.read)
        source = PixelSource(image_info(slide), slide.overview(), read, slide.unread)

        def work() -> None:
            with Client(address, token=token) as client:
                while True:
                    with client.run_source(source, model, Parameters()) as run:
                        for event in run.events():
                            if not isinstance(event, Finished):
                                continue
                            print(event.summary.tiles, flush=True)

        threads = [threading.Thread(target=work, daemon=True) for _ in range(clients)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()


def figures(seconds: list[float]) -> dict[str, float]:
    p50, p95 = np.percentile(seconds, (50, 95))
    return {"p50_s": round(float(p50), 3), "p95_s": round(float(p95), 3)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", action="append", default=[])
    parser.add_argument("--model", default="nuclei")
    parser.add_argument("--rounds", type=int, default=25)
    parser.add_argument("--clients", type=int, default=4)
    parser.add_argument("--busy", nargs=2, metavar=("ADDRESS", "TOKEN"), help="only keep a server busy")
    arguments = parser.parse_args()
    if arguments.busy:
        keep_busy(*arguments.busy, arguments.model, arguments.clients)
        return
    with local_server(arguments.models) as (port, token), open_slide(SLIDE) as slide:
        address, source = f"127.0.0.1:{port}", field(slide)
        with Client(address, token=token) as client:
            timed(client, source, arguments.model)  # models and machine code are loaded
            idle = [timed(client, source, arguments.model) for _ in range(arguments.rounds)]
            command = [sys.executable, __file__, "--busy", address, token, "--model", arguments.model]
            busy = subprocess.Popen([*command, "--clients", str(arguments.clients)], stdout=subprocess.PIPE)
            try:
                busy.stdout.readline()  # the first batch run is through: everything is under way
                began = time.perf_counter()
                loaded = [timed(client, source, arguments.model) for _ in range(arguments.rounds)]
                seconds = time.perf_counter() - began
            finally:
                busy.kill()
                busy.wait()
                lines = busy.stdout.read().split()
    alone, among = (figures([seconds for seconds, _ in runs]) for runs in (idle, loaded))
    result = {
        "benchmark": "politeness",
        "idle": alone,
        "loaded": among,
        "p50_loaded_over_idle": round(among["p50_s"] / alone["p50_s"], 2),
        "p95_loaded_over_idle": round(among["p95_s"] / alone["p95_s"], 2),
        "batch_tiles_per_s": round(sum(map(int, lines)) / seconds, 2),
        "same_nuclei": len({nuclei for _, nuclei in [*idle, *loaded]}) == 1,
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
