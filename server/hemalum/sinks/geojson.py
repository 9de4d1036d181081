"""GeoJSON as QuPath imports it: a FeatureCollection of detections with stable ids, measurements, and the mark of ours.

Written as it goes, one feature a line, in bounded memory: coordinates are integers of 1/8 px until a compiled loop
prints them (about a million nuclei in half a minute).  Coordinates are level-0 px, pixel-corner convention, rings
closed.

>>> import json, tempfile
>>> import numpy as np
>>> folder = tempfile.TemporaryDirectory()
>>> sink = GeoJsonSink(Path(folder.name) / "a.geojson", Target(10, 10, 0.5, "m", "i"))
>>> nuclei = Nuclei.of(np.array([[0, 0], [8, 0], [9, 8]]), np.array([0, 3]))
>>> sink.write(nuclei, ["6aa5d63e-7c6c-5b21-9a72-28a8b4ebd7ed"])
>>> sink.close()
>>> feature = json.loads(sink.paths[0].read_text())["features"][0]
>>> feature["geometry"]["coordinates"], feature["properties"]["measurements"]
([[[0, 0], [1, 0], [1.125, 1], [0, 0]]], {'Hemalum: Probability': 1.0})
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from hemalum.compiled import compiled
from hemalum.files import PartFile
from hemalum.nuclei.nuclei import Nuclei
from hemalum.sinks.base import Target

PROBABILITY = "Hemalum: Probability"
RUN = "hemalum.run"  # metadata that make a nucleus ours also where QuPath has cleared its measurements
CLASSIFICATION = {"name": "Nucleus", "color": [86, 60, 170]}
CHUNK = 20_000  # nuclei printed at once


class GeoJsonSink:
    """See `hemalum.sinks.base.Sink`."""

    def __init__(self, path: Path, target: Target):
        self.paths = [Path(path)]
        self._file = PartFile(path)
        self._columns = target.columns
        self._run = target.model[:12]  # not a run's own name: one that goes on writes the same file
        self._first, self._finished = True, False
        self._buffer = np.empty(0, np.uint8)
        self._file.write(b'{"type":"FeatureCollection","features":[')

    def write(self, nuclei: Nuclei, ids: list[str]) -> None:
        """Append nuclei.  `ids`: one UUID (36 characters) each.

        Raises:
            DiskFull: no space left; the unfinished file is gone.
        """
        for start in range(0, len(nuclei), CHUNK):
            part = np.arange(start, min(start + CHUNK, len(nuclei)))
            self._write(nuclei if len(part) == len(nuclei) else nuclei.take(part), ids[start : start + CHUNK])

    def finish(self) -> None:
        if not self._finished:
            self._file.write(b"\n]}\n")
            self._file.finish()
        self._finished = True

    def close(self) -> None:
        self.finish()
        self._file.commit()

    def abort(self) -> None:
        self._file.abort()

    def _write(self, nuclei: Nuclei, ids: list[str]) -> None:
        names = [PROBABILITY, *self._columns]
        values = np.column_stack([nuclei.probability, *(nuclei.columns[name] for name in self._columns)]).astype(
            np.float64
        )
        keys = [_bytes(("," if i else "") + json.dumps(name, ensure_ascii=False) + ":") for i, name in enumerate(names)]
        key_ends = np.cumsum([len(key) for key in keys])
        middle = _bytes(
            ']]},"properties":{"objectType":"detection","classification":'
            + json.dumps(CLASSIFICATION, separators=(",", ":"))
            + ',"metadata":'
            + json.dumps({RUN: self._run}, separators=(",", ":"))
            + ',"measurements":{'
        )
        fixed = 160 + len(middle) + int(key_ends[-1]) + 24 * len(names)
        bound = len(nuclei) * (fixed + 32) + (len(nuclei.vertices) + len(nuclei)) * 34
        if bound > len(self._buffer):
            self._buffer = np.empty(bound, np.uint8)
        id_bytes = np.frombuffer("".join(ids).encode("ascii"), np.uint8).reshape(len(nuclei), 36)
        size = _features(
            nuclei.vertices,
            nuclei.offsets,
            values,
            id_bytes,
            np.concatenate(keys),
            key_ends.astype(np.int64),
            middle,
            self._first,
            self._buffer,
        )
        self._file.write(self._buffer[:size].data)
        self._first = False


def _bytes(text: str) -> np.ndarray:
    return np.frombuffer(text.encode("utf-8"), np.uint8)


_HEAD = _bytes('\n{"type":"Feature","id":"')
_GEOMETRY = _bytes('","geometry":{"type":"Polygon","coordinates":[[')
_END = _bytes("}}}")


@compiled
def _copy(text, out, at):
    for k in range(len(text)):
        out[at + k] = text[k]
    return at + len(text)


@compiled
def _whole(value, out, at):
    if value < 0:
        out[at] = 45
        at += 1
        value = -value
    digits = 1
    limit = np.int64(10)
    while value >= limit:
        digits += 1
        limit *= 10
    for k in range(digits):
        out[at + digits - 1 - k] = 48 + value % 10
        value //= 10
    return at + digits


@compiled
def _coordinate(eighths, out, at):
    if eighths < 0:
        out[at] = 45
        at += 1
        eighths = -eighths
    at = _whole(eighths >> 3, out, at)
    rest = (eighths & 7) * 125
    if rest:
        out[at] = 46
        out[at + 1] = 48 + rest // 100
        at += 2
        if rest % 100:
            out[at] = 48 + rest // 10 % 10
            at += 1
            if rest % 10:
                out[at] = 48 + rest % 10
                at += 1
    return at


@compiled
def _decimal(value, out, at):
    """Four digits after the point, at least one."""
    if not (-1e14 < value < 1e14):  # JSON knows no NaN and no infinity
        out[at], out[at + 1], out[at + 2], out[at + 3] = 110, 117, 108, 108
        return at + 4
    scaled = np.int64(np.floor(abs(value) * 10000 + 0.5))
    if value < 0 and scaled > 0:
        out[at] = 45
        at += 1
    at = _whole(scaled // 10000, out, at)
    rest = scaled % 10000
    out[at] = 46
    at += 1
    divisor = 1000
    for _ in range(4):
        out[at] = 48 + rest // divisor % 10
        at += 1
        if rest % divisor == 0:
            break
        divisor //= 10
    return at


@compiled
def _vertex(vertices, k, out, at):
    out[at] = 91
    at = _coordinate(np.int64(vertices[k, 0]), out, at + 1)
    out[at] = 44
    at = _coordinate(np.int64(vertices[k, 1]), out, at + 1)
    out[at] = 93
    return at + 1


@compiled
def _features(vertices, offsets, values, ids, keys, key_ends, middle, first, out):
    at = 0
    for i in range(len(offsets) - 1):
        if i or not first:
            out[at] = 44
            at += 1
        at = _copy(_HEAD, out, at)
        at = _copy(ids[i], out, at)
        at = _copy(_GEOMETRY, out, at)
        for k in range(offsets[i], offsets[i + 1]):
            at = _vertex(vertices, k, out, at)
            out[at] = 44
            at += 1
        at = _vertex(vertices, offsets[i], out, at)
        at = _copy(middle, out, at)
        start = 0
        for c in range(len(key_ends)):
            at = _copy(keys[start : key_ends[c]], out, at)
            at = _decimal(values[i, c], out, at)
            start = key_ends[c]
        at = _copy(_END, out, at)
    return at
