"""What a file's resolution fields are worth.

Cameras and editors write 72, 96 or 300 dpi into everything; as µm/px these are 353, 265 and 85.  Only values that a
microscope can have (0.05–4 µm/px) count; what was stated and does not count is kept as a sentence.

>>> by_size(0.25, 0.25, "OME")
Resolution(mpp=0.25, source='OME', doubt='', advice='')
>>> by_size(0.5, 1.0, "OME").doubt
'states 0.5 × 1 µm/px, which is not square'
>>> by_density(72, 72, "inch", "PNG pHYs").doubt
'states 353 µm/px (72 px per inch), which no microscope has'
>>> micrometres(r"\\u00B5m"), micrometres("Microns"), micrometres("pixel")
(1.0, 1.0, None)
"""

from __future__ import annotations

import math
import re
from typing import NamedTuple

from hemalum.grid.tiling import LARGEST_MPP, SMALLEST_MPP

UNITS = {
    "m": 1e6, "meter": 1e6, "metre": 1e6,
    "cm": 1e4, "centimeter": 1e4, "centimetre": 1e4,
    "mm": 1e3, "millimeter": 1e3, "millimetre": 1e3,
    "µm": 1.0, "um": 1.0, "micron": 1.0, "micrometer": 1.0, "micrometre": 1.0, "mum": 1.0,
    "nm": 1e-3, "nanometer": 1e-3, "nanometre": 1e-3,
    "å": 1e-4, "angstrom": 1e-4, "pm": 1e-6,
    "in": 25400.0, "inch": 25400.0, "inches": 25400.0,
}  # fmt: skip
UNCOUNTED = ("", "pixel", "pixels", "px", "none", "null", "reference frame")  # units that are no length
USUAL = ((0.2, 0.28), (0.43, 0.57))  # µm/px of 40× and 20× scans
UNEVEN = 0.1  # the two axes may differ by this share


class Resolution(NamedTuple):
    """What a field says.

    Attributes:
        mpp: µm/px, or None.  source: the field's name, "" where `mpp` is None.
        doubt: "" or what follows a file's name in a sentence: what it states that cannot be used.
        advice: "" or a sentence on a value that can be used and is odd.
    """

    mpp: float | None = None
    source: str = ""
    doubt: str = ""
    advice: str = ""


NOTHING = Resolution()


def by_size(x, y, source: str, wording: str = "") -> Resolution:
    """From the size of a pixel in µm (numbers or their text; y None: as x).  `wording`: as the file puts it."""
    try:
        width = _number(x)
        height = width if y is None else _number(y)
    except (TypeError, ValueError):
        return Resolution(doubt=f"states a resolution of {x!r}, which is no number")
    wording = wording and f" ({wording})"
    if not all(math.isfinite(side) and side > 0 for side in (width, height)):
        return Resolution(doubt=f"states {width:g} × {height:g} µm/px{wording}, which is no resolution")
    if abs(width - height) > UNEVEN * max(width, height):
        return Resolution(doubt=f"states {_short(width)} × {_short(height)} µm/px{wording}, which is not square")
    if not all(SMALLEST_MPP <= side <= LARGEST_MPP for side in (width, height)):
        return Resolution(doubt=f"states {_short(width)} µm/px{wording}, which no microscope has")
    return Resolution(width if width == height else (width + height) / 2, source)


def by_density(x, y, unit: str, source: str) -> Resolution:
    """From px per unit of length, rounded to 6 digits since files hold whole px per metre; nothing where it is 0."""
    try:
        across = _number(x)
        down = across if y is None else _number(y)
        sides = UNITS[unit] / across, UNITS[unit] / down
    except (TypeError, ValueError, ZeroDivisionError):
        return NOTHING
    found = by_size(*sides, source, f"{_short(across)} px per {unit}")
    if found.mpp is None:
        return found
    return found._replace(mpp=round(found.mpp, 6), advice=mistaken_unit(found.mpp, unit))


def first_of(*found: Resolution) -> Resolution:
    """The first that can be used, with the first doubt before it."""
    doubts: list[str] = []
    for each in found:
        if each.mpp is not None:
            return each._replace(doubt=doubts[0] if doubts else "")
        if each.doubt:
            doubts.append(each.doubt)
    return Resolution(doubt=doubts[0] if doubts else "")


def micrometres(unit: str) -> float | None:
    """The length of a unit, or None where it is not known; µ is understood however a program wrote it."""
    text = re.sub(r"\\u([0-9a-fA-F]{4})", lambda match: chr(int(match[1], 16)), unit.strip())
    text = text.replace("Â", "").replace("\N{GREEK SMALL LETTER MU}", "µ").replace("\N{REPLACEMENT CHARACTER}", "µ")
    text = text.lower().replace("\N{GREEK SMALL LETTER MU}", "µ")
    return UNITS.get(text, UNITS.get(text.removesuffix("s")))


def mistaken_unit(mpp: float, unit: str) -> str:
    """ "" or a sentence, where px per inch and px per centimetre seem to have been taken for each other."""
    other = {"inch": "cm", "cm": "inch"}.get(unit, "")
    if not other:
        return ""
    swapped = mpp * UNITS[other] / UNITS[unit]
    if _usual(mpp) or not _usual(swapped):
        return ""
    return (
        f"the file states {mpp:.3g} µm/px in px per {unit}; per {other} it would be {swapped:.3g}, as scans usually "
        "have: if nuclei look wrong, give --mpp"
    )


def _short(number: float) -> str:
    """Three digits, or all before the point."""
    return f"{number:.3g}" if number < 1000 else f"{number:.0f}"


def _usual(mpp: float) -> bool:
    return any(low <= mpp <= high for low, high in USUAL)


def _number(value) -> float:
    return float(value.strip().replace(",", ".") if isinstance(value, str) else value)
