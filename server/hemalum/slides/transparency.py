"""Transparent pixels over the background.

>>> composite(np.array([[[100, 0, 0, 128]]], np.uint8), (255, 255, 255)).tolist()
[[[177, 127, 127]]]
>>> composite(np.array([[[100, 0, 0, 128]]], np.uint8), (255, 255, 255), premultiplied=True).tolist()
[[[227, 127, 127]]]
"""

from __future__ import annotations

import numpy as np

SHOWN = "transparent pixels are shown over white"
IGNORED = "every pixel is transparent, as a program writes that leaves the channel empty; transparency is ignored"


def composite(pixels: np.ndarray, background: tuple[int, int, int], premultiplied: bool = False) -> np.ndarray:
    """uint8 h×w×4 (RGBA) over a colour: uint8 h×w×3.

    Args:
        premultiplied: the colours are multiplied by alpha already (TIFF's associated alpha).
    """
    alpha = pixels[..., 3:].astype(np.uint16)
    over = pixels[..., :3] * (np.uint16(255) if premultiplied else alpha)
    over = over.astype(np.uint32) + np.array(background, np.uint16) * (255 - alpha)
    return np.minimum((over + 127) // 255, 255).astype(np.uint8)
