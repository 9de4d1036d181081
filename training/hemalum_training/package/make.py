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
from hemalum_training.config.config import Config
from hemalum_training.data.augment import photometric, sample_crop
from hemalum_training.data.labelled import LabelledImage, load_labelled
from hemalum_training.loops.checkpoint import INITIAL
from hemalum_training.networks.deployed import HALO, WINDOW
from hemalum_training.package.card import card_of, cycle_data, pseudo_data
from hemalum_training.package.export import export_package, write_card
from hemalum_training.scoring import packages as ev

CALIBRATION_TILES = 24
MEASURES = {"aji": "AJI", "pq": "PQ", "dq": "DQ", "sq": "SQ", "dice": "Dice"}


def calibration(images: list[LabelledImage], seed: int, fold: int) -> list[np.ndarray]:
    """Augmented training crops of the exported shape, uint8 384 · fold squared × 3, drawn by the sets' weights."""
    rng, side, colour = np.random.default_rng(seed), WINDOW + 2 * HALO, partial(photometric, fold=fold)
    weights = np.array([image.weight for image in images])
    return [sample_crop(images[i], side, rng, colour, fold)[0] for i in rng.choice(len(images), CALIBRATION_TILES, p=weights / weights.sum())]


def check_tile(images: list[LabelledImage], fold: int) -> np.ndarray:
    """A tile of the first image under CC0 (it lies in the package), mirrored to the exported shape; without one, that of the bundled model."""
    side = (WINDOW + 2 * HALO) * fold
    if not images:
        return cv2.resize(stored_tile(find("nuclei"))[0], (side, side), interpolation=cv2.INTER_AREA)
    pixels = box_mean(images[0].pixels, 2 // fold)
    rows, columns = (np.minimum(np.abs((np.arange(side) + n) % (2 * n) - n), n - 1) for n in pixels.shape[:2])
    return pixels[rows][:, columns]


def package_model(out: Path) -> Model:
    return Model(Card.read(out / "package"), out / "package")


def _validation(config: Config) -> str:
    return "; ".join(f"{name}: {'patients' if entry.patient_column else 'images'} {', '.join(entry.validation)}"
                     for name, entry in config.sets.items() if entry.validation)


def make_package(config: Config, data: Path, out: Path, log=print) -> Path:
    """Export `out/weights.pt`, choose thresholds on the validation images and write the card with the scores.

    Raises:
        UsageError: the run has no weights yet.
    """
    if not (out / "weights.pt").is_file():
        raise UsageError(f"{out} has no weights.pt yet; run `hemalum train student` first.")
    images = load_labelled(config, data)
    free = [image for image in images if config.sets[image.name.split("/")[0]].licence == "CC0"]
    counts = {name: sum(image.name.startswith(name + "/") for image in images) for name in config.sets}
    initial = json.loads((out / INITIAL).read_text(encoding="utf-8")) if (out / INITIAL).is_file() else None
    thresholds = {"foreground": 0.45, "marker": 0.15, "sigma": 1.0, "min_area_um2": 4.0, "part_um2": config.part_um2}
    card = card_of(config, counts, pseudo_data(config, out) + cycle_data(config, out), initial) | {"thresholds": thresholds}
    folder = out / "package"
    fold = config.network.fold
    export_package(out / "weights.pt", folder, card, calibration(images, config.seed, fold), check_tile(free, fold), config.method is not None)
    model = package_model(out)
    parts = {name: ev.maps_of(model, part) for name, part in ev.labelled_parts(config, data).items()}
    base = ev.instance_parameters(card["thresholds"])
    rows = []
    if judged := [s for name in config.sets if name in parts for s in parts[name]]:
        chosen, rows = ev.choose_thresholds(judged, base)
        card["thresholds"] |= chosen
    else:
        log("no image is kept for validation, so the thresholds are the usual ones; name some in [sets.NAME] validation.")
    choice = f"thresholds chosen on the validation images of the training sets ({_validation(config)})" if judged else "the usual thresholds"
    card["scores"] = {"protocol": f"mean over images, whole images at 0.25 µm/px, default precision, {choice}; zero-shot sets trained nothing"
                                  + (" and chose nothing but part_um2" if config.part_um2 else ""),
                      "images": ev.table(parts, ev.instance_parameters(card["thresholds"]))}
    (out / "thresholds.json").write_text(json.dumps(sorted(rows, key=lambda r: -r["score"]), indent=1), encoding="utf-8")
    write_card(folder, card, config.network)
    for name, row in card["scores"]["images"].items():
        log(f"{name:16} AJI {row['aji']:.4f}  PQ {row['pq']:.4f}  Dice {row['dice']:.4f}  ({row['images']} images)")
    return folder


def report_scores(config: Config, data: Path, out: Path, overlays: bool = False, log=print) -> None:
    """Score the package in every precision it has; writes `out/scores.csv`, worst AJI first, and with `overlays` `out/overlays/SET_STEM.png`."""
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
            found = [{k: round(getattr(s, k), 4) for k in MEASURES} for s in ev.score_maps(items, parameters)]
            rows += [{"precision": precision, "image": item.image.name, **row} for item, row in zip(items, found, strict=True)]
            mean = {k: np.mean([row[k] for row in found]) for k in MEASURES}
            log(f"{precision}  {name:16} " + "  ".join(f"{label} {mean[k]:.4f}" for k, label in MEASURES.items()))
    if not rows:
        log("no image is kept for validation, so there are no scores.")
        return
    with open(out / "scores.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(sorted(rows, key=lambda row: row["aji"]))
    if overlays:
        (out / "overlays").mkdir(exist_ok=True)
        for items in scored.values():
            for s in items:
                labels = ev.instances(s.maps[0].astype(np.float32), s.maps[1].astype(np.float32), parameters)
                Image.fromarray(ev.overlay(s.image, labels)).save(out / "overlays" / (s.image.name.replace("/", "_") + ".png"))
