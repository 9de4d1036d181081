"""Pseudo labels: the teacher's nuclei on unlabelled tiles, those kept that a rule trusts.

    OUT/pseudo/manifest.csv   one row a tile: scores, `kept`, `reason`
    OUT/pseudo/images/*.png       the tile itself, uint8 RGB at 0.5 µm/px
    OUT/pseudo/labels/*.png       uint16 instances at 0.25 µm/px, twice the tile's side
    OUT/pseudo/normalized/*.png   the tile in the stain of domain Y, by the teacher's normalization decoder or a colour table
    OUT/pseudo/teacher.json       which teacher, rule and normalizer        OUT/pseudo/gallery.png   kept and discarded tiles with outlines
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
import torch

from hemalum.errors import UsageError
from hemalum.instances import Parameters
from hemalum.models import Model, find
from hemalum.models.card import Card
from hemalum.stain import Stain, apply_table, colour_table

from . import checkpoint
from .agreement import TileScores, choose, score_tile
from .augment import stain_jitter
from .config import Config
from .export import WINDOW, load_generator
from .method_config import Pseudo
from .networks import Generator
from .package import instance_parameters
from .predict import INSTANCES, Prediction
from .replay import to_bytes
from .supervised import to_input
from .thumbnails import thumbnail_page
from .tiles import Tile, load_domains, load_tiles, tile_pixels

HALO = 32  # px mirrored around a tile: a nucleus at its edge is seen as it will be in training crops
FLIPS = (lambda a: a, lambda a: a[:, ::-1], lambda a: a[::-1], lambda a: a[::-1, ::-1])


@dataclass(frozen=True)
class Teacher:
    """A generator in evaluation mode, the parameters of its instance step and what it is called in records."""

    generator: Generator
    parameters: Parameters
    name: str
    device: str = "cpu"


@dataclass(frozen=True)
class PseudoTile:
    """A kept tile on disk: paths of its own image, its image in Y's stain and its instances, see the module."""

    name: str
    image: Path
    normalized: Path
    labels: Path
    score: float


def load_teacher(config: Config, out: Path, init: str | None, device: str = "cpu") -> Teacher:
    """OUT/teacher if it is trained, else the model or weights named by `init`.

    Raises:
        UsageError: there is neither, or the model's network is not the configuration's.
    """
    own = Path(out) / "teacher" / "weights.pt"
    if own.is_file() or (init and Path(init).is_file()):
        path = own if own.is_file() else Path(init)
        generator, parameters, name = load_generator(path), INSTANCES, f"{path.parent.name}/{path.name} {_digest(path)}"
    elif init:
        model = Model(Card.read(Path(init)), Path(init)) if (Path(init) / "card.json").is_file() else find(init)
        weights = checkpoint.initial_weights(init)
        network = dataclasses.replace(config.network, normalization=any(key.startswith("normalization.") for key in weights))
        generator = Generator(network, imagenet=False)
        try:
            generator.load_state_dict(weights)
        except RuntimeError:
            raise UsageError(f"model {model.id} has another network than [network] in the configuration; restore it or name another model.") from None
        parameters, name = instance_parameters(model.card.thresholds), f"model {model.id} {model.card.version}"
    else:
        raise UsageError(f"there is no teacher {own}; run `hemalum train teacher` first or name a model with --init.")
    return Teacher(generator.eval().to(device, memory_format=torch.channels_last), parameters, name, device)


