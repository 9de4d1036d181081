"""The same nuclei from the same tissue cut out a few pixels further: odd shifts, unaligned crops and parts of a pixel.

A picture is cut out once at an odd place and again up to 31 px further, each cut is segmented as an image of its own,
and nuclei whose centroid lies well inside both are matched one to one at IoU > 0.7.  Prints one JSON line.

    python benchmarks/odd_shifts.py [--models DIR] [--model ID] [--mpp F] [--precision int8|fp32] [IMAGE...]
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

import cv2
import numpy as np
import shapely
from PIL import Image
from seams import SLIDE, nuclei_of

from hemalum.grid.tiling import Rect
from hemalum.models import find
from hemalum.runs.pipeline import Pipeline
from hemalum.slides import open_slide

SHIFTS = (          # px, down and right
    (0, 1), (3, 2), (5, 11), (8, 8), (13, 7), (16, 0), (17, 29), (31, 23), (0.5, 0), (0.25, 0.75), (2.5, 6.25),
)
REGION = Rect(600, 900, 700, 700)    # of the bundled slide, px
START = 3           # px: no stride divides it
REACH = 32          # px that every cut leaves of the picture
RIM_UM = 20.0       # nuclei nearer to the rim of what both cuts show are not compared: it cuts them or what is around


def cut(pixels: np.ndarray, down: float, right: float) -> np.ndarray:
    """uint8 h×w×3 beginning `down` and `right` px further than `START`; parts of a pixel by cubic interpolation."""
    height, width = pixels.shape[0] - REACH - START, pixels.shape[1] - REACH - START
    y, x = int(down), int(right)
    whole = pixels[START + y:START + y + height, START + x:START + x + width]
    if (y, x) == (down, right):
        return np.ascontiguousarray(whole)
    matrix = np.array([[1, 0, START + right], [0, 1, START + down]])
    flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(pixels, matrix, (width, height), flags=flags, borderMode=cv2.BORDER_REFLECT_101)


def outlines(pipeline: Pipeline, model, pixels: np.ndarray, mpp: float, folder: Path) -> np.ndarray:
    """Polygons of the nuclei of a picture as an image of its own, in its px."""
    path = folder / "cut.png"
    Image.fromarray(pixels).save(path, compress_level=1)
    with open_slide(path, mpp) as slide:
        return nuclei_of(pipeline, model, slide, model.card.core).polygons()


def matched(first: np.ndarray, second: np.ndarray, inside: shapely.Polygon) -> float:
    """Matched pairs ÷ the mean number of nuclei, of polygons whose centroid lies inside."""
    first, second = (shapes[shapely.contains(inside, shapely.centroid(shapes))] for shapes in (first, second))
    if not len(first) or not len(second):
        return 1.0 if len(first) == len(second) else 0.0
    i, j = shapely.STRtree(second).query(first, predicate="intersects")
    both = shapely.area(shapely.intersection(first[i], second[j]))
    ratio = both / (shapely.area(first[i]) + shapely.area(second[j]) - both)
    return 2 * int((ratio > 0.7).sum()) / (len(first) + len(second))


def steadiness(pipeline: Pipeline, model, pixels: np.ndarray, mpp: float, shifts=SHIFTS) -> list[float]:
    """Share of nuclei found again after each shift."""
    with tempfile.TemporaryDirectory() as folder:
        usual = outlines(pipeline, model, cut(pixels, 0, 0), mpp, Path(folder))
        height, width = cut(pixels, 0, 0).shape[:2]
        rim, found = RIM_UM / mpp, []
        for down, right in shifts:
            again = outlines(pipeline, model, cut(pixels, down, right), mpp, Path(folder))
            again = shapely.transform(again, lambda points, by=(right, down): points + by)
            found.append(matched(usual, again, shapely.box(right + rim, down + rim, width - rim, height - rim)))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", action="append", default=[])
    parser.add_argument("--model", default="nuclei")
    parser.add_argument("--mpp", type=float)
    parser.add_argument("--precision", default="auto")
    parser.add_argument("images", nargs="*", type=Path, default=[SLIDE])
    arguments = parser.parse_args()
    model, found = find(arguments.model, arguments.models), []
    with Pipeline("cpu", precision=arguments.precision) as pipeline:
        for path in arguments.images:
            with open_slide(path, arguments.mpp) as slide:
                pixels = slide.read(Rect(0, 0, *slide.size) if path != SLIDE else REGION)
                found.append(steadiness(pipeline, model, pixels, slide.mpp))
    by_shift = np.mean(found, 0)
    print(
        json.dumps(
            {
                "benchmark": "odd_shifts",
                "model": f"{model.id} {model.card.version}",
                "images": len(found),
                "mean": round(float(by_shift.mean()), 4),
                "worst": round(float(by_shift.min()), 4),
                "by_shift": {
                    f"{down:g},{right:g}": round(float(value), 4)
                    for (down, right), value in zip(SHIFTS, by_shift, strict=True)
                },
            }
        )
    )


if __name__ == "__main__":
    main()
