"""What the head of a JPEG 2000 file says, which Pillow's mode does not: bits of a sample, and the kind of colours.

Pillow opens 16-bit colour as 8-bit and lets white run over into black.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

SIZE = b"\xff\x4f\xff\x51"  # start of codestream, marker SIZ (ISO/IEC 15444-1, A.5.1)
COMPONENTS = 4 + 2 + 2 + 8 * 4  # bytes from there to the number of components
COLOURS = {12: "printing colours (CMYK)", 13: "printing colours (YCCK)", 14: "CIELAB colours"}  # EnumCS


class Head(NamedTuple):
    """`bits`: the most of any component, 0 where no codestream was found; `signed`: whether any is; `colours`: "" or
    the name of colours that are neither grey, RGB nor YCC."""

    bits: int
    signed: bool
    colours: str


def head_of(data: bytes) -> Head:
    """From the first bytes of a file, raw codestream or boxed.

    >>> head_of(SIZE + bytes(36) + bytes([0, 1, 15, 1, 1]))
    Head(bits=16, signed=False, colours='')
    """
    start = data.find(SIZE)
    kinds = []
    if start >= 0 and len(data) >= start + COMPONENTS + 2:
        (count,) = struct.unpack_from(">H", data, start + COMPONENTS)
        kinds = list(data[start + COMPONENTS + 2 :][: 3 * count : 3])
    colours = ""
    box = data.find(b"colr", 0, start if start >= 0 else None)
    if box >= 0 and data[box + 4 : box + 5] == b"\x01" and len(data) >= box + 11:
        colours = COLOURS.get(struct.unpack_from(">I", data, box + 7)[0], "")
    bits = max(((kind & 0x7F) + 1 for kind in kinds), default=0)
    return Head(bits, any(kind & 0x80 for kind in kinds), colours)
