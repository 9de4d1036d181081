"""Pieces: the candidates of finished tiles, on disk before the slide is finished.

A piece is a NumPy archive (its members carry checksums) with the candidates of some tiles.  Candidates are what a tile gives
before seams are settled, so they depend on that tile alone, and a resumed slide is settled from the same candidates as an
uninterrupted one: the result is the same to the byte.

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

from hemalum.batch.files import commit
from hemalum.errors import DiskFull
from hemalum.nuclei import Nuclei
from hemalum.runrecord import Stopwatch

EVERY = 1.0  # s between commits: what a kill may cost, and what keeps syncing far below 3 % of the time
FIELDS = ("vertices", "offsets", "centroids", "probability", "tile", "edge")


class Pieces:
    """The pieces of one slide in `folder`; thread-safe; a context manager that commits what is left unless an error ended it.

    Args:
        key: names the run (image, model, parameters, plan); pieces of another key are never taken.
        watch: where seconds are added ("pieces").
        every: seconds between commits.

    Attributes:
        tiles: the committed tiles, each with its piece.  damaged: pieces that could not be read and are computed again.
    """

    def __init__(self, folder: Path, key: str, watch: Stopwatch | None = None, every: float = EVERY):
        self._every = every
        self.folder, self.key, self.watch = Path(folder), key, watch or Stopwatch()
        self.folder.mkdir(parents=True, exist_ok=True)
        self.tiles: dict[int, Path] = {}
        self.damaged: list[str] = []
        self._lock, self._last = threading.Lock(), time.monotonic()
        self._pending: dict[int, Nuclei] = {}
        self._number = 0
        for path in sorted(self.folder.iterdir()):
            if path.suffix == ".part":
                path.unlink()
                continue
            if path.suffix != ".npz":
                continue
            self._number = max(self._number, int(path.stem.split("-")[0]))
            try:
                with np.load(path) as piece:
                    ours = str(piece["key"]) == key
                    if ours:
                        self.tiles.update(dict.fromkeys(piece["tiles"].tolist(), path))
            except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
                self.damaged.append(path.name)
                ours = False
            if not ours:
                path.unlink()                                   # else `job status` would count its tiles
        self._load = lru_cache(maxsize=4)(_load)

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
        """The candidates of a committed tile, or None where its piece turns out to be damaged."""
        path = self.tiles[tile]
        try:
            nuclei = self._load(path)
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            self.damaged.append(path.name)
            return None
        return nuclei.take(nuclei.tile == tile)

    def remove(self) -> None:
        """Delete all pieces: the slide's results are on disk."""
        for path in self.folder.glob("*.npz*"):
            path.unlink(missing_ok=True)
        self.folder.rmdir()

    def _commit(self) -> None:
        self._last = time.monotonic()
        if not self._pending:
            return
        with self.watch("pieces"):
            pending, self._pending = self._pending, {}
            self._number += 1
            path = self.folder / f"{self._number:06d}-{len(pending)}.npz"  # the count lets `job status` add up without reading
            save(path, self.key, pending)



def save(path: Path, key: str, candidates: dict[int, Nuclei]) -> None:
    """Commit the candidates of tiles as one piece.  Raises `DiskFull`."""
    nuclei = Nuclei.concat(list(candidates.values()))
    names = list(nuclei.columns)
    content = {name: getattr(nuclei, name) for name in FIELDS}
    measured = [nuclei.columns[name] for name in names]
    content["measurements"] = np.array(measured, np.float32).reshape(len(names), len(nuclei))
    content["names"] = np.array(names, np.str_)
    content["tiles"], content["key"] = np.array(list(candidates), np.int64), np.array(key)
    commit(path, lambda file: np.savez(file, **content))


def count(folder: Path) -> int:
    """Tiles in the committed pieces of a folder, from their names alone."""
    try:
        return sum(int(path.stem.split("-")[1]) for path in Path(folder).glob("*.npz"))
    except OSError:
        return 0


def _load(path: Path) -> Nuclei:
    with np.load(path) as piece:
        columns = dict(zip(piece["names"].tolist(), piece["measurements"], strict=True))
        return Nuclei(columns=columns, **{name: piece[name] for name in FIELDS})
