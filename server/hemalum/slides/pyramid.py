"""`write_pyramid`: a tiled, pyramidal OME-TIFF of any size, written row of tiles by row of tiles.

Level k + 1 is the 2 × 2 box mean of level k.  It is collected in a temporary file beside the output while level k is
written, so that memory holds a few rows of tiles and each pixel is asked for once.

>>> import numpy as np, tempfile, pathlib
>>> from hemalum.slides import open_slide
>>> with tempfile.TemporaryDirectory() as folder:
...     path = pathlib.Path(folder) / "grey.ome.tif"
...     write_pyramid(path, (900, 700), lambda y, h: np.full((h, 900, 3), 200, np.uint8), mpp=0.25, smallest=256)
...     with open_slide(path) as slide:
...         [tuple(level) for level in slide.levels], slide.mpp
([(900, 700, 1), (450, 350, 2), (225, 175, 4)], 0.25)
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from hemalum.files import whole_file
from hemalum.grid.resample import box_mean

TILE = 512


def write_pyramid(
    path: str | Path,
    size: tuple[int, int],
    strip: Callable[[int, int], np.ndarray],
    mpp: float | None = None,
    quality: int | None = 90,
    smallest: int = 1024,
    icc_profile: bytes | None = None,
) -> None:
    """Write a pyramid; the file appears under its name only when it is complete.

    Args:
        path: output, `.ome.tif`.
        size: width, height of level 0.
        strip: gives rows y…y + h of level 0 as uint8 h×width×3; called once per row of tiles, from top to bottom.
        mpp: µm/px for the OME header, or None.
        quality: JPEG quality; None stores without loss (deflate).
        smallest: levels are added until both sides are at most this.
        icc_profile: what to say of the colours, of RGB.

    Raises:
        NotWritable: the file cannot be made.  DiskFull: the disk is full or cannot be written any more; nothing is left
            behind.
        Whatever `strip` raises.
    """
    import tifffile  # here, so that reading other formats does not wait for it

    path = Path(path)
    width, height = size
    sizes = [(width, height)]
    while max(width, height) > smallest:
        width, height = -(-width // 2), -(-height // 2)
        sizes.append((width, height))
    options: dict[str, Any] = {"dtype": "uint8", "tile": (TILE, TILE), "photometric": "rgb"}
    if quality is None:
        options |= {"compression": "zlib", "predictor": True}
    else:  # colour at full resolution: halving it would smear the rims of nuclei
        options |= {"compression": "jpeg", "compressionargs": {"level": quality}, "subsampling": (1, 1)}
    header: dict[str, Any] = {"subifds": len(sizes) - 1, "metadata": {"axes": "YXS"}}
    if icc_profile is not None:
        header["iccprofile"] = icc_profile
    if mpp is not None:
        header["metadata"] |= {
            "PhysicalSizeX": mpp,
            "PhysicalSizeY": mpp,
            "PhysicalSizeXUnit": "µm",
            "PhysicalSizeYUnit": "µm",
        }
        header |= {"resolution": (1e4 / mpp, 1e4 / mpp), "resolutionunit": "CENTIMETER"}
    with whole_file(path) as file, ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix=".hemalum-", dir=path.parent)))
        out = stack.enter_context(tifffile.TiffWriter(file.path(), bigtiff=True, ome=True))
        rows = strip
        for index, (width, height) in enumerate(sizes):
            halved = stack.enter_context(open(folder / str(index), "w+b")) if index + 1 < len(sizes) else None
            own = header if index == 0 else {"subfiletype": 1}
            out.write(_tiles(rows, width, height, halved), shape=(height, width, 3), **options, **own)
            rows = _rows_of(halved, -(-width // 2))


def _tiles(strip, width: int, height: int, halved):
    """Tiles of a level from left to right and top to bottom, padded to full size; the next level goes to `halved` on
    the way."""
    for y in range(0, height, TILE):
        rows = strip(y, min(TILE, height - y))
        if rows.shape != (min(TILE, height - y), width, 3) or rows.dtype != np.uint8:
            raise ValueError(f"rows {y}… are {rows.dtype} {rows.shape}, not uint8 {(min(TILE, height - y), width, 3)}")
        if halved is not None:
            halved.write(box_mean(rows, 2).data)
        for x in range(0, width, TILE):
            tile = rows[:, x : x + TILE]
            missing = TILE - tile.shape[0], TILE - tile.shape[1]
            yield (
                np.pad(tile, ((0, missing[0]), (0, missing[1]), (0, 0)), mode="edge")
                if any(missing)
                else np.ascontiguousarray(tile)
            )


def _rows_of(file, width: int):
    def strip(y: int, height: int) -> np.ndarray:
        file.seek(y * width * 3)
        return np.frombuffer(file.read(height * width * 3), np.uint8).reshape(height, width, 3)

    return strip
