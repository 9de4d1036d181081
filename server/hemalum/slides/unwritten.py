"""Tiles and strips of a TIFF page that were never written: their offset or length is 0.  They are glass, not black.

>>> tiles = Unwritten(np.array([[True, False], [False, False]]), 4, 4)
>>> tiles.within(2, 2, 3, 3).astype(int).tolist()
[[1, 1, 0], [1, 1, 0], [0, 0, 0]]
"""

from __future__ import annotations

import numpy as np
import tifffile


class Unwritten:
    """Where a page has no pixels.

    Attributes:
        missing: bool rows × columns of chunks (tiles or strips).  height, width: of a chunk, px.
    """

    def __init__(self, missing: np.ndarray, height: int, width: int):
        self.missing, self.height, self.width = missing, height, width

    def within(self, x: int, y: int, width: int, height: int) -> np.ndarray | None:
        """Bool height×width, True where nothing was written; None where all was."""
        rows, columns = np.arange(y, y + height) // self.height, np.arange(x, x + width) // self.width
        if not self.missing[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].any():
            return None
        return self.missing[np.ix_(rows, columns)]


def unwritten(page: tifffile.TiffPage) -> Unwritten | None:
    """Which chunks of a page were never written, or None where all were.

    A chunk that has a length but no place gets the length 0, so that nobody decodes the file's head as pixels.
    """
    offsets, counts = np.asarray(page.dataoffsets), np.asarray(page.databytecounts)
    keyframe = page.keyframe
    height, width = (
        (keyframe.tilelength, keyframe.tilewidth)
        if keyframe.is_tiled
        else (keyframe.rowsperstrip or keyframe.imagelength, keyframe.imagewidth)
    )
    rows, columns = -(-keyframe.imagelength // height), -(-keyframe.imagewidth // width)
    planes = keyframe.samplesperpixel if keyframe.planarconfig == 2 else 1
    if len(offsets) != rows * columns * planes or len(counts) != len(offsets):
        return None
    missing = (offsets == 0) | (counts == 0)
    if not missing.any():
        return None
    page.databytecounts = tuple(int(count) for count in np.where(missing, 0, counts))
    return Unwritten(missing.reshape(planes, rows, columns).any(axis=0), height, width)
