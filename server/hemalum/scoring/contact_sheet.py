"""The worst first, to be looked at: reference and predicted outlines over the image, as one PNG and one HTML page.

A label image larger than 600 px is shown by the window in which most pixels are nucleus on one side only.  Lines lie on
the nuclei's own outermost pixels of the picture as shown, so they stay one pixel thin however far it is scaled.

>>> labels = np.zeros((4, 8), int); labels[:, :4] = 1
>>> picture = draw(labels, np.roll(labels, 2, axis=1), None, side=80)
>>> picture.size, [picture.getpixel((x, 20)) for x in (2, 59, 30, 75)]
((80, 40), [(215, 215, 215), (255, 230, 0), (170, 170, 170), (255, 255, 255)])
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw

from hemalum.scoring import pages
from hemalum.scoring.pages import escaped, figure, heading, table

REFERENCE, PREDICTED = (0, 200, 0), (255, 230, 0)
WINDOW = 600  # px of a label image that one picture shows at most
SIDE = 420  # px of a picture's longer side
SHOWN = 24  # pictures on the sheet


class Panel(NamedTuple):
    """One picture and the line above it."""

    picture: Image.Image
    caption: str


def worst_window(reference: np.ndarray, predicted: np.ndarray, side: int = WINDOW) -> tuple[int, int, int, int]:
    """x, y, width, height of the window of at most `side` px with the most pixels that are nucleus on one side only.

    >>> reference = np.zeros((100, 100), int); reference[70:80, 85:95] = 1
    >>> worst_window(reference, np.zeros_like(reference), 40)
    (60, 40, 40, 40)
    """
    height, width = reference.shape
    tall, wide = min(side, height), min(side, width)
    differs = (reference != 0) ^ (predicted != 0)
    worst, left, top = -1, 0, 0
    for y in _starts(height, tall, side):
        for x in _starts(width, wide, side):
            pixels = int(np.count_nonzero(differs[y : y + tall, x : x + wide]))
            if pixels > worst:
                worst, left, top = pixels, x, y
    return left, top, wide, tall


def _starts(whole: int, part: int, side: int) -> list[int]:
    """Where windows of `part` px begin: each a quarter of `side` after the one before, the last one at the end."""
    return [*range(0, whole - part, max(1, side // 4)), whole - part]


def draw(reference: np.ndarray, predicted: np.ndarray, pixels: np.ndarray | None, side: int = SIDE) -> Image.Image:
    """Reference outlines in green and predicted ones in yellow, over `pixels` (uint8 h×w×3) or over the nuclei in grey.

    Both in turns where they coincide.  Without pixels: light grey is nucleus on one side, dark grey on both.
    """
    height, width = reference.shape
    scale = side / max(height, width)
    shape = max(1, round(height * scale)), max(1, round(width * scale))
    y = ((np.arange(shape[0]) + 0.5) * height / shape[0]).astype(int)
    x = ((np.arange(shape[1]) + 0.5) * width / shape[1]).astype(int)
    reference, predicted = reference[np.ix_(y, x)], predicted[np.ix_(y, x)]
    if pixels is None:
        grey = np.array([255, 215, 170], np.uint8)[(reference != 0).astype(int) + (predicted != 0)]
        picture = np.repeat(grey[..., None], 3, axis=2)
    else:
        picture = np.array(Image.fromarray(pixels).resize(shape[::-1], Image.Resampling.LANCZOS))
    green, yellow = _outline(reference), _outline(predicted)
    dashes = np.add.outer(np.arange(shape[0]), np.arange(shape[1])) // 4 % 2 == 0
    picture[yellow] = PREDICTED
    picture[green & ~(yellow & dashes)] = REFERENCE
    return Image.fromarray(picture)


def _outline(labels: np.ndarray) -> np.ndarray:
    """Pixels of nuclei that touch, by a side, something else."""
    edge = np.zeros(labels.shape, bool)
    across, down = labels[:, 1:] != labels[:, :-1], labels[1:] != labels[:-1]
    edge[:, 1:] |= across
    edge[:, :-1] |= across
    edge[1:] |= down
    edge[:-1] |= down
    return edge & (labels != 0)


def panel(
    stem: str, row: dict[str, float], reference: np.ndarray, predicted: np.ndarray, read: Callable | None
) -> Panel:
    """The picture of one pair; `read(x, y, width, height)` gives the image's pixels there."""
    x, y, width, height = worst_window(reference, predicted)
    area = np.s_[y : y + height, x : x + width]
    caption = f"{stem}  AJI {row['AJI']:.3f}  PQ {row['PQ']:.3f}  {row['n_pred']} found of {row['n_ref']}"
    if (height, width) != reference.shape:
        caption += f"  at {x},{y}"
    pixels = read(x, y, width, height) if read else None
    return Panel(draw(reference[area], predicted[area], pixels), caption)


def sheet(panels: list[Panel]) -> Image.Image:
    """The panels in rows of up to four, each below its caption."""
    across = min(4, len(panels))
    down = -(-len(panels) // across)
    whole = Image.new("RGB", (across * (SIDE + 8) + 8, down * (SIDE + 28) + 8), "white")
    pen = ImageDraw.Draw(whole)
    for position, (picture, caption) in enumerate(panels):
        x, y = 8 + position % across * (SIDE + 8), 8 + position // across * (SIDE + 28)
        stem, *figures = caption.split("  ")
        line = "  ".join([stem if len(stem) <= 28 else f"{stem[:27]}…", *figures])
        pen.text((x, y + 2), line, fill="black")
        whole.paste(picture, (x, y + 18))
    return whole


def page(report: dict, panels: list[Panel]) -> str:
    """The report as HTML that needs no other file; `report` as `hemalum evaluate --json` prints it."""
    means = [[name, *interval] for name, interval in report["means"].items()]
    names = list(next(iter(report["images"].values())))
    images = []
    for stem, row in report["images"].items():
        images.append([stem, *(row[name] for name in names)])
    sentences = [f"<li>{escaped(sentence)}</li>" for sentence in [*report["failed"].values(), *report["notices"]]]
    return pages.page(
        "hemalum evaluate",
        heading(f"{len(images)} images", level=1),
        f"<p>{escaped(report['protocol'])}.</p><ul>{''.join(sentences)}</ul>",
        table(["", "mean", "low", "high"], means),
        heading("Worst first"),
        f'<p><i style="background:rgb{REFERENCE}"></i> reference, <i style="background:rgb{PREDICTED}"></i> predicted; '
        "dashed where they coincide</p>",
        *(figure(panel.picture, panel.caption, alt=f"outlines of {panel.caption}") for panel in panels),
        heading("All images"),
        table(["image", *names], images),
        style=f"figure{{width:{SIDE}px}}i{{display:inline-block;width:2em;height:.7em;border:1px solid #888}}",
    )
