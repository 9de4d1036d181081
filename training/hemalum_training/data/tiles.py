"""S1: slides, images and exports → tiles at 0.5 µm/px with stain, nuclear density, domain and part.

They lie in OUT/tiles, see `tile_store`.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import cv2
import numpy as np

from hemalum.errors import UsageError
from hemalum.projects.export import parts_of
from hemalum.stain.estimation import Stain, estimate
from hemalum.stain.tissue import tissue_mask
from hemalum_training.config.config import Config
from hemalum_training.data.cutting import cut
from hemalum_training.data.domains import Domains, choose_target, match_density, nuclear_density
from hemalum_training.data.labelled import LABEL_MPP, LabelledImage, load_labelled, load_zero_shot
from hemalum_training.data.sources import TileSource, tile_sources
from hemalum_training.data.tile_store import TILE_MPP, LabelledRow, TileRow, write_table
from hemalum_training.data.twins import SIDE, refuse_twins, thumbnail
from hemalum_training.store import thumbnail_page, write_json

# Hand labels are few: of a density that the other domain lacks they are drawn a quarter as often, instead of never.
LEAST = 0.25


def make_tiles(config: Config, data: Path, out: Path, log=print) -> Path:
    """Write OUT/tiles; sources that are done already, with the same settings, are not read again.

    Raises:
        UsageError: no unlabelled set; a validation image also among the training images or the tiles; an empty domain
            where the configuration trains two.
        UnreadableImage, UnknownResolution: of a source.
    """
    if not config.unlabelled:
        raise UsageError(f"configuration {config.name} names no unlabelled set; add a table [unlabelled.NAME].")
    folder = Path(out) / "tiles"
    for part in ("images", "sources"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    sources = []
    for name, entry in config.unlabelled.items():
        sources += tile_sources(name, entry, data)
    labelled = {part: load_labelled(config, data, part) for part in ("train", "validation")}
    records = _cut_all(sources, config, folder, log)
    _refuse_twins(sources, records, labelled, load_zero_shot(config, data))
    stains = {}
    for source, record in zip(sources, records, strict=True):
        stains[source.full_name] = Stain.from_record(record["stain"])
    stains_of_labelled = {}
    for image in labelled["train"] + labelled["validation"]:
        stains_of_labelled[image.name] = _stain(image)
    learned_stains = stains | {image.name: stains_of_labelled[image.name] for image in labelled["train"]}
    domains = choose_target(learned_stains, config.tiles.clusters, _named(config, sources, learned_stains))
    parts, tiles, rows = _parts(sources, config), [], []
    for source, record in zip(sources, records, strict=True):
        tiles += _tile_rows(source, record, domains, parts[source.set][source.group])
    for part, images in labelled.items():
        rows += _labelled_rows(images, part, stains_of_labelled, domains, config)
    if not tiles:
        raise UsageError("no source has a tile with enough tissue; lower [tiles] tissue or add images.")
    _refuse_empty_domains(config, rows)
    tiles = _weighted(tiles, config.tiles.density_bins)
    rows = _weighted(rows, config.tiles.density_bins, LEAST)
    write_table(folder / "labelled.csv", rows, LabelledRow)
    write_json(folder / "domains.json", domains.record())
    write_table(folder / "manifest.csv", tiles, TileRow)
    _tidy(folder, tiles)
    for name in "XY":
        inside = [tile for tile in tiles if tile.domain == name]
        pictures = [(folder / "images" / f"{tile.tile}.png", f"{tile.density:.2f} {tile.set}") for tile in inside]
        thumbnail_page(pictures, folder / f"{name}.png", config.seed)
        training_images = sum(row.domain == name and row.part == "train" for row in rows)
        log(f"domain {name}: {len(inside)} tiles, {training_images} labelled training images")
    log(f"domain Y is {domains.rule}")
    return folder


def _cut_all(sources: list[TileSource], config: Config, folder: Path, log) -> list[dict]:
    """The record of every source, see `cut`."""
    records, skipped, tiles = [], 0, 0
    for number, source in enumerate(sources, 1):
        record, fresh = cut(source, config.tiles, folder)
        records.append(record)
        skipped += not fresh
        tiles += len(record["tiles"])
        if number % 100 == 0 or number == len(sources):
            again = f" ({skipped} sources were done already)" if skipped else ""
            log(f"tiles: {number}/{len(sources)} sources, {tiles} tiles{again}")
    return records


def _refuse_twins(sources: list[TileSource], records: list[dict], labelled: dict[str, list[LabelledImage]],
                  zero_shot: list[LabelledImage]) -> None:
    """No image to learn from, labelled or not, may be one that is kept apart."""
    learned = {image.name: thumbnail(image.pixels) for image in labelled["train"]}
    for source, record in zip(sources, records, strict=True):
        learned[source.full_name] = np.array(record["thumbnail"], np.float32).reshape(SIDE, SIDE, 3)
    refuse_twins(learned, labelled["validation"] + zero_shot)


def _tile_rows(source: TileSource, record: dict, domains: Domains, part: str) -> list[TileRow]:
    """A row a tile of a source, without its weight."""
    rows, stain = [], Stain.from_record(record["stain"])
    for name, x, y, tissue, density in record["tiles"]:
        row = TileRow(
            tile=name,
            set=source.set,
            source=source.name,
            group=source.group,
            licence=source.licence,
            part=part,
            x=x,
            y=y,
            mpp=TILE_MPP,
            tissue=tissue,
            density=density,
            domain=domains.of(stain),
            weight=0.0,
            stain=stain,
        )
        rows.append(row)
    return rows


def _labelled_rows(images: list[LabelledImage], part: str, stains: dict[str, Stain], domains: Domains,
                   config: Config) -> list[LabelledRow]:
    """A row a labelled image, without its weight."""
    rows = []
    for image in images:
        set_name, stain = image.name.split("/")[0], stains[image.name]
        row = LabelledRow(
            image=image.name,
            set=set_name,
            licence=config.sets[set_name].licence,
            part=part,
            density=round(nuclear_density(_half(image.pixels), stain), 4),
            domain=domains.of(stain),
            weight=0.0,
            stain=stain,
        )
        rows.append(row)
    return rows


def _half(pixels: np.ndarray) -> np.ndarray:
    factor = LABEL_MPP / TILE_MPP
    return cv2.resize(pixels, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)


def _stain(image: LabelledImage) -> Stain:
    half = _half(image.pixels)
    return estimate(half, tissue_mask(half), "macenko", TILE_MPP)


def _parts(sources: list[TileSource], config: Config) -> dict[str, dict[str, str]]:
    """Set → group → part.  A group that a labelled set of the same folder keeps for validation stays there."""
    parts = {}
    for name, entry in config.unlabelled.items():
        groups = [source.group for source in sources if source.set == name]
        kept = config.sets[entry.folder or name].validation if (entry.folder or name) in config.sets else []
        parts[name] = parts_of(groups, config.tiles.validation)
        parts[name] |= {group: "validation" for group in groups if group in kept}
    return parts


def _named(config: Config, sources: list[TileSource], stains: dict[str, Stain]) -> list[str] | None:
    """Images that the configuration's reference means, by name, SET/NAME, slide or patient; None: it names none."""
    reference = config.tiles.reference
    if reference is None:
        return None
    names = [s.full_name for s in sources if reference in (s.name, s.group, s.full_name)]
    names += [name for name in stains if reference in (name, name.split("/", 1)[1])]
    if not names:
        raise UsageError(
            f"[tiles] reference {reference!r} is no image, slide or patient of this configuration; correct the name."
        )
    return names


