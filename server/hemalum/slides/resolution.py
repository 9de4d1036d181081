"""What a file's resolution fields are worth.

Cameras and editors write 72, 96 or 300 dpi into everything; as µm/px these are 353, 265 and 85.  Only values that a
microscope can have (0.05–4 µm/px) count.

>>> from_dpi(72), from_dpi(101600), plausible(0.4, 0.4)
(None, 0.25, 0.4)
"""

from __future__ import annotations

import math

from hemalum.grid.tiling import LARGEST_MPP, SMALLEST_MPP

UNITS = {
    "m": 1e6,
    "cm": 1e4,
    "mm": 1e3,
    "µm": 1.0,
    "μm": 1.0,
    "um": 1.0,
    "micron": 1.0,
    "microns": 1.0,
    "nm": 1e-3,
    "inch": 25400.0,
}


def plausible(x, y=None) -> float | None:
    """The mean of two µm/px values (numbers or their text) where both are plausible and differ by at most 10 %, else
    None."""
    try:
        x = float(x)
        y = x if y is None else float(y)
    except (TypeError, ValueError):
        return None
    if not all(math.isfinite(v) and SMALLEST_MPP <= v <= LARGEST_MPP for v in (x, y)) or abs(x - y) > 0.1 * max(x, y):
        return None
    return x if x == y else (x + y) / 2


def from_dpi(x, y=None) -> float | None:
    """µm/px from pixels per inch, or None where that is no microscope's; rounded to 6 digits, since files hold whole px
    per metre."""
    return from_density(x, y, 25400.0)


def from_density(x, y, micrometres: float) -> float | None:
    """µm/px from pixels per unit of `micrometres` length."""
    try:
        mpp = plausible(micrometres / float(x), None if y is None else micrometres / float(y))
    except (TypeError, ValueError, ZeroDivisionError):
        return None
    return None if mpp is None else round(mpp, 6)
