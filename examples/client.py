"""Nuclei of pixels that exist only in memory, by a server: `python examples/client.py HOST:PORT`.

Start one with `hemalum serve`.  The client reads a tile when the server asks for one, and gets nuclei as they become
final.
"""

import sys

import numpy as np

from hemalum import Client
from hemalum.client.remote_run import PixelSource
from hemalum.grid.resample import box_mean
from hemalum.runs.events import Finished, ImageInfo, NucleiFound, Parameters


def picture(size: int = 512) -> np.ndarray:
    """uint8 size×size×3: pink tissue with purple discs of 8 µm at 0.25 µm/px."""
    pixels = np.full((size, size, 3), (232, 190, 214), np.uint8)
    y, x = np.mgrid[:size, :size]
    for row in range(40, size, 80):
        for column in range(40, size, 80):
            pixels[(x - column) ** 2 + (y - row) ** 2 < 16**2] = (84, 54, 140)
    return pixels


def main(address: str) -> None:
    pixels = picture()
    height, width = pixels.shape[:2]
    image = ImageInfo(width, height, mpp=0.25, mpp_source="known", identity="examples/client.py")

    def read(rect, n):  # box-meaned pixels of a level-0 rectangle
        return box_mean(pixels[rect.y : rect.y + rect.height, rect.x : rect.x + rect.width], n)

    with Client(address) as client:
        run = client.run_source(PixelSource(image, overview=pixels, read=read), "nuclei", Parameters(interactive=True))
        for event in run.events():
            if isinstance(event, NucleiFound):
                print(f"{len(event.nuclei)} nuclei, the first around {event.nuclei.centroids[:1].tolist()}")
            elif isinstance(event, Finished):
                print(f"{event.summary.nuclei} nuclei in {event.summary.seconds['total']:.1f} s")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "localhost:50051")