def _refuse_empty_domains(config: Config, rows: list[LabelledRow]) -> None:
    if config.method is None:
        return
    for name in "XY":
        # unlabelled tiles of Y are not needed: the tiles of X become its images
        if not any(row.domain == name for row in rows if row.part == "train"):
            stains = "other stains" if name == "X" else "the reference stain"
            raise UsageError(
                f"domain {name} has no labelled training image; name another [tiles] reference, change [tiles] "
                f"clusters, or add images in {stains}."
            )


def _weighted(rows: list, bins: int, least: float = 0.0) -> list:
    """Rows with their weights, matched within each part.

    None is drawn less often than `least` times as evenly as could be.
    """
    out = []
    for part in sorted({row.part for row in rows}):
        inside = [row for row in rows if row.part == part]
        domain = np.array([row.domain for row in inside])
        weights = match_density(np.array([row.density for row in inside]), domain, bins)
        for name in sorted(set(domain)):
            there = domain == name
            weights[there] = np.maximum(weights[there], least / there.sum())
            weights[there] /= weights[there].sum()
        for row, weight in zip(inside, weights, strict=True):
            out.append(dataclasses.replace(row, weight=round(float(weight), 8)))
    return out


def _tidy(folder: Path, tiles: list[TileRow]) -> None:
    """Remove pictures of tiles that another configuration had."""
    names = {f"{tile.tile}.png" for tile in tiles}
    for path in (folder / "images").iterdir():
        if path.name not in names:
            path.unlink()
