"""A TIFF with any tags whatever, so that every kind of pixels can be generated."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np

SHORT, LONG, RATIONAL, BYTES = 3, 4, 5, 7
LONGS = {256, 257, 273, 278, 279, 322, 323, 324, 325}
RATIONALS = {282, 283, 529, 532}
WIDTH, HEIGHT, BITS, COMPRESSION, PHOTOMETRIC, FILL_ORDER = 256, 257, 258, 259, 262, 266
OFFSETS, SAMPLES, ROWS, COUNTS, PLANAR = 273, 277, 278, 279, 284
TILE_WIDTH, TILE_HEIGHT, TILE_OFFSETS, TILE_COUNTS = 322, 323, 324, 325
COLOUR_MAP, EXTRA, FORMAT, COEFFICIENTS, SUBSAMPLING, BLACK_WHITE = 320, 338, 339, 529, 530, 532


def packed(plane: np.ndarray, bits: int) -> bytes:
    """Rows of numbers h×n, each row padded to whole bytes, as TIFF stores `bits` bits a number."""
    if bits >= 8:
        return plane.astype({8: "u1", 16: "<u2", 32: "<f4"}[bits]).tobytes()
    digits = (plane[..., None].astype(np.uint8) >> np.arange(bits - 1, -1, -1, dtype=np.uint8)) & 1
    return np.packbits(digits.reshape(len(plane), -1), axis=1).tobytes()


def chunks_of(pixels: np.ndarray, bits: int, planar: int = 1, tile: int | None = None) -> list[bytes]:
    """Numbers h×w×samples in one strip, or in square tiles; plane by plane where `planar` is 2."""
    planes = [pixels[..., i : i + 1] for i in range(pixels.shape[2])] if planar == 2 else [pixels]
    found = []
    for plane in planes:
        height, width, samples = plane.shape
        if tile is None:
            found.append(packed(plane.reshape(height, width * samples), bits))
            continue
        padded = np.pad(plane, ((0, -height % tile), (0, -width % tile), (0, 0)), mode="edge")
        for y in range(0, height, tile):
            for x in range(0, width, tile):
                part = padded[y : y + tile, x : x + tile]
                found.append(packed(part.reshape(tile, tile * samples), bits))
    return found


def write(
    path: Path,
    pixels: np.ndarray,
    photometric: int | None,
    bits: int = 8,
    *,
    extra=None,
    planar: int = 1,
    tile: int | None = None,
    tags: dict | None = None,
    encode=lambda chunk: chunk,
    missing=(),
) -> Path:
    """Write numbers h×w×samples.

    Args:
        photometric: the tag, None to leave it out.  extra: values of ExtraSamples.  tile: side, or None for one strip.
        tags: further ones, replacing what is written otherwise.  encode: compresses a chunk.
        missing: numbers of chunks that get no place and no length.
    """
    height, width, samples = pixels.shape
    chunks = [encode(chunk) for chunk in chunks_of(pixels, bits, planar, tile)]
    every: dict[int, object] = {
        WIDTH: width, HEIGHT: height, BITS: [bits] * samples, COMPRESSION: 1, SAMPLES: samples, PLANAR: planar,
    }  # fmt: skip
    if photometric is not None:
        every[PHOTOMETRIC] = photometric
    if extra is not None:
        every[EXTRA] = list(extra)
    if bits == 32:
        every[FORMAT] = [3] * samples
    body, offsets = b"", []
    for i, chunk in enumerate(chunks):
        offsets.append(0 if i in missing else 8 + len(body))
        body += b"" if i in missing else chunk + b"\0" * (len(chunk) % 2)
    counts = [0 if i in missing else len(chunk) for i, chunk in enumerate(chunks)]
    if tile is None:
        every |= {OFFSETS: offsets, COUNTS: counts, ROWS: height}
    else:
        every |= {TILE_WIDTH: tile, TILE_HEIGHT: tile, TILE_OFFSETS: offsets, TILE_COUNTS: counts}
    path.write_bytes(_file(body, {**every, **(tags or {})}))
    return path


def _file(body: bytes, tags: dict) -> bytes:
    start = 8 + len(body)
    behind = start + 2 + 12 * len(tags) + 4
    entries, values = b"", b""
    for tag, value in sorted(tags.items()):
        content = value if isinstance(value, (list, tuple, bytes)) else [value]
        if isinstance(content, bytes):
            kind, data = BYTES, content
        elif tag in RATIONALS:
            kind, data = RATIONAL, b"".join(struct.pack("<II", round(v * 1000), 1000) for v in content)
        else:
            kind = LONG if tag in LONGS else SHORT
            data = struct.pack(f"<{len(content)}{'I' if kind == LONG else 'H'}", *content)
        if len(data) > 4:
            place = struct.pack("<I", behind + len(values))
            values += data + b"\0" * (len(data) % 2)
        else:
            place = data.ljust(4, b"\0")
        entries += struct.pack("<HHI", tag, kind, len(content)) + place
    return b"II*\0" + struct.pack("<I", start) + body + struct.pack("<H", len(tags)) + entries + bytes(4) + values
