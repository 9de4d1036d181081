"""S1: slides, images and exports → tiles at 0.5 µm/px with stain, nuclear density, domain and part, in OUT/tiles (see `tile_store`)."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import cv2
import numpy as np

from hemalum.errors import UsageError
from hemalum.projects.export import parts_of
from hemalum.stain import Stain, estimate
from hemalum.stain.tissue import tissue_mask
from hemalum_training.config.config import Config
from hemalum_training.data.cutting import cut
from hemalum_training.data.domains import choose_target, match_density, nuclear_density
from hemalum_training.data.labelled import LABEL_MPP, LabelledImage, load_labelled, load_zero_shot
from hemalum_training.data.sources import TileSource, sources_of
from hemalum_training.data.tile_store import TILE_MPP, LabelledRow, Tile, write_table
from hemalum_training.data.twins import SIDE, refuse_twins, thumbnail
from hemalum_training.store import thumbnail_page, write_json

LEAST = 0.25    # hand labels are few: of a density that the other domain lacks they are drawn a quarter as often, instead of never


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
    done, skipped = [], 0
    for number, source in enumerate(sources, 1):
        record, fresh = cut(source, config.tiles, folder)
        skipped += not fresh
        done.append((source, record))
        if number % 100 == 0 or number == len(sources):
            log(f"tiles: {number}/{len(sources)} sources, {sum(len(r['tiles']) for _, r in done)} tiles"
                + (f" ({skipped} sources were done already)" if skipped else ""))
    learned = {image.name: thumbnail(image.pixels) for image in labelled["train"]}
    learned |= {f"{s.set}/{s.name}": np.array(r["thumbnail"], np.float32).reshape(SIDE, SIDE, 3) for s, r in done}
    refuse_twins(learned, labelled["validation"] + load_zero_shot(config, data))
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
    tiles, rows = _weighted(tiles, config.tiles.density_bins), _weighted(rows, config.tiles.density_bins, LEAST)
    write_table(folder / "labelled.csv", rows, LabelledRow)
    write_json(folder / "domains.json", domains.record())
    write_table(folder / "manifest.csv", tiles, Tile)
    _tidy(folder, tiles)
    for name in "XY":
        shown = [tile for tile in tiles if tile.domain == name]
        thumbnail_page([(folder / "images" / f"{t.tile}.png", f"{t.density:.2f} {t.set}") for t in shown], folder / f"{name}.png", config.seed)
        log(f"domain {name}: {len(shown)} tiles, {sum(row.domain == name and row.part == 'train' for row in rows)} labelled training images")
    log(f"domain Y is {domains.rule}")
    return folder


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
        parts[name] = parts_of(groups, config.tiles.validation) | {group: "validation" for group in groups if group in kept}
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


def _weighted(rows: list, bins: int, least: float = 0.0) -> list:
    """Rows with their weights, matched within each part; none is drawn less often than `least` times as evenly as could be."""
    out = []
    for part in sorted({row.part for row in rows}):
        inside = [row for row in rows if row.part == part]
        domain = np.array([row.domain for row in inside])
        weights = match_density(np.array([row.density for row in inside]), domain, bins)
        for there in (domain == name for name in sorted(set(domain))):
            weights[there] = np.maximum(weights[there], least / there.sum())
            weights[there] /= weights[there].sum()
        out += [dataclasses.replace(row, weight=round(float(w), 8)) for row, w in zip(inside, weights, strict=True)]
    return out


def _tidy(folder: Path, tiles: list[Tile]) -> None:
    """Remove pictures of tiles that another configuration had."""
    names = {f"{tile.tile}.png" for tile in tiles}
    for path in (folder / "images").iterdir():
        if path.name not in names:
            path.unlink()
