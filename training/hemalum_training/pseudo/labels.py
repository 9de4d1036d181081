"""Pseudo labels: the teacher's nuclei on unlabelled tiles, those kept that a rule trusts.

    OUT/pseudo/manifest.csv       one row a tile: scores, `kept`, `reason`
    OUT/pseudo/images/*.png       the tile itself, uint8 RGB at 0.5 µm/px
    OUT/pseudo/labels/*.png       uint16 instances at 0.25 µm/px, twice the tile's side
    OUT/pseudo/normalized/*.png   the tile in the stain of domain Y, by the teacher's normalization decoder or a table
    OUT/pseudo/foreground/*.png, distance/*.png   uint8 at 0.25 µm/px: 255 · the teacher's maps, mean over all views
    OUT/pseudo/teacher.json       which teacher, rule and normalizer
    OUT/pseudo/kept.png, discarded.png            with outlines
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import cv2
import numpy as np

from hemalum.errors import UsageError
from hemalum.stain.estimation import Stain
from hemalum_training.config.config import Config
from hemalum_training.config.data import Pseudo
from hemalum_training.data.pseudo_store import PICTURES
from hemalum_training.data.tile_store import TileRow, load_domains, load_tiles, tile_pixels
from hemalum_training.pseudo.rules import TileScores, choose
from hemalum_training.pseudo.teacher import Teacher, label_tile, load_teacher, normalized_tile
from hemalum_training.store import thumbnail_page, write_json, write_png, write_rows


def make_pseudo_labels(config: Config, out: Path, init: str | None = None, device: str = "cpu", log=print) -> Path:
    """Write OUT/pseudo from the training tiles of OUT/tiles.

    Tiles that this teacher has labelled already are not computed again.

    Raises:
        UsageError: no tiles or no teacher yet, a teacher that finds nothing, or no tile that is kept.
    """
    out, table = Path(out), config.pseudo or Pseudo()
    tiles = _pool([tile for tile in load_tiles(out) if tile.part == "train"], table.pool)
    teacher, reference = load_teacher(out, init, device), load_domains(out).reference
    log(f"teacher: {teacher.name}")
    folder = out / "pseudo"
    for part in (*PICTURES, "scores"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    labelling = Labelling(out, teacher, reference, table, config.seed)
    scores = []
    for number, tile in enumerate(tiles, 1):
        scores.append(labelling.scores_of(tile))
        if number % 25 == 0 or number == len(tiles):
            log(f"pseudo labels: {number}/{len(tiles)} tiles")
    reasons = choose(scores, table.rule, table.threshold, table.keep, bins=table.bins, empty_share=table.empty_share)
    if not any(s.nuclei for s in scores):
        raise UsageError(f"the teacher ({teacher.name}) finds no nucleus on any of {len(tiles)} tiles; "
                         "train it longer or name another.")
    if all(reasons):
        best = max(s.of(table.rule) for s in scores)
        raise UsageError(f"no tile is kept: the best score is {best:.3f}, the threshold of [pseudo] is "
                         f"{table.threshold:g}; lower it.")
    rows = [_row(tile, s, reason, table.rule) for tile, s, reason in zip(tiles, scores, reasons, strict=True)]
    write_rows(folder / "manifest.csv", rows)
    described = {
        "teacher": teacher.name,
        "key": labelling.key,
        "normalizer": "colour table" if teacher.generator is None else "normalization decoder",
    }
    write_json(folder / "teacher.json", described | dataclasses.asdict(table))
    captions = [f"{s.of(table.rule):.2f} {tile.set}" for tile, s in zip(tiles, scores, strict=True)]
    gallery(folder, rows, captions, config.seed)
    log(f"kept {reasons.count('')} of {len(tiles)} tiles by the rule {table.rule}")
    return folder


def _pool(tiles: list[TileRow], most: int) -> list[TileRow]:
    """At most so many tiles (0: all), drawn by a hash of their names, so the same whatever else the manifest holds."""
    if not most or len(tiles) <= most:
        return tiles
    drawn = sorted(tiles, key=lambda tile: hashlib.sha256(tile.tile.encode()).hexdigest())[:most]
    return sorted(drawn, key=lambda tile: tile.tile)


@dataclass(frozen=True)
class Labelling:
    """A teacher at work in OUT/pseudo; `reference` is the stain of domain Y."""

    out: Path
    teacher: Teacher
    reference: Stain
    table: Pseudo
    seed: int

    @cached_property
    def key(self) -> str:
        """A digest of everything that the scores and pictures of a tile depend on."""
        teacher, table = self.teacher, self.table
        made_with = [PICTURES, teacher.name, dataclasses.asdict(teacher.parameters), table.jitters, table.jitter,
                     table.band, table.views, self.reference.record(), self.seed]
        return hashlib.sha256(json.dumps(made_with).encode()).hexdigest()[:16]

    def scores_of(self, tile: TileRow) -> TileScores:
        """Scores of a tile, known again by its pixels.

        Its pictures are written first, so a score on disk means that they are whole.
        """
        path = self.out / "pseudo" / "scores" / f"{tile.tile}.json"
        pixels = tile_pixels(self.out, tile.tile)
        key = hashlib.sha256(self.key.encode() + np.ascontiguousarray(pixels).tobytes()).hexdigest()[:16]
        if path.is_file():
            record = json.loads(path.read_text(encoding="utf-8"))
            if record.pop("key") == key:
                return TileScores(**record)
        seed = int(hashlib.sha256(tile.tile.encode()).hexdigest()[:8], 16) + self.seed
        labels, scores, maps = label_tile(self.teacher, pixels, self.table, seed)
        normalized = normalized_tile(self.teacher, pixels, tile.stain, self.reference)
        pictures = [pixels, normalized, labels.astype(np.uint16), *maps]
        for part, picture in zip(PICTURES, pictures, strict=True):
            write_png(self.out / "pseudo" / part / f"{tile.tile}.png", picture)
        write_json(path, {"key": key, **dataclasses.asdict(scores)})
        return scores


def _row(tile: TileRow, scores: TileScores, reason: str, rule: str) -> dict:
    """A row of the manifest."""
    row = {"tile": tile.tile, "set": tile.set, "group": tile.group, "domain": tile.domain}
    row |= {"kept": "no" if reason else "yes", "reason": reason, "score": f"{scores.of(rule):.4f}"}
    return row | {name: round(value, 4) for name, value in dataclasses.asdict(scores).items()}


def gallery(folder: Path, rows: list[dict], captions: list[str], seed: int) -> None:
    """`kept.png` and `discarded.png` with the nuclei's outlines in yellow."""
    for name, kept in (("kept", "yes"), ("discarded", "no")):
        places = [i for i, row in enumerate(rows) if row["kept"] == kept]
        if len(places) > 80:
            places = sorted(np.random.default_rng(seed).choice(places, 80, replace=False))
        pictures = [(outlined(folder, rows[i]["tile"]), captions[i]) for i in places]
        thumbnail_page(pictures, folder / f"{name}.png")


def outlined(folder: Path, name: str) -> np.ndarray:
    """A tile at 0.25 µm/px with its nuclei's outlines in yellow, uint8."""
    pixels = cv2.imread(str(folder / "images" / f"{name}.png"))[..., ::-1]
    labels = cv2.imread(str(folder / "labels" / f"{name}.png"), cv2.IMREAD_UNCHANGED)
    big = cv2.resize(pixels, labels.shape[::-1], interpolation=cv2.INTER_CUBIC)
    big[cv2.morphologyEx(labels.astype(np.float32), cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8)) > 0] = (255, 230, 0)
    return big
