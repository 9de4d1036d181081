"""A teacher's maps averaged over turns and shifts.

A network with strides sees each view a little otherwise, their mean is steadier.

>>> picture = np.arange(6).reshape(2, 3)
>>> turned = [turn(picture, view) for view in range(8)]
>>> all((turn_back(t, view) == picture).all() for view, t in enumerate(turned)), len({str(t) for t in turned})
(True, 8)
"""

from __future__ import annotations

import cv2
import numpy as np

from hemalum.grid.resample import box_mean

BORDER, MULTIPLE = 32, 64   # px at 0.25 µm/px


def turn(picture: np.ndarray, view: int) -> np.ndarray:
    """One of the eight turns and reflections of a picture, H×W×… ."""
    return np.ascontiguousarray(np.rot90(picture[:, ::-1] if view % 8 > 3 else picture, view % 4))


def turn_back(picture: np.ndarray, view: int) -> np.ndarray:
    """Undo `turn`."""
    back = np.rot90(picture, -(view % 4))
    return np.ascontiguousarray(back[:, ::-1] if view % 8 > 3 else back)


def averaged_maps(teacher, pixels: np.ndarray, views: int, seed: int) -> np.ndarray:
    """Mean of a teacher's maps over views, each turned otherwise and placed otherwise between the network's cells.

    Args:
        teacher: as `pseudo.teacher.Teacher`.
        pixels: uint8 H×W×3 at 0.25 µm/px.
        seed: of the shifts.

    Returns:
        float32 c×H×W at 0.25 µm/px.
    """
    height, width = pixels.shape[:2]
    rng, total = np.random.default_rng(seed), 0.0
    for view in range(views):
        top, left = (BORDER + int(v) for v in rng.integers(0, MULTIPLE, 2))
        bottom, right = BORDER - (top + height + BORDER) % -MULTIPLE, BORDER - (left + width + BORDER) % -MULTIPLE
        seen = turn(cv2.copyMakeBorder(pixels, top, bottom, left, right, cv2.BORDER_REFLECT_101), view)
        maps = teacher.maps(box_mean(seen, 2 // teacher.fold)[None])[0].transpose(1, 2, 0)
        total = total + turn_back(maps, view)[top:top + height, left:left + width].astype(np.float64)
    return np.ascontiguousarray((total / views).astype(np.float32).transpose(2, 0, 1))
