"""What can be decoded of a damaged image: squares that cannot are read in smaller ones.

>>> def read(rect):
...     if rect.x < 5 <= rect.x + rect.width:
...         raise UnreadableImage("damaged at x = 5")
...     return "pixels"
>>> for rect, pixels in narrowed(read, (8, 4), (8, 4, 2)):
...     print(tuple(rect), pixels)
(0, 0, 4, 4) pixels
(4, 0, 2, 2) damaged at x = 5
(6, 0, 2, 2) pixels
(4, 2, 2, 2) damaged at x = 5
(6, 2, 2, 2) pixels
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from hemalum.errors import UnreadableImage
from hemalum.grid.tiling import Rect

SMALLEST = 256  # px: an area that cannot be decoded is narrowed down to this

Pixels = TypeVar("Pixels")


def narrowed(
    read: Callable[[Rect], Pixels], size: tuple[int, int], sides: Sequence[int], patience: int | None = None
) -> Iterator[tuple[Rect, Pixels | UnreadableImage]]:
    """Read an area square by square, from left to right and top to bottom.

    Args:
        read: gives the pixels of a rectangle inside the area.
        size: width and height of the area, px.
        sides: of the squares, px, falling: a square that cannot be decoded is read again in squares of the next side.
        patience: failures before the first success, and at the end, after which the error is raised; None: it never is.

    Yields:
        rectangles inside the area, each with its pixels, or with the error where it cannot be decoded.
    """
    width, height = size
    side = sides[0]
    todo = [(x, y, 0) for y in range(0, height, side) for x in range(0, width, side)][::-1]
    good = bad = 0
    while todo:
        x, y, level = todo.pop()
        side = sides[level]
        rect = Rect(x, y, min(side, width - x), min(side, height - y))
        last = level + 1 == len(sides)
        try:
            pixels = read(rect)
        except UnreadableImage as error:
            bad += 1
            if patience is not None and not good and (bad > patience or (last and not todo)):
                raise
            if last:
                yield rect, error
            else:
                smaller = range(0, side, sides[level + 1])
                parts = [(x + dx, y + dy, level + 1) for dy in smaller for dx in smaller]
                todo += [part for part in parts if part[0] < width and part[1] < height][::-1]
        else:
            good += 1
            yield rect, pixels
