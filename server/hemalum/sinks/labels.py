"""Label images: 0 = background, i = the i-th nucleus of the GeoJSON, drawn from the reported outlines.

Level-0 pixels by the pixel-centre rule; where two outlines share a pixel it goes to the higher rank at seams (farther
from its own tile's edge, then tile, y, x).  16-bit PNG of the image's own size; beyond 65,535 nuclei or 20,000 px a
tiled 32-bit TIFF.  Outlines wait in a file beside the target and are drawn strip by strip, so memory does not grow with
the slide's area.

>>> import tempfile
>>> from PIL import Image
>>> folder = tempfile.TemporaryDirectory()
>>> sink = LabelSink(Path(folder.name) / "a", Target(3, 2, 0.5, "m", "i"))
>>> sink.write(Nuclei.of(np.array([[8, 0], [24, 0], [24, 12], [8, 12]]), np.array([0, 4])), [""])
>>> sink.close()
>>> sink.paths[0].name, np.asarray(Image.open(sink.paths[0])).tolist()
('a.labels.png', [[0, 1, 1], [0, 0, 0]])
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from hemalum.compiled import compiled
from hemalum.files import PartFile
from hemalum.nuclei.nuclei import Nuclei
from hemalum.sinks.base import Target

LARGEST_PNG, MOST_PNG = 20_000, 65_535
STRIP = 512  # rows drawn at once, and the side of a TIFF tile


class LabelSink:
    """See `hemalum.sinks.base.Sink`; `stem` is the path without `.labels.png`."""

    def __init__(self, stem: Path, target: Target):
        self._stem, self._target = Path(stem), target
        self._spool = PartFile(self._stem.with_name(self._stem.name + ".spool"))
        self._columns: list[tuple[np.ndarray, ...]] = []
        self._count = 0
        self._image: PartFile | None = None
        self._other: Path | None = None
        self.paths: list[Path] = []

    def write(self, nuclei: Nuclei, ids: list[str]) -> None:
        """Remember nuclei.  Raises `DiskFull`."""
        if not len(nuclei):
            return
        boxes = nuclei.boxes()
        self._columns.append(
            (np.diff(nuclei.offsets), nuclei.edge, nuclei.tile, nuclei.centroids, boxes[:, 1], boxes[:, 3])
        )
        self._spool.write(nuclei.vertices.data.cast("B"))
        self._count += len(nuclei)

    def finish(self) -> None:
        """Draw the image.  Raises `DiskFull`."""
        if self._image is not None:
            return
        x, y, width, height = self._target.region or (0, 0, self._target.width, self._target.height)
        as_png = max(width, height) <= LARGEST_PNG and self._count <= MOST_PNG
        here, other = (self._stem.with_name(self._stem.name + ending) for ending in _endings(as_png))
        try:
            self._image = PartFile(here)
            self._vertices = self._spool.path()
            strips = self._strips(x, y, width, height)
            with self._image.guarded():
                if as_png:
                    _write_png(self._image, width, height, strips)
                else:
                    _write_tiff(self._image, width, height, self._target.mpp, strips)
            self._image.finish()
        except BaseException:
            self.abort()
            raise
        self._spool.abort()
        self.paths, self._other = [here], other

    def close(self) -> None:
        """Give the image its name.  Raises `DiskFull`."""
        self.finish()
        assert self._image is not None and self._other is not None
        self._image.commit()
        self._other.unlink(missing_ok=True)  # of an earlier run with another number of nuclei

    def abort(self) -> None:
        self._spool.abort()
        if self._image is not None:
            self._image.abort()

    def _strips(self, x: int, y: int, width: int, height: int) -> Iterator[np.ndarray]:
        """Strips of up to 512 rows, top to bottom, uint32."""
        if self._count:
            counts, edge, tile, centroids, top, bottom = (
                np.concatenate(column) for column in zip(*self._columns, strict=True)
            )
            vertices = np.memmap(self._vertices, np.int32, "r").reshape(-1, 2)
            offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(counts)])
            rank = np.empty(self._count, np.int64)
            rank[np.lexsort((centroids[:, 0], centroids[:, 1], tile, -edge))] = np.arange(self._count)
        for start in range(0, height, STRIP):
            strip = np.zeros((min(STRIP, height - start), width), np.uint32)
            if self._count:
                inside = np.flatnonzero((top < 8 * (y + start + len(strip))) & (bottom > 8 * (y + start)))
                inside = inside[np.argsort(-rank[inside])]  # the highest rank is drawn last, over the others
                if len(inside):
                    _draw(vertices, offsets, inside, x, y + start, strip)
            yield strip


def _endings(as_png: bool) -> tuple[str, str]:
    """That of the image, and the one that it could have had."""
    png, tiff = ".labels.png", ".labels.tif"
    return (png, tiff) if as_png else (tiff, png)


def _write_png(file: PartFile, width: int, height: int, strips: Iterator[np.ndarray]) -> None:
    """16-bit grey PNG, strip by strip (Pillow would need the whole image in memory)."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    file.write(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 16, 0, 0, 0, 0)))
    packer = zlib.compressobj(3)
    above = np.zeros(width * 2, np.uint8)
    for strip in strips:
        rows = strip.astype(">u2").view(np.uint8).reshape(len(strip), -1)
        filtered = np.empty((len(strip), 1 + rows.shape[1]), np.uint8)
        filtered[:, 0] = 2  # filter "up": label images repeat the row above
        filtered[0, 1:] = rows[0] - above
        filtered[1:, 1:] = rows[1:] - rows[:-1]
        above = rows[-1].copy()
        if content := packer.compress(filtered.tobytes()):
            file.write(chunk(b"IDAT", content))
    file.write(chunk(b"IDAT", packer.flush()) + chunk(b"IEND", b""))


