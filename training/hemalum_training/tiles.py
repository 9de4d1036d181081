"""S1: slides, images and exports → tiles at 0.5 µm/px with stain, nuclear density, domain and part.

    OUT/tiles/manifest.csv   one row a tile, see `Tile`       OUT/tiles/images/TILE.png   uint8 RGB, 256×256 px (smaller images as they are)
    OUT/tiles/labelled.csv   one row a labelled image         OUT/tiles/domains.json      how Y was chosen, its reference stain
    OUT/tiles/X.png, Y.png   a page of thumbnails a domain    OUT/tiles/sources/*.json    what is done: a stopped run goes on there
"""

from __future__ import annotations

import csv
import dataclasses
import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import shapely

from hemalum.errors import UsageError
from hemalum.projects.cut import read_at
from hemalum.projects.export import split
from hemalum.slides import open_slide
from hemalum.stain import Stain, estimate
from hemalum.tiling import scale_for
from hemalum.tissue import tissue_mask

from .config import Config
from .datasets import LABEL_MPP, LabelledImage, load_labelled, load_set
from .domains import Domains, choose_target, match_density, nuclear_density
from .regions import regions, tile_grid
from .sources import TileSource, sources_of
from .thumbnails import thumbnail_page

TILE_MPP = 0.5
SMALLEST = 128  # px: less is no tile
TWINS = 3.0  # grey levels on 16×16 means below which two images are one


@dataclass(frozen=True)
class Tile:
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
    """A row of `labelled.csv`; `image` is `LabelledImage.name`, the rest as in `Tile`."""

    image: str
    set: str
    licence: str
    part: str
    density: float
    domain: str
    weight: float
    stain: Stain


