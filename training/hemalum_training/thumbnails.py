"""A page of thumbnails, to be looked at."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

SIDE, CAPTION, COLUMNS, ROWS = 128, 14, 10, 8


def thumbnail_page(pictures: list[tuple[Path | np.ndarray, str]], path: Path, seed: int = 0) -> None:
    """Write a PNG with at most 80 pictures (files, or uint8 h×w×3), drawn evenly, and the line below each."""
    if len(pictures) > COLUMNS * ROWS:
        drawn = np.random.default_rng(seed).choice(len(pictures), COLUMNS * ROWS, replace=False)
        pictures = [pictures[i] for i in sorted(drawn)]
    rows = max(1, -(-len(pictures) // COLUMNS))
    page = Image.new("RGB", (COLUMNS * (SIDE + 4), rows * (SIDE + CAPTION + 4)), "white")
    pen = ImageDraw.Draw(page)
    for index, (picture, caption) in enumerate(pictures):
        x, y = index % COLUMNS * (SIDE + 4), index // COLUMNS * (SIDE + CAPTION + 4)
        image = Image.fromarray(picture) if isinstance(picture, np.ndarray) else Image.open(picture).convert("RGB")
        image.thumbnail((SIDE, SIDE))
        page.paste(image, (x, y))
        pen.text((x, y + SIDE), caption[:24], fill="black")
    page.save(path)
