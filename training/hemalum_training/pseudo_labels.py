"""Pseudo labels: the teacher's nuclei on unlabelled tiles, those kept that a rule trusts.

    OUT/pseudo/manifest.csv   one row a tile: scores, `kept`, `reason`
    OUT/pseudo/images/*.png       the tile itself, uint8 RGB at 0.5 µm/px
    OUT/pseudo/labels/*.png       uint16 instances at 0.25 µm/px, twice the tile's side
    OUT/pseudo/normalized/*.png   the tile in the stain of domain Y, by the teacher's normalization decoder or a colour table
    OUT/pseudo/foreground/*.png, distance/*.png   uint8 at 0.25 µm/px: 255 · the teacher's maps, mean over all views
    OUT/pseudo/teacher.json       which teacher, rule and normalizer        OUT/pseudo/kept.png, discarded.png   with outlines
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from hemalum.errors import UsageError
from hemalum.stain import Stain

from .agreement import TileScores, choose
from .config import Config
from .data_config import Pseudo
from .labelling import Teacher, label_tile, load_teacher, normalized_tile
from .store import read_rows, write_json, write_png, write_rows
from .thumbnails import thumbnail_page
from .tile_store import Tile, load_domains, load_tiles, tile_pixels

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


def make_pseudo_labels(config: Config, out: Path, init: str | None = None, device: str = "cpu", log=print) -> Path:
    """Write OUT/pseudo from the training tiles of OUT/tiles; tiles that this teacher has labelled already are not computed again.

    Raises:
        UsageError: no tiles or no teacher yet, a teacher that finds nothing, or no tile that is kept.
    """
    out, wanted = Path(out), config.pseudo or Pseudo()
    tiles = _pool([tile for tile in load_tiles(out) if tile.part == "train"], wanted.pool)
    teacher, reference = load_teacher(out, init, device), load_domains(out).reference
    log(f"teacher: {teacher.name}")
    folder = out / "pseudo"
    for part in (*PICTURES, "scores"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    made_with = [PICTURES, teacher.name, dataclasses.asdict(teacher.parameters), wanted.jitters, wanted.jitter, wanted.band, wanted.views,
                 reference.record(), config.seed]
    key = hashlib.sha256(json.dumps(made_with).encode()).hexdigest()[:16]
    scores = []
    for number, tile in enumerate(tiles, 1):
        scores.append(_labelled(tile, key, config, wanted, out, teacher, reference))
        if number % 25 == 0 or number == len(tiles):
            log(f"pseudo labels: {number}/{len(tiles)} tiles")
    reasons = choose(scores, wanted.rule, wanted.threshold, wanted.keep, wanted.bins, wanted.empty_share)
    if not any(s.nuclei for s in scores):
        raise UsageError(f"the teacher ({teacher.name}) finds no nucleus on any of {len(tiles)} tiles; train it longer or name another.")
    if all(reasons):
        best = max(s.of(wanted.rule) for s in scores)
        raise UsageError(f"no tile is kept: the best score is {best:.3f}, the threshold of [pseudo] is {wanted.threshold:g}; lower it.")
    write_rows(folder / "manifest.csv", [
        {"tile": tile.tile, "set": tile.set, "group": tile.group, "domain": tile.domain, "kept": "no" if reason else "yes", "reason": reason,
         "score": f"{s.of(wanted.rule):.4f}", **{k: round(v, 4) for k, v in dataclasses.asdict(s).items()}}
        for tile, s, reason in zip(tiles, scores, reasons, strict=True)])
    normalizer = "colour table" if teacher.generator is None else "normalization decoder"
    write_json(folder / "teacher.json", {"teacher": teacher.name, "key": key, "normalizer": normalizer, **dataclasses.asdict(wanted)})
    gallery(folder, tiles, reasons, scores, wanted.rule, config.seed)
    log(f"kept {reasons.count('')} of {len(tiles)} tiles by the rule {wanted.rule}")
    return folder


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


def _pool(tiles: list[Tile], most: int) -> list[Tile]:
    """At most so many tiles (0: all), drawn by a hash of their names: the same ones whatever else the manifest holds."""
    if not most or len(tiles) <= most:
        return tiles
    drawn = sorted(tiles, key=lambda tile: hashlib.sha256(tile.tile.encode()).hexdigest())[:most]
    return sorted(drawn, key=lambda tile: tile.tile)


def _labelled(tile: Tile, key: str, config: Config, wanted: Pseudo, out: Path, teacher: Teacher, reference: Stain) -> TileScores:
    """Scores of a tile, known again by its pixels; its pictures are written first, so a score on disk means that they are whole."""
    path = out / "pseudo" / "scores" / f"{tile.tile}.json"
    pixels = tile_pixels(out, tile.tile)
    key = hashlib.sha256(key.encode() + np.ascontiguousarray(pixels).tobytes()).hexdigest()[:16]
    if path.is_file() and (record := json.loads(path.read_text(encoding="utf-8"))).pop("key") == key:
        return TileScores(**record)
    labels, scores, maps = label_tile(teacher, pixels, wanted, int(hashlib.sha256(tile.tile.encode()).hexdigest()[:8], 16) + config.seed)
    pictures = pixels, normalized_tile(teacher, pixels, tile.stain, reference), labels.astype(np.uint16), *maps
    for part, picture in zip(PICTURES, pictures, strict=True):
        write_png(out / "pseudo" / part / f"{tile.tile}.png", picture)
    write_json(path, {"key": key, **dataclasses.asdict(scores)})
    return scores


def gallery(folder: Path, tiles: list[Tile], reasons: list[str], scores: list[TileScores], rule: str, seed: int) -> None:
    """`kept.png` and `discarded.png` with the nuclei's outlines in yellow."""
    for name, wanted in (("kept", True), ("discarded", False)):
        shown = [i for i, reason in enumerate(reasons) if (not reason) == wanted]
        if len(shown) > 80:
            shown = sorted(np.random.default_rng(seed).choice(shown, 80, replace=False))
        thumbnail_page([(outlined(folder, tiles[i].tile), f"{scores[i].of(rule):.2f} {tiles[i].set}") for i in shown], folder / f"{name}.png")


def outlined(folder: Path, name: str) -> np.ndarray:
    """A tile at 0.25 µm/px with its nuclei's outlines in yellow, uint8."""
    pixels = cv2.imread(str(folder / "images" / f"{name}.png"))[..., ::-1]
    labels = cv2.imread(str(folder / "labels" / f"{name}.png"), cv2.IMREAD_UNCHANGED)
    big = cv2.resize(pixels, labels.shape[::-1], interpolation=cv2.INTER_CUBIC)
    big[cv2.morphologyEx(labels.astype(np.float32), cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8)) > 0] = (255, 230, 0)
    return big
