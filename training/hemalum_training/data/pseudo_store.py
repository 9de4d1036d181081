"""What `pseudo-label` leaves in OUT/pseudo, as the other steps read it; the files are described at `hemalum_training.pseudo.labels`."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import cv2
import numpy as np

from hemalum.errors import UsageError
from hemalum_training.config.data import Pseudo
from hemalum_training.data.labelled import LabelledImage, distance_map
from hemalum_training.data.tile_store import Tile, load_tiles
from hemalum_training.store import read_rows

PICTURES = ("images", "normalized", "labels", "foreground", "distance")


@dataclass(frozen=True)
class PseudoTile:
    """A kept tile on disk: paths of its own image, its image in Y's stain, its instances and the maps they come from, see the module."""

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
    return [PseudoTile(row["tile"], *(folder / part / f"{row['tile']}.png" for part in PICTURES), float(row["score"]))
            for row in kept]


def unlabelled_tiles(out: Path) -> list[Tile]:
    """Training tiles of X that were not kept: a student sees them without labels."""
    taken = {tile.name for tile in load_pseudo(out)}
    return [t for t in load_tiles(out) if t.domain == "X" and t.part == "train" and t.tile not in taken and t.weight > 0]


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
        pseudo: of a pseudo tile, else None.
        wanted: how its labels are learned from.
        weight: how often it is drawn, relative to the others.
    """

    name: str
    image: Path
    weight: float = 1.0
    pseudo: PseudoTile | None = None
    wanted: Pseudo | None = None

    @classmethod
    def of(cls, tile: PseudoTile, wanted: Pseudo, weight: float = 1.0) -> StoredTile:
        return cls(tile.name, tile.image, weight, tile, wanted)

    def own(self) -> LabelledImage:
        return self._shown(self.image)

    def in_target_stain(self) -> LabelledImage:
        return self._shown(self.pseudo.normalized)

    def _shown(self, image: Path) -> LabelledImage:
        shown = at_label_scale(self.name, _read(image))
        if self.pseudo is None:
            return shown
        labels, foreground, distance = (partial(_read, path, cv2.IMREAD_UNCHANGED)
                                        for path in (self.pseudo.labels, self.pseudo.foreground, self.pseudo.distance))
        shown.labels = labels().astype(np.int32)
        if self.wanted.soft:
            shown.foreground, shown.distance = foreground() / np.float16(255), distance() / np.float16(255)
        else:
            shown.distance = distance_map(shown.labels).astype(np.float16)
        if self.wanted.sure:
            shown.known = abs(2 * foreground().astype(np.int16) - 255) >= 255 * self.wanted.sure
        return shown


def _read(path: Path, flags: int = cv2.IMREAD_COLOR_RGB) -> np.ndarray:
    found = cv2.imread(str(path), flags)
    if found is None:
        raise UsageError(f"{path} is missing or damaged; delete {path.parent.parent} and run again.")
    return found
