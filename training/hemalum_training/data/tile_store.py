"""What `tiles` leaves in OUT/tiles, as the other steps read it.

    manifest.csv     one row a tile, see `TileRow`
    images/TILE.png  uint8 RGB, 256×256 px (smaller images as they are)
    labelled.csv     one row a labelled image
    domains.json     how Y was chosen, its reference stain
    X.png, Y.png     a page of thumbnails a domain
    sources/*.json   what is done: a stopped run goes on there
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from hemalum.errors import UsageError
from hemalum.stain.estimation import Stain
from hemalum_training.data.domains import Domains
from hemalum_training.store import read_rows, write_rows

TILE_MPP = 0.5
PARSERS = {"int": int, "float": float, "str": str, "Stain": lambda text: Stain.from_record(json.loads(text))}


@dataclass(frozen=True)
class TileRow:
    """A row of the manifest.

    Attributes:
        tile: SET-SOURCE-X-Y, the stem of its PNG.  x, y: of its corner in the source, px at `mpp`.
        group: patient or slide.  part: "train" or "validation", by group.
        tissue, density: shares of the tile that are tissue and haematoxylin-dark nuclei.
        domain: "X" or "Y".  weight: how often to draw it within its domain, so that densities match (sum 1).
        stain: of the source.
    """

    tile: str
    set: str
    source: str
    group: str
    licence: str
    part: str
    x: int
    y: int
    mpp: float
    tissue: float
    density: float
    domain: str
    weight: float
    stain: Stain


@dataclass(frozen=True)
class LabelledRow:
    """A row of `labelled.csv`; `image` is `LabelledImage.name`, the rest as in `TileRow`."""

    image: str
    set: str
    licence: str
    part: str
    density: float
    domain: str
    weight: float
    stain: Stain


def load_tiles(out: Path) -> list[TileRow]:
    """The manifest of OUT/tiles.

    Raises:
        UsageError: there is none yet.
    """
    return _read(Path(out) / "tiles" / "manifest.csv", TileRow)


def load_labelled_rows(out: Path) -> dict[str, LabelledRow]:
    """`labelled.csv` of OUT/tiles, by image name."""
    return {row.image: row for row in _read(Path(out) / "tiles" / "labelled.csv", LabelledRow)}


def load_domains(out: Path) -> Domains:
    """`domains.json` of OUT/tiles.

    Raises:
        UsageError: there is none yet.
    """
    path = Path(out) / "tiles" / "domains.json"
    if not path.is_file():
        raise UsageError(f"{path} is missing; run `hemalum train tiles` first.")
    return Domains.from_record(json.loads(path.read_text(encoding="utf-8")))


def tile_pixels(out: Path, name: str) -> np.ndarray:
    """Pixels of a tile, uint8 h×w×3 RGB at 0.5 µm/px.

    Raises:
        UsageError: its picture is missing or damaged.
    """
    path = Path(out) / "tiles" / "images" / f"{name}.png"
    pixels = cv2.imread(str(path))
    if pixels is None:
        raise UsageError(
            f"{path} is missing or damaged; delete {path.parent.parent} and run `hemalum train tiles` again."
        )
    return pixels[..., ::-1]


def write_table(path: Path, rows: list, kind: type) -> None:
    """Rows of one kind, `TileRow` or `LabelledRow`."""
    names = [field.name for field in dataclasses.fields(kind)]
    cells = [{**vars(row), "stain": json.dumps(row.stain.record())} for row in rows]
    write_rows(path, cells, names)


def _read(path: Path, kind: type) -> list:
    if not path.is_file():
        raise UsageError(f"{path} is missing; run `hemalum train tiles` first.")
    rows = []
    for cells in read_rows(path):
        row = {field.name: PARSERS[field.type](cells[field.name]) for field in dataclasses.fields(kind)}
        rows.append(kind(**row))
    return rows
