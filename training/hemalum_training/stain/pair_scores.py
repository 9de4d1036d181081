"""Scores of the scanner experiment.

How like the target, how true to the X tile, how fast, and whether the nuclei stay the same.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from hemalum.models import find
from hemalum.nuclei.instances import instances
from hemalum.scoring.metrics import bootstrap
from hemalum_training.data.labelled import LabelledImage
from hemalum_training.scoring.packages import instance_parameters, maps_of
from hemalum_training.scoring.similarity import rmse, ssim

CLASSICAL = ("reinhard", "macenko", "vahadane")
ROWS = ("identity", *CLASSICAL, "transport", "distilled", "generator")
TIMED = 2048  # px, side of the picture that is timed
PROTOCOL = (
    "RGB SSIM (Gaussian window, σ 1.5) and PSNR inside the valid rectangle, generators and functions from slides of "
    "other folds, unpaired; means of frames, 95 % bootstrap over frames, differences paired; nuclei F1 at IoU 0.5 "
    "against those of the unchanged X tile"
)


@dataclass(frozen=True)
class Pair:
    """`x`, `y`: uint8 h×w×3, whole tiles; `inside`: the rectangle that counts, as two slices."""

    stem: str
    slide: str
    frame: str
    x: np.ndarray
    y: np.ndarray
    inside: tuple[slice, slice]


def likeness(tile: np.ndarray, pair: Pair) -> dict[str, float]:
    """SSIM and PSNR (dB) to the Y tile and SSIM to the X tile, within the rectangle that counts."""
    tile, x, y = (image[pair.inside] / 255 for image in (tile, pair.x, pair.y))
    decibels = float(-20 * np.log10(max(rmse(tile, y), 1e-6)))
    return {"ssim": ssim(tile, y), "psnr": decibels, "ssim_to_source": ssim(tile, x)}


def summary(rows: list[dict], slides: set[str]) -> dict[str, dict]:
    """By method: means with intervals, and paired differences in SSIM and PSNR.

    Differences are from identity and from the best classical method; `slides`: those summed up.
    """
    frames = sorted({row["frame"] for row in rows if row["slide"] in slides})
    if not frames:
        return {}

    def values(method: str, key: str) -> list[float]:
        """One value a frame, the mean over its pairs."""
        means = []
        for frame in frames:
            of_frame = [row[key] for row in rows if row["frame"] == frame and row["method"] == method]
            means.append(float(np.mean(of_frame)))
        return means

    best = {}
    for key in ("ssim", "psnr"):
        means = {method: np.mean(values(method, key)) for method in CLASSICAL}
        best[key] = max(means, key=means.get)
    out = {}
    for method in ROWS:
        out[method] = {}
        for key in ("ssim", "psnr", "ssim_to_source", "nuclei_f1"):
            out[method][key] = list(bootstrap(values(method, key)))
        if method in ("identity", *CLASSICAL):
            continue
        for key, classical in best.items():
            for other in ("identity", classical):
                out[method][f"{key} - {other}"] = list(bootstrap(values(method, key), values(other, key)))
    return out


def text(result: dict) -> str:
    """The table for people."""
    lines = []
    for part, title in (("main", "all slides but those apart"), ("apart", "slides apart")):
        if not result[part]:
            continue
        lines += [title, f"{'':10}{'SSIM':>22}{'PSNR dB':>22}{'SSIM to X':>11}{'nuclei F1':>11}{'ms/Mpx':>9}"]
        for method, row in result[part].items():
            similarity, decibels = _interval(row["ssim"], 3), _interval(row["psnr"], 2)
            lines.append(f"{method:10}{similarity:>22}{decibels:>22}"
                         f"{row['ssim_to_source'][0]:11.3f}{row['nuclei_f1'][0]:11.3f}"
                         f"{result['milliseconds_per_megapixel'][method]:9.1f}")
        for method, row in result[part].items():
            for key, (mean, low, high) in row.items():
                if " - " in key:
                    lines.append(f"  {method}: {key} {mean:+.3f} [{low:+.3f}, {high:+.3f}]")
    return "\n".join([*lines, result["protocol"]])


def _interval(values: list[float], digits: int) -> str:
    mean, low, high = values
    return f"{mean:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"


def milliseconds(methods: dict[str, Callable], tile: np.ndarray) -> dict[str, float]:
    """Per megapixel, the better of three, on a picture of many tiles (the generator on one tile)."""
    many = -(-TIMED // tile.shape[0])
    large = np.tile(tile, (many, many, 1))
    out = {}
    for name, method in methods.items():
        picture = tile if name == "generator" else large
        seconds = []
        for _ in range(3):
            began = time.perf_counter()
            method(picture)
            seconds.append(time.perf_counter() - began)
        out[name] = round(1e9 * min(seconds) / (picture.shape[0] * picture.shape[1]), 2)
    return out


class NucleiFinder:
    """Nuclei of tiles at 0.25 µm/px by an installed model, as the server finds them."""

    def __init__(self, model: str):
        self.model = find(model)
        self.parameters = instance_parameters(self.model.card.thresholds)

    def labels(self, tiles: list[np.ndarray]) -> list[np.ndarray]:
        """int32 h×w for each uint8 h×w×3."""
        images = []
        for tile in tiles:
            shape = tile.shape[:2]
            images.append(LabelledImage("", tile, np.zeros(shape, np.int32), np.zeros(shape, np.float16)))
        return [instances(*s.maps.astype(np.float32), self.parameters) for s in maps_of(self.model, images)]
