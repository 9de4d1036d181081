"""What an unlabelled set holds: a data set, an export of a project, a list of slides, or a folder of images.

| in the folder | taken |
|---|---|
| `manifest.csv` and `unlabelled/` | an export of a project, its tissue without labels; patient from the manifest |
| `manifest.csv` and `images/` | the images that the manifest names; patient or slide from `group_column` |
| `slides.csv` (image, annotations, patient, mpp) | those slides but for what is labelled, the GeoJSON's Complete |
| `slides/`, or images directly | every image; each is a group of its own |
"""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import NamedTuple

import shapely

from hemalum.errors import UsageError
from hemalum.projects.annotations import read as read_annotations
from hemalum.projects.sources import read_list
from hemalum.slides import images_in, stem
from hemalum_training.config.data import UnlabelledSet


@dataclass(frozen=True)
class TileSource:
    """One image or slide.

    Attributes:
        group: patient or slide; never in two parts.
        mpp: µm per level-0 px, or None where the file states it.
        labelled: what is labelled already, in level-0 px.
    """

    set: str
    name: str
    path: Path
    group: str
    mpp: float | None
    licence: str
    labelled: shapely.Geometry = shapely.Polygon()

    @property
    def full_name(self) -> str:
        return f"{self.set}/{self.name}"


def tile_sources(name: str, entry: UnlabelledSet, data: Path) -> list[TileSource]:
    """Sources of a set, by name.

    Raises:
        UsageError: the folder is missing or holds nothing; a column or a file that a manifest should have is not there.
    """
    folder = Path(data) / (entry.folder or name)
    if not folder.is_dir():
        raise UsageError(
            f"unlabelled set {name}: there is no folder {folder}; give the folder that holds the sets with --data."
        )
    if (folder / "manifest.csv").is_file():
        listed = _export(folder) if (folder / "unlabelled").is_dir() else _data_set(folder, entry)
    elif (folder / "slides.csv").is_file():
        listed = _listed_slides(folder)
    else:
        paths = images_in([folder / "slides" if (folder / "slides").is_dir() else folder])
        listed = [Listed(stem(path), path, stem(path)) for path in paths]
    sources = []
    for image in sorted(listed, key=lambda image: image.name):
        if not _named_by(image.name, entry.include) or _named_by(image.name, entry.exclude):
            continue
        source = TileSource(
            set=name,
            name=image.name,
            path=image.path,
            group=image.group,
            mpp=entry.mpp or image.mpp,
            licence=entry.licence,
            labelled=image.labelled or shapely.Polygon(),
        )
        sources.append(source)
    if not sources:
        raise UsageError(
            f"unlabelled set {name}: {folder} holds no image that `include` and `exclude` let through; "
            "correct the patterns."
        )
    return sources


class Listed(NamedTuple):
    """An image of a set's folder, as far as the folder describes it; fields as in `TileSource`."""

    name: str
    path: Path
    group: str
    mpp: float | None = None
    labelled: shapely.Geometry | None = None


def _named_by(name: str, patterns: list[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def _listed_slides(folder: Path) -> list[Listed]:
    slides = []
    for slide in read_list(folder / "slides.csv"):
        name, labelled = stem(slide.image), read_annotations(slide.annotations).region
        slides.append(Listed(name, slide.image, slide.patient or name, slide.mpp, labelled))
    return slides


def _rows(folder: Path) -> list[dict]:
    with open(folder / "manifest.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    if not rows or "stem" not in rows[0]:
        raise UsageError(f"{folder / 'manifest.csv'} has no rows or no column stem; correct it.")
    return rows


def _data_set(folder: Path, entry: UnlabelledSet) -> list[Listed]:
    rows = _rows(folder)
    if entry.group_column and entry.group_column not in rows[0]:
        raise UsageError(
            f"{folder / 'manifest.csv'} has no column {entry.group_column}, which the configuration names; "
            "correct the name."
        )
    files = {path.stem: path for path in (folder / "images").iterdir()}
    if missing := [row["stem"] for row in rows if row["stem"] not in files]:
        raise UsageError(f"{folder / 'images' / missing[0]} is named in the manifest but missing.")
    return [Listed(row["stem"], files[row["stem"]], row[entry.group_column or "stem"]) for row in rows]


def _export(folder: Path) -> list[Listed]:
    """Tiles of an export are called SLIDE_X_Y, its labelled images SLIDE_PIECE; the patient stands with the latter."""
    rows = _rows(folder)
    patients = {row["stem"].rsplit("_", 1)[0]: row.get("patient", "") for row in rows}
    mpp = json.loads((folder / "report.json").read_text(encoding="utf-8"))["mpp"]
    tiles = []
    for path in sorted((folder / "unlabelled").glob("*.png")):
        slide = path.stem.rsplit("_", 2)[0]
        tiles.append(Listed(path.stem, path, patients.get(slide) or slide, mpp))
    return tiles
