"""Pieces: the candidates of finished tiles, on disk before the slide is finished.

A piece is a NumPy archive (its members carry checksums) with the candidates of some tiles.  Candidates are what a tile
gives before seams are settled, so they depend on that tile alone, and a resumed slide is settled from the same
candidates as an uninterrupted one: the result is the same to the byte.

>>> import tempfile
>>> folder = tempfile.TemporaryDirectory()
>>> square = Nuclei.of(np.array([[0, 0], [8, 0], [8, 8], [0, 8]]), np.array([0, 4]), tile=3)
>>> with Pieces(Path(folder.name), "key") as pieces:
...     pieces.add(3, square); pieces.add(4, Nuclei.empty())
>>> again = Pieces(Path(folder.name), "key")
>>> sorted(again.tiles), len(again.take(3)), len(again.take(4)), sorted(Pieces(Path(folder.name), "other").tiles)
([3, 4], 1, 0, [])
"""

from __future__ import annotations

import threading
import time
import zipfile
from functools import lru_cache
from pathlib import Path

import numpy as np

from hemalum.errors import DiskFull
from hemalum.files import commit
from hemalum.nuclei.nuclei import Nuclei
from hemalum.runs.record import Stopwatch

EVERY = 1.0  # s between commits: what a kill may cost, and what keeps syncing far below 3 % of the time
FIELDS = ("vertices", "offsets", "centroids", "probability", "tile", "edge")
UNREADABLE = (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile)


class Pieces:
    """The pieces of one slide in `folder`; thread-safe; a context manager that commits what is left unless the disk is
    full.

    Args:
        key: names the run (image, model, parameters, plan); pieces of another key are deleted.
        watch: where seconds are added ("pieces").
        every: seconds between commits.

    Attributes:
        tiles: the committed tiles, each with its piece.
    """

    def __init__(self, folder: Path, key: str, watch: Stopwatch | None = None, every: float = EVERY):
        self._every = every
        self.folder, self.key, self.watch = Path(folder), key, watch or Stopwatch()
        self.folder.mkdir(parents=True, exist_ok=True)
        self.tiles: dict[int, Path] = {}
        self._lock, self._last = threading.Lock(), time.monotonic()
        self._pending: dict[int, Nuclei] = {}
        self._load = lru_cache(maxsize=4)(_load)
        for path in sorted(self.folder.iterdir()):
            tiles = _tiles(path, key) if path.suffix == ".npz" else None
            if tiles is None:
                path.unlink()  # else `job status` would count its tiles
            else:
                self.tiles.update(dict.fromkeys(tiles, path))

    def __enter__(self) -> Pieces:
        return self

    def __exit__(self, kind, *_) -> None:
        if kind is None or not issubclass(kind, DiskFull):
            self.flush()

    def adopt(self, path: Path, tiles: list[int]) -> None:
        """Take a piece that another process has committed into this folder."""
        self.tiles.update(dict.fromkeys(tiles, path))

    def add(self, tile: int, nuclei: Nuclei) -> None:
        """Keep a tile's candidates; about once a second this commits.  Raises `DiskFull`."""
        with self._lock:
            self._pending[tile] = nuclei
            if time.monotonic() - self._last >= self._every:
                self._commit()

    def flush(self) -> None:
        """Commit what was added.  Raises `DiskFull`."""
        with self._lock:
            self._commit()

    def take(self, tile: int) -> Nuclei | None:
        """The candidates of a committed tile; None where it is not there or its piece turns out to be damaged, which is
        deleted."""
        if (path := self.tiles.get(tile)) is None:
            return None
        try:
            with self.watch("pieces"):
                nuclei = self._load(path)
        except UNREADABLE:
            path.unlink(missing_ok=True)
            del self.tiles[tile]
            return None
        return nuclei.take(nuclei.tile == tile)

    def _commit(self) -> None:
        self._last = time.monotonic()
        if self._pending:
            with self.watch("pieces"):
                pending, self._pending = self._pending, {}
                save(self.folder, self.key, pending)


def save(folder: Path, key: str, candidates: dict[int, Nuclei]) -> Path:
    """Commit the candidates of tiles as one piece, named after the first of them.  Raises `DiskFull`."""
    nuclei = Nuclei.concat(list(candidates.values()))
    names = list(nuclei.columns)
    content = {name: getattr(nuclei, name) for name in FIELDS}
    measured = [nuclei.columns[name] for name in names]
    content["measurements"] = np.array(measured, np.float32).reshape(len(names), len(nuclei))
    content["names"] = np.array(names, np.str_)
    content["tiles"], content["key"] = np.array(list(candidates), np.int64), np.array(key)
    path = (
        Path(folder) / f"{next(iter(candidates)):06d}-{len(candidates)}.npz"
    )  # the count lets `job status` add up without reading
    commit(path, lambda file: np.savez(file, **content))
    return path


def count(folder: Path) -> int:
    """Tiles in the committed pieces of a folder, from their names alone."""
    try:
        return sum(int(path.stem.split("-")[1]) for path in Path(folder).glob("*.npz"))
    except OSError:
        return 0


def _tiles(path: Path, key: str) -> list[int] | None:
    """The tiles of a piece; None where it is damaged or of another run."""
    try:
        with np.load(path) as piece:
            return piece["tiles"].tolist() if str(piece["key"]) == key else None
    except UNREADABLE:
        return None


def _load(path: Path) -> Nuclei:
    with np.load(path) as piece:
        columns = dict(zip(piece["names"].tolist(), piece["measurements"], strict=True))
        return Nuclei(columns=columns, **{name: piece[name] for name in FIELDS})