def make_tiles(config: Config, data: Path, out: Path, log=print) -> Path:
    """Write OUT/tiles; sources that are done already, with the same settings, are not read again.

    Raises:
        UsageError: no unlabelled set; a validation image also among the training images or the tiles; an empty domain where the
            configuration trains two.
        UnreadableImage, UnknownResolution: of a source.
    """
    if not config.unlabelled:
        raise UsageError(f"configuration {config.name} names no unlabelled set; add a table [unlabelled.NAME].")
    folder = Path(out) / "tiles"
    for part in ("images", "sources"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    sources = [source for name, entry in config.unlabelled.items() for source in sources_of(name, entry, data)]
    labelled = {part: load_labelled(config, data, part) for part in ("train", "validation")}
    scored = [image for name, entry in config.zero_shot.items() for image in load_set(Path(data) / name, entry, "validation")]
    done, skipped = [], 0
    for number, source in enumerate(sources, 1):
        record, fresh = _cut(source, config, folder)
        skipped += not fresh
        done.append((source, record))
        if number % 100 == 0 or number == len(sources):
            log(f"tiles: {number}/{len(sources)} sources, {sum(len(r['tiles']) for _, r in done)} tiles"
                + (f" ({skipped} sources were done already)" if skipped else ""))
    _refuse_twins(labelled, scored, done)
    parts = _parts(sources, config)
    stains = {part: {image.name: _stain(image) for image in images} for part, images in labelled.items()}
    every = {f"{s.set}/{s.name}": Stain.from_record(r["stain"]) for s, r in done} | stains["train"]
    domains = choose_target(every, config.tiles.clusters, _named(config, sources, every))
    tiles = [Tile(name, s.set, s.name, s.group, s.licence, parts[s.set][s.group], x, y, TILE_MPP, tissue, density, domains.of(stain), 0.0, stain)
             for s, r in done for stain in [Stain.from_record(r["stain"])] for name, x, y, tissue, density in r["tiles"]]
    rows = [LabelledRow(image.name, set_name := image.name.split("/")[0], config.sets[set_name].licence, part,
                        round(nuclear_density(_half(image.pixels), stain), 4), domains.of(stain), 0.0, stain)
            for part, images in labelled.items() for image in images for stain in [stains[part][image.name]]]
    if not tiles:
        raise UsageError("no source has a tile with enough tissue; lower [tiles] tissue or add images.")
    _refuse_empty_domains(config, rows)
    tiles, rows = (_weighted(found, config.tiles.density_bins) for found in (tiles, rows))
    _write_csv(folder / "labelled.csv", rows, LabelledRow)
    _write(folder / "domains.json", json.dumps(domains.record(), indent=1).encode())
    _write_csv(folder / "manifest.csv", tiles, Tile)
    _tidy(folder, tiles)
    for name in "XY":
        shown = [tile for tile in tiles if tile.domain == name]
        thumbnail_page([(folder / "images" / f"{t.tile}.png", f"{t.density:.2f} {t.set}") for t in shown], folder / f"{name}.png", config.seed)
        log(f"domain {name}: {len(shown)} tiles, {sum(row.domain == name and row.part == 'train' for row in rows)} labelled training images")
    log(f"domain Y is {domains.rule}")
    return folder


def load_tiles(out: Path) -> list[Tile]:
    """The manifest of OUT/tiles.

    Raises:
        UsageError: there is none yet.
    """
    return _read_csv(Path(out) / "tiles" / "manifest.csv", Tile)


def load_labelled_rows(out: Path) -> dict[str, LabelledRow]:
    """`labelled.csv` of OUT/tiles, by image name."""
    return {row.image: row for row in _read_csv(Path(out) / "tiles" / "labelled.csv", LabelledRow)}


def load_domains(out: Path) -> Domains:
    return Domains.from_record(json.loads((Path(out) / "tiles" / "domains.json").read_text(encoding="utf-8")))


def tile_pixels(out: Path, name: str) -> np.ndarray:
    """Pixels of a tile, uint8 h×w×3 RGB at 0.5 µm/px."""
    return cv2.imread(str(Path(out) / "tiles" / "images" / f"{name}.png"))[..., ::-1]


def _cut(source: TileSource, config: Config, folder: Path) -> tuple[dict, bool]:
    """The record of a source, and whether it was made now: its stain, a thumbnail, and [name, x, y, tissue, density] a tile."""
    settings = {k: v for k, v in dataclasses.asdict(config.tiles).items() if k in ("tile", "region_min", "region_max", "regions", "tissue")}
    status = source.path.stat()
    key = hashlib.sha256(json.dumps([settings, source.mpp, status.st_size, status.st_mtime_ns, source.labelled.wkt]).encode()).hexdigest()[:16]
    path = folder / "sources" / f"{source.set}-{source.name}.json"
    if path.is_file() and (record := json.loads(path.read_text(encoding="utf-8")))["key"] == key:
        return record, False
    with open_slide(source.path, source.mpp) as slide:
        overview = slide.overview()
        mask = tissue_mask(overview, slide.unread)
        to_px = slide.require_mpp() / TILE_MPP
        n = scale_for(slide.mpp, TILE_MPP).n
        size = (max(1, round(slide.size[0] * to_px)), max(1, round(slide.size[1] * to_px)))
        stain = estimate(overview, mask, "macenko", slide.mpp * slide.size[0] / overview.shape[1])
        wanted, side = config.tiles, config.tiles.tile
        tiles = []
        for x, y in tile_grid(regions(mask, size, wanted.region_min, wanted.region_max, wanted.regions), size, side):
            width, height = min(side, size[0]), min(side, size[1])
            box = shapely.box(x / to_px, y / to_px, (x + width) / to_px, (y + height) / to_px)
            tissue = _share(mask, (x / size[0], y / size[1], (x + width) / size[0], (y + height) / size[1]))
            if tissue < wanted.tissue or min(width, height) < SMALLEST or box.intersects(source.labelled):
                continue
            pixels = read_at(slide, (x, y, width, height), to_px, n)
            name = f"{source.set}-{source.name}-{x}-{y}"
            _write(folder / "images" / f"{name}.png", cv2.imencode(".png", pixels[..., ::-1])[1].tobytes())
            tiles.append([name, x, y, round(tissue, 3), round(nuclear_density(pixels, stain), 4)])
    record = {"key": key, "stain": stain.record(), "thumbnail": _thumbnail(overview).round(1).ravel().tolist(), "tiles": tiles}
    _write(path, json.dumps(record).encode())
    return record, True


def _share(mask: np.ndarray, box: tuple[float, float, float, float]) -> float:
    """Share of tissue within fractions left, top, right, bottom of an overview."""
    left, right = (int(v * mask.shape[1]) for v in box[::2])
    top, bottom = (int(v * mask.shape[0]) for v in box[1::2])
    return float(mask[top:max(bottom, top + 1), left:max(right, left + 1)].mean())


def _half(pixels: np.ndarray) -> np.ndarray:
    factor = LABEL_MPP / TILE_MPP
    return cv2.resize(pixels, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)


def _stain(image: LabelledImage) -> Stain:
    half = _half(image.pixels)
    return estimate(half, tissue_mask(half), "macenko", TILE_MPP)


def _thumbnail(pixels: np.ndarray) -> np.ndarray:
    return cv2.resize(pixels, (16, 16), interpolation=cv2.INTER_AREA).astype(np.float32)


def _refuse_twins(labelled: dict[str, list[LabelledImage]], scored: list[LabelledImage], done: list[tuple[TileSource, dict]]) -> None:
    """No image may be learned from and scored; images are compared by 16×16 means, so copies at another scale or as JPEG are found."""
    seen = [(image.name, _thumbnail(image.pixels)) for image in labelled["train"]]
    seen += [(f"{s.set}/{s.name}", np.array(r["thumbnail"], np.float32).reshape(16, 16, 3)) for s, r in done]
    names, pictures = [name for name, _ in seen], np.array([picture for _, picture in seen])
    for image in labelled["validation"] + scored:
        own = _thumbnail(image.pixels)
        near = np.abs(pictures - own).mean((1, 2, 3))
        if own.std() > 2 and near.min() < TWINS:
            raise UsageError(f"{names[int(near.argmin())]} is the same image as {image.name}, which is kept for validation; "
                             "put it on the set's `exclude` list.")


def _parts(sources: list[TileSource], config: Config) -> dict[str, dict[str, str]]:
    """Set → group → part.  A group that a labelled set of the same folder keeps for validation stays there."""
    parts = {}
    for name, entry in config.unlabelled.items():
        groups = [source.group for source in sources if source.set == name]
        kept = config.sets[entry.folder or name].validation if (entry.folder or name) in config.sets else []
        parts[name] = split(groups, config.tiles.validation) | {group: "validation" for group in groups if group in kept}
    return parts


def _named(config: Config, sources: list[TileSource], every: dict[str, Stain]) -> list[str] | None:
    """Images that the configuration's reference means, by name, SET/NAME, slide or patient; None where it names none."""
    reference = config.tiles.reference
    if reference is None:
        return None
    found = [f"{s.set}/{s.name}" for s in sources if reference in (s.name, s.group, f"{s.set}/{s.name}")]
    found += [name for name in every if reference in (name, name.split("/", 1)[1])]
    if not found:
        raise UsageError(f"[tiles] reference {reference!r} is no image, slide or patient of this configuration; correct the name.")
    return found


def _refuse_empty_domains(config: Config, rows: list[LabelledRow]) -> None:
    if config.method is None:
        return
    for name in "XY":
        # unlabelled tiles of Y are not needed: the tiles of X become its images
        if not any(row.domain == name for row in rows if row.part == "train"):
            raise UsageError(f"domain {name} has no labelled training image; name another [tiles] reference, change [tiles] clusters, or add "
                             "images in " + ("other stains." if name == "X" else "the reference stain."))


def _weighted(rows: list, bins: int) -> list:
    """Rows with their weights, matched within each part."""
    out = []
    for part in sorted({row.part for row in rows}):
        inside = [row for row in rows if row.part == part]
        weights = match_density(np.array([r.density for r in inside]), np.array([r.domain for r in inside]), bins)
        out += [dataclasses.replace(row, weight=round(float(w), 8)) for row, w in zip(inside, weights, strict=True)]
    return out


def _write(path: Path, content: bytes) -> None:
    """The old or the new file, whole, at any moment."""
    temporary = path.with_name(path.name + ".part")
    temporary.write_bytes(content)
    os.replace(temporary, path)


def _write_csv(path: Path, rows: list, kind: type) -> None:
    temporary = path.with_name(path.name + ".part")
    with open(temporary, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, [f.name for f in dataclasses.fields(kind)])
        writer.writeheader()
        for row in rows:
            writer.writerow({f.name: getattr(row, f.name) for f in dataclasses.fields(row)} | {"stain": json.dumps(row.stain.record())})
    os.replace(temporary, path)


def _read_csv(path: Path, cls) -> list:
    if not path.is_file():
        raise UsageError(f"{path} is missing; run `hemalum train tiles` first.")
    kinds = {"int": int, "float": float, "str": str, "Stain": lambda text: Stain.from_record(json.loads(text))}
    with open(path, newline="", encoding="utf-8") as file:
        return [cls(**{f.name: kinds[f.type](row[f.name]) for f in dataclasses.fields(cls)}) for row in csv.DictReader(file)]


def _tidy(folder: Path, tiles: list[Tile]) -> None:
    """Remove pictures of tiles that another configuration had."""
    names = {f"{tile.tile}.png" for tile in tiles}
    for path in (folder / "images").iterdir():
        if path.name not in names:
            path.unlink()
