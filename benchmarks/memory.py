"""Peak memory of `hemalum segment` on a generated 20,000² pyramid against a 5,000² one, each in its own process.

Prints one JSON line.

    python benchmarks/memory.py [--models DIR] [--model ID] [--large 20000] [--small 5000]
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

import hemalum
from hemalum.grid.tiling import Rect
from hemalum.slides import open_slide, write_pyramid

SLIDE = Path(hemalum.__file__).parent / "data" / "CMU-1-Small-Region.svs"


def generate(path: Path, side: int) -> None:
    """A pyramid of side × side px at 0.25 µm/px: the middle of the bundled region again and again, mirrored."""
    with open_slide(SLIDE) as slide:
        patch = slide.read(Rect(200, 600, 1600, 1600), 1)
    patch = np.vstack([np.hstack([patch, patch[:, ::-1]]), np.hstack([patch[::-1], patch[::-1, ::-1]])])
    wide = np.hstack([patch] * -(-side // patch.shape[1]))[:, :side]

    def rows(y: int, height: int) -> np.ndarray:
        return wide[np.arange(y, y + height) % len(wide)]

    write_pyramid(path, (side, side), rows, mpp=0.25)


def peak(path: Path, out: Path, arguments) -> dict:
    """The run record of a segmentation in a fresh process."""
    command = [
        sys.executable,
        "-m",
        "hemalum.cli.main",
        "segment",
        str(path),
        "-o",
        str(out),
        "--model",
        arguments.model,
        "--json",
        "--format",
        arguments.format,
    ]
    for folder in arguments.models:
        command += ["--models", folder]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)[0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", action="append", default=[])
    parser.add_argument("--model", default="nuclei")
    parser.add_argument("--format", default="geojson")
    parser.add_argument("--large", type=int, default=20_000)
    parser.add_argument("--small", type=int, default=5_000)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        sizes = {}
        for name in ("small", "large"):
            side = getattr(arguments, name)
            path = Path(folder) / f"{name}.ome.tif"
            generate(path, side)
            record = peak(path, Path(folder) / "out", arguments)
            sizes[name] = {
                "side": side,
                "peak_mb": record["peak_memory_mb"],
                "nuclei": record["counts"]["nuclei"],
                "seconds": record["seconds"]["total"],
            }
            path.unlink()
    ratio = sizes["large"]["peak_mb"] / sizes["small"]["peak_mb"]
    print(json.dumps({"benchmark": "memory", **sizes, "ratio": round(ratio, 3)}))


if __name__ == "__main__":
    main()
