"""Outputs, written as nuclei become final: GeoJSON for QuPath, label images, tables.

>>> sorted(FORMATS)
['csv', 'geojson', 'labels', 'overlay', 'parquet']
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from hemalum.errors import UsageError
from hemalum.sinks.base import Sink, Target
from hemalum.sinks.csv import CsvSink
from hemalum.sinks.geojson import GeoJsonSink
from hemalum.sinks.labels import LabelSink
from hemalum.sinks.overlay import OverlaySink
from hemalum.sinks.parquet import ParquetSink

FORMATS: dict[str, Callable[[Path, str, Target], Sink]] = {
    "geojson": lambda folder, stem, target: GeoJsonSink(folder / f"{stem}.geojson", target),
    "labels": lambda folder, stem, target: LabelSink(folder / stem, target),
    "csv": lambda folder, stem, target: CsvSink(folder / f"{stem}.csv", target),
    "overlay": lambda folder, stem, target: OverlaySink(folder / f"{stem}.overlay.png", target),
    "parquet": lambda folder, stem, target: ParquetSink(folder / f"{stem}.parquet", target),
}

__all__ = [
    "FORMATS",
    "CsvSink",
    "GeoJsonSink",
    "LabelSink",
    "OverlaySink",
    "ParquetSink",
    "Sink",
    "Target",
    "open_sinks",
    "parse_formats",
]


def parse_formats(text: str) -> list[str]:
    """Names in "geojson,labels,csv"; `UsageError` for one that is not known.

    >>> parse_formats("csv, geojson")
    ['csv', 'geojson']
    """
    names = list(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    unknown = [name for name in names if name not in FORMATS]
    if unknown or not names:
        raise UsageError(
            f"format {', '.join(map(repr, unknown)) or repr(text)} is not known; choose from {', '.join(FORMATS)}"
        )
    return names


def open_sinks(names: Iterable[str], folder: Path, stem: str, target: Target) -> list[Sink]:
    """One sink per format; if one cannot be opened the others are removed again."""
    opened: list[Sink] = []
    try:
        for name in names:
            opened.append(FORMATS[name](folder, stem, target))
    except BaseException:
        for sink in opened:
            sink.abort()
        raise
    return opened
