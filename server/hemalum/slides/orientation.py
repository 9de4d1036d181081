"""What a file says of how its picture is to be turned (EXIF and TIFF tag 274).

The frame is QuPath's, whose readers of plain images take the pixels as they are stored; turning them here would put
every nucleus elsewhere.  So the pixels stay, and it is said.

>>> turned(1), turned(6)
([], ['the file asks to be shown turned by 90° clockwise; its pixels are taken as they are stored, as QuPath does'])
"""

from __future__ import annotations

TURNS = {
    2: "mirrored from left to right",
    3: "turned by 180°",
    4: "mirrored from top to bottom",
    5: "mirrored and turned by 90° counterclockwise",
    6: "turned by 90° clockwise",
    7: "mirrored and turned by 90° clockwise",
    8: "turned by 90° counterclockwise",
}


def turned(orientation) -> list[str]:
    """A sentence where the tag asks for another orientation than the stored one."""
    turn = TURNS.get(orientation)
    if turn is None:
        return []
    return [f"the file asks to be shown {turn}; its pixels are taken as they are stored, as QuPath does"]