def _write_tiff(file: PartFile, width: int, height: int, mpp: float, strips: Iterator[np.ndarray]) -> None:
    import tifffile

    def tiles() -> Iterator[np.ndarray]:
        for strip in strips:
            for left in range(0, width, STRIP):
                tile = np.zeros((STRIP, STRIP), np.uint32)
                part = strip[:, left : left + STRIP]
                tile[: part.shape[0], : part.shape[1]] = part
                yield tile

    per_cm = 1e4 / mpp
    with tifffile.TiffWriter(file.path(), bigtiff=True) as writer:
        writer.write(
            tiles(),
            shape=(height, width),
            dtype=np.uint32,
            tile=(STRIP, STRIP),
            compression="zlib",
            predictor=True,
            photometric="minisblack",
            resolution=(per_cm, per_cm),
            resolutionunit="CENTIMETER",
        )


@compiled
def _draw(vertices, offsets, which, x0, y0, out):
    """Fill outlines (1/8 px) into `out`, whose pixel (0, 0) is level-0 px (x0, y0): a pixel is inside if its centre
    is."""
    height, width = out.shape
    crossings = np.empty(64, np.float64)
    for i in which:
        start, end = offsets[i], offsets[i + 1]
        low, high = vertices[start, 1], vertices[start, 1]
        for k in range(start, end):
            low, high = min(low, vertices[k, 1]), max(high, vertices[k, 1])
        for row in range(max(0, (low >> 3) - 1 - y0), min(height, (high >> 3) + 2 - y0)):
            centre = 8 * (row + y0) + 4
            count = 0
            for k in range(start, end):
                after = k + 1 if k + 1 < end else start
                ay, by = vertices[k, 1], vertices[after, 1]
                if (ay <= centre) != (by <= centre):
                    if count == len(crossings):
                        crossings = np.append(crossings, np.empty(64, np.float64))
                    crossings[count] = vertices[k, 0] + (centre - ay) * (vertices[after, 0] - vertices[k, 0]) / (
                        by - ay
                    )
                    count += 1
            for c in range(1, count):  # a few numbers; numpy's sort would be another second of compiling
                value, at = crossings[c], c
                while at and crossings[at - 1] > value:
                    crossings[at] = crossings[at - 1]
                    at -= 1
                crossings[at] = value
            for c in range(0, count - 1, 2):
                left = int(np.ceil((crossings[c] - 4) / 8)) - x0
                right = int(np.ceil((crossings[c + 1] - 4) / 8)) - x0
                for col in range(max(0, left), min(width, right)):
                    out[row, col] = i + 1
