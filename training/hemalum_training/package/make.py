"""From a trained run to a package with its card: calibration, export, thresholds, scores."""

from __future__ import annotations

import csv
import json
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from hemalum.engine.base import stored_tile
from hemalum.errors import UsageError
from hemalum.grid.resample import box_mean
from hemalum.models import Model, find
from hemalum.models.card import Card
from hemalum.nuclei.instances import InstanceParameters, instances
from hemalum_training.config.config import Config
from hemalum_training.data.augment import photometric, sample_crop
from hemalum_training.data.labelled import LabelledImage, load_labelled
from hemalum_training.loops.checkpoint import INITIAL
from hemalum_training.networks.deployed import HALO, WINDOW
from hemalum_training.package.card import card_of, counts_by_set, cycle_data, pseudo_data
from hemalum_training.package.export import export_package, write_card
from hemalum_training.scoring import packages as ev

CALIBRATION_TILES = 24
MEASURES = {"aji": "AJI", "pq": "PQ", "dq": "DQ", "sq": "SQ", "dice": "Dice"}


def calibration(images: list[LabelledImage], seed: int, fold: int) -> list[np.ndarray]:
    """Augmented training crops of the exported shape, uint8 384 · fold squared × 3, drawn by the sets' weights."""
    rng, side, colour = np.random.default_rng(seed), WINDOW + 2 * HALO, partial(photometric, fold=fold)
    weights = np.array([image.weight for image in images])
    drawn = rng.choice(len(images), CALIBRATION_TILES, p=weights / weights.sum())
    return [sample_crop(images[i], side, rng, colour, fold)[0] for i in drawn]


def check_tile(images: list[LabelledImage], fold: int) -> np.ndarray:
    """A tile of the first image under CC0 (it lies in the package), mirrored to the exported shape.

    Without one, that of the bundled model.
    """
    side = (WINDOW + 2 * HALO) * fold
    if not images:
        return cv2.resize(stored_tile(find("nuclei"))[0], (side, side), interpolation=cv2.INTER_AREA)
    pixels = box_mean(images[0].pixels, 2 // fold)
    rows, columns = (np.minimum(np.abs((np.arange(side) + n) % (2 * n) - n), n - 1) for n in pixels.shape[:2])
    return pixels[rows][:, columns]


def package_model(out: Path) -> Model:
    return Model(Card.read(out / "package"), out / "package")


def _validation(config: Config) -> str:
    """What is kept for validation, in words."""
    parts = []
    for name, entry in config.sets.items():
        if entry.validation:
            parts.append(f"{name}: {'patients' if entry.patient_column else 'images'} {', '.join(entry.validation)}")
    return "; ".join(parts)


def make_package(config: Config, data: Path, out: Path, log=print) -> Path:
    """Export `out/weights.pt`, choose thresholds on the validation images and write the card with the scores.

    Raises:
        UsageError: the run has no weights yet.
    """
    if not (out / "weights.pt").is_file():
        raise UsageError(f"{out} has no weights.pt yet; run `hemalum train student` first.")
    images = load_labelled(config, data)
    card = _card(config, images, out)
    folder, fold = out / "package", config.network.fold
    free = [image for image in images if config.sets[image.name.split("/")[0]].licence == "CC0"]
    tiles = calibration(images, config.seed, fold)
    export_package(
        out / "weights.pt", folder, card, tiles, check_tile(free, fold), translates=config.method is not None
    )
    model = package_model(out)
    parts = {name: ev.maps_of(model, part) for name, part in ev.labelled_parts(config, data).items()}
    validation = []
    for name in config.sets:
        validation += parts.get(name, [])
    rows = []
    if validation:
        thresholds, rows = ev.choose_thresholds(validation, ev.instance_parameters(card["thresholds"]))
        card["thresholds"] |= thresholds
        choice = f"thresholds chosen on the validation images of the training sets ({_validation(config)})"
    else:
        log("no image is kept for validation, so the thresholds are the usual ones; "
            "name some in [sets.NAME] validation.")
        choice = "the usual thresholds"
    protocol = (
        f"mean over images, whole images at 0.25 µm/px, default precision, {choice}; zero-shot sets trained nothing"
    )
    if config.part_um2:
        protocol += " and chose nothing but part_um2"
    scores = ev.table(parts, ev.instance_parameters(card["thresholds"]))
    card["scores"] = {"protocol": protocol, "images": scores}
    rows.sort(key=lambda row: -row["score"])
    (out / "thresholds.json").write_text(json.dumps(rows, indent=1), encoding="utf-8")
    write_card(folder, card, config.network)
    for name, row in scores.items():
        log(f"{name:16} AJI {row['aji']:.4f}  PQ {row['pq']:.4f}  Dice {row['dice']:.4f}  ({row['images']} images)")
    return folder


def _card(config: Config, images: list[LabelledImage], out: Path) -> dict:
    """The card as far as it is known before anything is scored, with the usual thresholds."""
    counts = counts_by_set(config, images)
    initial = json.loads((out / INITIAL).read_text(encoding="utf-8")) if (out / INITIAL).is_file() else None
    card = card_of(config, counts, pseudo_data(config, out) + cycle_data(config, out), initial)
    thresholds = {"foreground": 0.45, "marker": 0.15, "sigma": 1.0, "min_area_um2": 4.0, "part_um2": config.part_um2}
    return card | {"thresholds": thresholds}


def report_scores(config: Config, data: Path, out: Path, overlays: bool = False, log=print) -> None:
    """Score the package in every precision it has; writes `out/scores.csv`, worst AJI first.

    With `overlays` also `out/overlays/SET_STEM.png`.
    """
    if not (out / "package" / "card.json").is_file():
        raise UsageError(f"{out} has no package to score yet; run `hemalum train all` or `hemalum train export` first.")
    model = package_model(out)
    parameters = ev.instance_parameters(model.card.thresholds)
    parts, rows = ev.labelled_parts(config, data), []
    for precision in ("fp32", "int8"):
        try:
            scored = {name: ev.maps_of(model, images, precision) for name, images in parts.items()}
        except UsageError as error:       # int8 maps too far from float ones are not used by the server either
            log(f"{precision}  not used: {error}")
            continue
        for name, items in scored.items():
            of_set = _score_rows(items, parameters, precision)
            means = []
            for measure, label in MEASURES.items():
                means.append(f"{label} {np.mean([row[measure] for row in of_set]):.4f}")
            log(f"{precision}  {name:16} " + "  ".join(means))
            rows += of_set
    if not rows:
        log("no image is kept for validation, so there are no scores.")
        return
    with open(out / "scores.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(sorted(rows, key=lambda row: row["aji"]))
    if overlays:
        _overlays(scored, parameters, out / "overlays")


def _score_rows(scored: list[ev.Scored], parameters: InstanceParameters, precision: str) -> list[dict]:
    """A row an image of `scores.csv`."""
    rows = []
    for item, scores in zip(scored, ev.score_maps(scored, parameters), strict=True):
        row = {"precision": precision, "image": item.image.name}
        rows.append(row | {measure: round(getattr(scores, measure), 4) for measure in MEASURES})
    return rows


def _overlays(scored: dict[str, list[ev.Scored]], parameters: InstanceParameters, folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    for items in scored.values():
        for item in items:
            labels = instances(item.maps[0].astype(np.float32), item.maps[1].astype(np.float32), parameters)
            name = item.image.name.replace("/", "_")
            Image.fromarray(ev.overlay(item.image, labels)).save(folder / f"{name}.png")
