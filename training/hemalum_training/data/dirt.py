"""What lies on a slide and is no nucleus: dust, which is round, dark and as large as one, and pen.

>>> pixels, covered = soiled(np.full((64, 64, 3), 230, np.uint8), np.random.default_rng(1))
>>> pixels.shape, bool(covered.any()), bool((pixels[~covered].mean() > pixels[covered].mean()))
((64, 64, 3), True, True)
"""

from __future__ import annotations

import cv2
import numpy as np

PENS = ((20, 20, 30), (20, 60, 140), (20, 110, 70), (150, 20, 40))   # black, blue, green, red


def soiled(pixels: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Dust or a stroke of pen on a picture, uint8 H×W×3 at 0.25 µm/px, and where it hides the tissue, bool H×W."""
    cover = np.zeros(pixels.shape[:2], np.float32)
    if rng.random() < 0.7:
        colour = rng.integers(0, 70) + rng.integers(-12, 13, 3)
        for _ in range(int(rng.integers(1, 25))):
            _speck(cover, rng)
    else:
        colour = np.array(PENS[rng.integers(len(PENS))]) + rng.integers(-15, 16, 3)
        ends = rng.uniform(-0.2, 1.2, (int(rng.integers(2, 4)), 2)) * cover.shape[::-1]
        cv2.polylines(cover, [ends.astype(np.int32)], False, 1.0, int(rng.integers(20, 120)), cv2.LINE_AA)
    cover = cv2.GaussianBlur(cover, (0, 0), rng.uniform(0.6, 3.0)) * rng.uniform(0.85, 1.0)
    shown = pixels * (1 - cover[..., None]) + np.clip(colour, 0, 255) * cover[..., None]
    return shown.astype(np.uint8), cover > 0.4


def _speck(cover: np.ndarray, rng: np.random.Generator) -> None:
    height, width = cover.shape
    centre = int(rng.integers(width)), int(rng.integers(height))
    radius = rng.uniform(4, 22)
    axes = max(int(radius), 1), max(int(radius * rng.uniform(0.6, 1.0)), 1)
    cv2.ellipse(cover, centre, axes, float(rng.uniform(0, 180)), 0, 360, 1.0, -1, cv2.LINE_AA)
