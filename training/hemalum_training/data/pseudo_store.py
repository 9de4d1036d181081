"""What `pseudo-label` leaves in OUT/pseudo, as the other steps read it.

The files are described at `hemalum_training.pseudo.labels`.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from hemalum.errors import UsageError
from hemalum_training.config.data import Pseudo
from hemalum_training.data.labelled import LabelledImage, distance_map
from hemalum_training.data.tile_store import TileRow, load_tiles
from hemalum_training.store import read_rows

PICTURES = ("images", "normalized", "labels", "foreground", "distance")


@dataclass(frozen=True)
class PseudoTile:
    """A kept tile on disk: its own image, its image in Y's stain, its instances and the maps they come from."""

    name: str
    image: Path
    normalized: Path
    labels: Path
    foreground: Path
    distance: Path
    score: float


def load_pseudo(out: Path) -> list[PseudoTile]:
    """The kept tiles of OUT/pseudo.

    Raises:
        UsageError: there are none yet.
    """
    folder = Path(out) / "pseudo"
    if not (folder / "manifest.csv").is_file():
        raise UsageError(f"{folder / 'manifest.csv'} is missing; run `hemalum train pseudo-label` first.")
    kept = [row for row in read_rows(folder / "manifest.csv") if row["kept"] == "yes"]
    tiles = []
    for row in kept:
        paths = {part: folder / part / f"{row['tile']}.png" for part in PICTURES}
        paths["image"] = paths.pop("images")
        tiles.append(PseudoTile(name=row["tile"], score=float(row["score"]), **paths))
    return tiles


def unlabelled_tiles(out: Path) -> list[TileRow]:
    """Training tiles of X that were not kept: a student sees them without labels."""
    kept = {tile.name for tile in load_pseudo(out)}
    tiles = [tile for tile in load_tiles(out) if tile.domain == "X" and tile.part == "train"]
    return [tile for tile in tiles if tile.tile not in kept and tile.weight > 0]


def teacher_of(out: Path) -> str:
    """Who labelled OUT/pseudo."""
    return json.loads((Path(out) / "pseudo" / "teacher.json").read_text(encoding="utf-8"))["teacher"]


def at_label_scale(name: str, pixels: np.ndarray) -> LabelledImage:
    """A tile at 0.5 µm/px (uint8 H×W×3) as an image at 0.25 µm/px, without nuclei."""
    big = cv2.resize(pixels, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC)
    return LabelledImage(name, big, np.zeros(big.shape[:2], np.int32), np.zeros(big.shape[:2], np.float16))


@dataclass(frozen=True)
class StoredTile:
    """A tile on disk, read when it is drawn: thousands would not fit in memory.

    Attributes:
        image: file at 0.5 µm/px.
        weight: how often it is drawn, relative to the others.
        pseudo: of a pseudo tile, else None.
        learned: how its labels are learned from.
    """

    name: str
    image: Path
    weight: float = 1.0
    pseudo: PseudoTile | None = None
    learned: Pseudo | None = None

    @classmethod
    def of(cls, tile: PseudoTile, learned: Pseudo, weight: float = 1.0) -> StoredTile:
        return cls(tile.name, tile.image, weight, tile, learned)

    def files(self) -> list[Path]:
        """All that is read of it."""
        if self.pseudo is None:
            return [self.image]
        return [self.image, self.pseudo.normalized, self.pseudo.labels, self.pseudo.foreground, self.pseudo.distance]

    def own(self) -> LabelledImage:
        return self._labelled(self.image)

    def in_target_stain(self) -> LabelledImage:
        return self._labelled(self.pseudo.normalized)

    def _labelled(self, image: Path) -> LabelledImage:
        """The picture of this tile with the labels that it has."""
        tile = at_label_scale(self.name, _read(image))
        if self.pseudo is None:
            return tile
        tile.labels = _read_map(self.pseudo.labels).astype(np.int32)
        if self.learned.soft:
            tile.foreground = _read_map(self.pseudo.foreground) / np.float16(255)
            tile.distance = _read_map(self.pseudo.distance) / np.float16(255)
        else:
            tile.distance = distance_map(tile.labels).astype(np.float16)
        if self.learned.sure:
            foreground = _read_map(self.pseudo.foreground).astype(np.int16)
            tile.known = abs(2 * foreground - 255) >= 255 * self.learned.sure
        return tile


def digest_of_files(tiles: list[StoredTile]) -> str:
    """What there is to learn of tiles on disk: names and pictures, whatever their order.

    Raises:
        UsageError: a picture is missing.
    """
    total = hashlib.sha256()
    for tile in sorted(tiles, key=lambda tile: tile.name):
        total.update(tile.name.encode())
        for path in tile.files():
            try:
                total.update(hashlib.sha256(path.read_bytes()).digest())
            except OSError:
                raise UsageError(f"{path} is missing; delete {path.parent.parent} and run again.") from None
    return total.hexdigest()[:16]


def _read_map(path: Path) -> np.ndarray:
    return _read(path, cv2.IMREAD_UNCHANGED)


def _read(path: Path, flags: int = cv2.IMREAD_COLOR_RGB) -> np.ndarray:
    pixels = cv2.imread(str(path), flags)
    if pixels is None:
        raise UsageError(f"{path} is missing or damaged; delete {path.parent.parent} and run again.")
    return pixels