@torch.no_grad()
def view_maps(teacher: Teacher, pixels: np.ndarray, jitters: int, strength: float, seed: int) -> tuple[np.ndarray, np.ndarray | None]:
    """Maps of a tile seen in four orientations and in `jitters` other stains.

    Args:
        pixels: uint8 h×w×3 at 0.5 µm/px.

    Returns:
        foreground and distance, each float32 v×2h×2w (the first is the plain pass, the first four are the flips), turned back to the
        tile; distance is None for a decoder of one channel.
    """
    height, width = pixels.shape[:2]
    rng = np.random.default_rng(seed)
    turns = [*range(4), *(int(t) for t in rng.integers(0, 4, jitters))]
    padded = cv2.copyMakeBorder(pixels, HALO, HALO + -height % 32, HALO, HALO + -width % 32, cv2.BORDER_REFLECT_101)
    stained = [padded] * 4 + [stain_jitter(padded, rng, strength) for _ in range(jitters)]
    batch = np.stack([np.ascontiguousarray(FLIPS[t](p)) for t, p in zip(turns, stained, strict=True)])
    x = to_input(batch, teacher.device).contiguous(memory_format=torch.channels_last)
    logits = teacher.generator(x, ((-HALO % WINDOW) // 32,) * 2)["segmentation"].float()
    if logits.shape[-1] != 2 * x.shape[-1]:
        logits = torch.nn.functional.interpolate(logits, scale_factor=2 * x.shape[-1] / logits.shape[-1], mode="bilinear", align_corners=False)
    maps = torch.cat([logits[:, :1].sigmoid(), logits[:, 1:2].clamp(0, 1)], 1).cpu().numpy().transpose(0, 2, 3, 1)
    core = np.s_[2 * HALO:2 * (HALO + height), 2 * HALO:2 * (HALO + width)]
    turned = np.stack([FLIPS[t](m)[core] for t, m in zip(turns, maps, strict=True)])
    return turned[..., 0], turned[..., 1] if turned.shape[-1] > 1 else None


def label_tile(teacher: Teacher, pixels: np.ndarray, wanted: Pseudo, seed: int) -> tuple[np.ndarray, TileScores]:
    """Nuclei of a tile from the mean of its flips (int32 2h×2w at 0.25 µm/px), and what the rules see of it."""
    foreground, distance = view_maps(teacher, pixels, wanted.jitters, wanted.jitter, seed)

    def nuclei(f: np.ndarray, d: np.ndarray | None) -> np.ndarray:
        return Prediction(np.ascontiguousarray(f), None if d is None else np.ascontiguousarray(d), None).labels(teacher.parameters)

    labels = nuclei(foreground[:4].mean(0), None if distance is None else distance[:4].mean(0))
    each = [nuclei(f, None if distance is None else distance[i]) for i, f in enumerate(foreground)]
    return labels, score_tile(foreground[0], foreground, labels, each, wanted.band, teacher.parameters.foreground)


def normalized_tile(teacher: Teacher, pixels: np.ndarray, stain: Stain, reference: Stain) -> np.ndarray:
    """The pseudo-Y image: by the teacher's normalization decoder where it has one, else by the colour table; uint8 h×w×3."""
    if teacher.generator.normalization is None:
        return apply_table(pixels, colour_table(stain, reference))
    height, width = pixels.shape[:2]
    padded = cv2.copyMakeBorder(pixels, 0, -height % 32, 0, -width % 32, cv2.BORDER_REFLECT_101)
    with torch.no_grad():
        out = teacher.generator(to_input(padded[None], teacher.device), segmentation=False, normalized=True)["normalized"]
    return to_bytes(out)[0].permute(1, 2, 0).cpu().numpy()[:height, :width]


def make_pseudo_labels(config: Config, out: Path, init: str | None = None, device: str = "cpu", log=print) -> Path:
    """Write OUT/pseudo from the training tiles of OUT/tiles; tiles that this teacher has labelled already are not computed again.

    Raises:
        UsageError: no tiles or no teacher yet, or no tile is kept.
    """
    out, wanted = Path(out), config.pseudo or Pseudo()
    tiles = [tile for tile in load_tiles(out) if tile.part == "train"]
    teacher, reference = load_teacher(config, out, init, device), load_domains(out).reference
    folder = out / "pseudo"
    for part in ("images", "labels", "normalized", "scores"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    key = hashlib.sha256(json.dumps([teacher.name, dataclasses.asdict(teacher.parameters), wanted.jitters, wanted.jitter, wanted.band,
                                     reference.record(), config.seed]).encode()).hexdigest()[:16]
    scores = []
    for number, tile in enumerate(tiles, 1):
        scores.append(_labelled(tile, key, config, wanted, out, teacher, reference))
        if number % 25 == 0 or number == len(tiles):
            log(f"pseudo labels: {number}/{len(tiles)} tiles")
    reasons = choose(scores, wanted.rule, wanted.threshold, wanted.keep, wanted.bins, wanted.empty_share)
    if all(reasons):
        best = max(s.of(wanted.rule) for s in scores)
        raise UsageError(f"no tile is kept: the best score is {best:.3f}, the threshold of [pseudo] is {wanted.threshold:g}; lower it.")
    _write_manifest(folder, tiles, scores, reasons, wanted.rule)
    normalizer = "colour table" if teacher.generator.normalization is None else "normalization decoder"
    _replace(folder / "teacher.json", json.dumps({"teacher": teacher.name, "key": key, "normalizer": normalizer, **dataclasses.asdict(wanted)},
                                                 indent=1).encode())
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
    with open(folder / "manifest.csv", newline="", encoding="utf-8") as file:
        kept = [row for row in csv.DictReader(file) if row["kept"] == "yes"]
    return [PseudoTile(row["tile"], *(folder / part / f"{row['tile']}.png" for part in ("images", "normalized", "labels")), float(row["score"]))
            for row in kept]


def _labelled(tile: Tile, key: str, config: Config, wanted: Pseudo, out: Path, teacher: Teacher, reference: Stain) -> TileScores:
    """Scores of a tile; its pictures are written first, so a score on disk means that they are whole."""
    path = out / "pseudo" / "scores" / f"{tile.tile}.json"
    if path.is_file() and (record := json.loads(path.read_text(encoding="utf-8"))).pop("key") == key:
        return TileScores(**record)
    pixels = tile_pixels(out, tile.tile)
    labels, scores = label_tile(teacher, pixels, wanted, int(hashlib.sha256(tile.tile.encode()).hexdigest()[:8], 16) + config.seed)
    for part, picture in (("images", pixels[..., ::-1]), ("labels", labels.astype(np.uint16)),
                          ("normalized", normalized_tile(teacher, pixels, tile.stain, reference)[..., ::-1])):
        _replace(out / "pseudo" / part / f"{tile.tile}.png", cv2.imencode(".png", np.ascontiguousarray(picture))[1].tobytes())
    _replace(path, json.dumps({"key": key, **dataclasses.asdict(scores)}).encode())
    return scores


def _write_manifest(folder: Path, tiles: list[Tile], scores: list[TileScores], reasons: list[str], rule: str) -> None:
    rows = [{"tile": tile.tile, "set": tile.set, "group": tile.group, "domain": tile.domain, "kept": "no" if reason else "yes", "reason": reason,
             "score": f"{s.of(rule):.4f}", **{k: round(v, 4) for k, v in dataclasses.asdict(s).items()}}
            for tile, s, reason in zip(tiles, scores, reasons, strict=True)]
    temporary = folder / "manifest.csv.part"
    with open(temporary, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    os.replace(temporary, folder / "manifest.csv")


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


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:12]


def _replace(path: Path, content: bytes) -> None:
    temporary = path.with_name(path.name + ".part")
    temporary.write_bytes(content)
    os.replace(temporary, path)
