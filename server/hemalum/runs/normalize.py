"""One image in, the same image in another stain out: what `hemalum normalize` does to each of its inputs.

>>> with open_slide("slide.svs") as slide:                                       # doctest: +SKIP
...     result = normalize(slide, "out", "macenko", REFERENCE)
>>> result.output                                                                # doctest: +SKIP
PosixPath('out/slide.png')
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from hemalum.errors import UnreadableImage
from hemalum.files import whole_file
from hemalum.grid.tiling import Rect
from hemalum.runs.record import Stopwatch, record
from hemalum.runs.results import commit_record
from hemalum.slides import Slide, write_pyramid
from hemalum.slides.narrowing import SMALLEST, narrowed
from hemalum.stain.estimation import Stain, estimate
from hemalum.stain.table import apply_table, colour_table
from hemalum.stain.tissue import never_scanned, tissue_mask

LONGEST_PNG = 20_000  # px; beyond, few programs open a PNG
ROWS, COLUMNS = 512, 4096  # px read at once
TYPICAL_MPP = 0.25  # assumed where unknown, and only to judge how coarse an overview is


@dataclass(frozen=True)
class NormalizedFile:
    """`output`: the file written; `failed`: sentences, one for each area that could not be decoded (left in background
    colour)."""

    output: Path
    failed: list[str]


def stain_of(slide: Slide, method: str) -> Stain:
    """The stain of a slide, from its overview."""
    overview = slide.overview()
    mask = tissue_mask(overview)
    if slide.unread is not None:
        mask &= ~slide.unread
    return estimate(overview, mask, method, mpp=slide.overview_downsample * (slide.mpp or TYPICAL_MPP))


def output_of(slide: Slide, folder: str | Path) -> Path:
    """Where `normalize` writes: `<stem>.png`, above 20,000 px `<stem>.ome.tif`."""
    return Path(folder) / (slide.name + (".png" if max(slide.size) <= LONGEST_PNG else ".ome.tif"))


def normalize(
    slide: Slide,
    folder: str | Path,
    method: str,
    reference: Stain,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> NormalizedFile:
    """Write a slide in the reference's stain, and `<stem>.run.json` beside it.

    Args:
        slide: open; its level 0 is read once, from top to bottom.
        folder: exists.
        method: one of `hemalum.stain.METHODS`.
        reference: the stain to show it in.
        progress: called with rows done and rows in all.

    Raises:
        UnreadableImage: nothing of the image can be decoded.
        NotWritable, DiskFull: the disk is full or cannot be written; no half-written file stays.
    """
    watch = Stopwatch()
    with watch("stain"):
        stain = stain_of(slide, method)
        table = None if method == "none" or stain.note else colour_table(stain, reference)
    if stain.note and method != "none":
        slide.notices.append(f"{stain.note.split(';')[0]}; the colours are left as they are")
    width, height = slide.size
    failed: list[str] = []
    black: list[int] = []

    def rows(y: int, count: int) -> np.ndarray:
        out = np.empty((count, width, 3), np.uint8)
        for x in range(0, width, COLUMNS):
            rect = Rect(x, y, min(COLUMNS, width - x), count)
            with watch("read"):
                pixels = _read(slide, rect, failed)
            with watch("colour"):
                out[:, x : x + rect.width] = pixels if table is None else apply_table(pixels, table)
                hole = None if table is None else never_scanned(pixels)
                if hole is not None:
                    out[:, x : x + rect.width][hole] = slide.background
                    black.append(int(hole.sum()))
        progress(y + count, height)
        return out

    output, profile = output_of(slide, folder), _profile(slide)
    with watch("all but stain"):
        if output.suffix == ".png":
            _write_png(output, slide, rows, profile)
        else:
            write_pyramid(output, slide.size, rows, mpp=slide.mpp, icc_profile=profile)
    if black:
        share = sum(black) / (width * height)
        slide.notices.append(f"{share:.1%} of the image is black that was never scanned; it is shown as background")
    seconds = watch.seconds
    seconds["write"] = round(seconds.pop("all but stain") - seconds.get("read", 0) - seconds.get("colour", 0), 3)
    content = record(
        "normalize",
        image=slide.record(),
        parameters={"stain": method},
        stain=stain.record(),
        reference=reference.record(),
        outputs=[output.name],
        failed=failed,
        seconds=seconds,
    )
    commit_record(output.with_name(slide.name + ".run.json"), content)
    return NormalizedFile(output, failed)


def _read(slide: Slide, rect: Rect, failed: list[str]) -> np.ndarray:
    """The pixels of `rect`; what cannot be decoded gets the background colour and is named in `failed`."""
    longest = max(rect.width, rect.height)
    sides = (longest, SMALLEST) if longest > SMALLEST else (SMALLEST,)

    def read(part: Rect) -> np.ndarray:
        return slide.read(Rect(rect.x + part.x, rect.y + part.y, part.width, part.height))

    out = np.empty((rect.height, rect.width, 3), np.uint8)
    for part, pixels in narrowed(read, (rect.width, rect.height), sides):
        if isinstance(pixels, UnreadableImage):
            failed.append(str(pixels))
            pixels = np.array(slide.background, np.uint8)
        out[part.y : part.y + part.height, part.x : part.x + part.width] = pixels
    return out


def _profile(slide: Slide) -> bytes | None:
    """The ICC profile of the input where it is one of RGB, as the result is."""
    profile = slide.icc_profile
    if profile is None or profile[16:20] == b"RGB ":
        return profile
    slide.notices.append("the ICC profile is not one of RGB and is left out")
    return None


def _write_png(path: Path, slide: Slide, rows: Callable[[int, int], np.ndarray], profile: bytes | None) -> None:
    width, height = slide.size
    image = Image.new("RGB", slide.size)  # filled strip by strip: one copy of the image in memory, not two
    for y in range(0, height, ROWS):
        image.paste(Image.fromarray(rows(y, min(ROWS, height - y))), (0, y))
    resolution = {"dpi": (25400 / slide.mpp,) * 2} if slide.mpp else {}
    with whole_file(path) as file:
        image.save(file.path(), format="PNG", compress_level=3, icc_profile=profile, **resolution)
