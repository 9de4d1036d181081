"""Scores of a model package on validation and zero-shot images, and thresholds chosen on the validation images.

The maps come from the package itself through the server's engine, the nuclei through the server's own instance step:
what is scored is what ships.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np

from hemalum.engine import open_engine
from hemalum.grid.resample import box_mean, model_tile
from hemalum.grid.tiling import plan_tiles
from hemalum.models import Model
from hemalum.nuclei.instances import InstanceParameters, instances
from hemalum.scoring import metrics
from hemalum_training.config.config import Config
from hemalum_training.data.labelled import LABEL_MPP, LabelledImage, load_set, mean_by_set
from hemalum_training.networks.deployed import LARGEST_NUCLEUS_UM

GRID = {"foreground": (0.35, 0.4, 0.45, 0.5, 0.55), "marker": (0.2, 0.35, 0.45, 0.55), "sigma": (1.0, 1.5, 2.0)}
# For one laboratory's own labels, which say, too, whether a nucleus has parts: how coarse its chromatin is, how many px
# it has.
OWN_GRID = {
    "foreground": (0.35, 0.45, 0.55),
    "marker": (0.35, 0.45, 0.55, 0.65),
    "sigma": (1.0, 1.5, 2.0, 3.0),
    "part": (0.0, 40.0, 160.0),
}


@dataclass
class Scored:
    """Maps of one labelled image: `maps` float16 2×H×W at 0.25 µm/px, and what the nuclei found scored."""

    image: LabelledImage
    maps: np.ndarray


def maps_of(model: Model, images: list[LabelledImage], precision: str = "auto") -> list[Scored]:
    """Maps of images at 0.25 µm/px, tile by tile."""
    scored, scale = [], model.card.output_scale
    engine = open_engine(model, device="cpu", precision=precision)
    for image in images:
        height, width = image.labels.shape
        plan = plan_tiles((width, height), LABEL_MPP, model.card.mpp, core=model.card.core, halo=model.card.halo)
        mapped = np.zeros((2, -(-height // plan.scale.n) * scale, -(-width // plan.scale.n) * scale), np.float16)
        for tile in plan.tiles:
            r = tile.read
            pixels = box_mean(image.pixels[r.y:r.y + r.height, r.x:r.x + r.width], plan.scale.n)
            maps = engine.maps(model_tile(pixels, tile, plan)[None])[0]
            x, y, across, down = (side * scale for side in tile.core)
            left, top = (side * scale for side in plan.window(tile)[:2])
            mapped[:, y:y + down, x:x + across] = maps[:, y - top:y - top + down, x - left:x - left + across]
        scored.append(Scored(image, mapped[:, :height, :width]))
    return scored


def instance_parameters(thresholds: dict[str, float]) -> InstanceParameters:
    """The instance step's parameters, in map pixels of 0.25 µm, from a card's thresholds."""
    return InstanceParameters(
        foreground=thresholds["foreground"],
        marker=thresholds["marker"],
        sigma=thresholds["sigma"],
        min_area=thresholds["min_area_um2"] / LABEL_MPP**2,
        largest=LARGEST_NUCLEUS_UM / LABEL_MPP,
        part=thresholds.get("part_um2", 0.0) / LABEL_MPP**2,
    )


def score_maps(scored: list[Scored], parameters: InstanceParameters) -> list[metrics.Scores]:
    """Scores of each image with these instance parameters."""
    scores = []
    for s in scored:
        labels = instances(s.maps[0].astype(np.float32), s.maps[1].astype(np.float32), parameters)
        scores.append(metrics.score(s.image.labels, labels))
    return scores


def choose_thresholds(scored: list[Scored], base: InstanceParameters,
                      grid: dict[str, tuple] = GRID) -> tuple[dict[str, float], list[dict]]:
    """The grid point with the best mean of AJI and PQ, averaged over sets so that a large set does not decide alone.

    Returns:
        the thresholds as a card has them, and every grid point with its scores.
    """
    images, rows = [s.image for s in scored], []
    for values in itertools.product(*grid.values()):
        point = dict(zip(grid, values, strict=True))
        scores = score_maps(scored, replace(base, **point))
        mean = mean_by_set(images, [(s.aji + s.pq) / 2 for s in scores])
        rows.append({**point, "score": round(mean, 5)})
    best = max(rows, key=lambda row: row["score"])
    thresholds = {name: best[name] for name in grid}
    if "part" in thresholds:
        thresholds["part_um2"] = thresholds.pop("part") * LABEL_MPP**2
    return thresholds, rows


def labelled_parts(config: Config, data: Path) -> dict[str, list[LabelledImage]]:
    """Validation images of every set and of the zero-shot sets, by name."""
    parts = {}
    for name, entry in {**config.sets, **config.zero_shot}.items():
        if images := load_set(Path(data) / name, entry, "validation"):
            parts[name] = images
    return parts


def table(parts: dict[str, list[Scored]], parameters: InstanceParameters) -> dict[str, dict[str, float]]:
    """Mean scores by set."""
    means = {}
    for name, scored in parts.items():
        scores = score_maps(scored, parameters)
        means[name] = {"images": len(scores)}
        for measure in ("aji", "pq", "dq", "sq", "dice"):
            means[name][measure] = round(float(np.mean([getattr(s, measure) for s in scores])), 4)
    return means


def overlay(image: LabelledImage, labels: np.ndarray) -> np.ndarray:
    """Reference outlines in green, found ones in yellow, over the image (uint8 RGB, to be looked at)."""
    out = image.pixels.copy()
    for nuclei, colour in ((image.labels, (0, 200, 0)), (labels, (255, 230, 0))):
        edges = (cv2.morphologyEx(nuclei.astype(np.float32), cv2.MORPH_GRADIENT, np.ones((2, 2), np.uint8)) > 0)
        out[edges] = colour
    return out
