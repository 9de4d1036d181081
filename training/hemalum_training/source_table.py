"""The source's table (METHOD S4) for the generators of a run: segmentation and normalization scores, the published ones beside them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hemalum import metrics
from hemalum.resample import box_mean

from .config import Config
from .datasets import LabelledImage
from .evaluate import labelled_parts
from .export import load_generator
from .networks import Generator
from .predict import MPP, predict
from .similarity import luminance, mae, rmse, ssim

COLUMNS = ("F1 pixel", "F1 nucleus", "mIOU", "AJI", "AJI components", "MAE", "RMSE", "SSIM")
# The source's own 70 tiles; its F1 is not said to be of pixels or nuclei, its nuclei are connected components.
PUBLISHED = {
    "AttCycle": (0.8095, None, 0.8156, None, 0.6835, 0.1204, 0.1603, 0.7270),
    "TransCycle without pseudo labels": (0.7733, None, 0.7888, None, 0.6382, 0.1328, 0.1765, 0.7612),
    "TransCycle with pseudo labels": (0.8140, None, 0.8201, None, 0.6915, 0.1233, 0.1598, 0.8224),
}
DEFINITIONS = f"""\
Means over images, at 0.25 µm/px. F1 pixel: 2·TP / (2·TP + FP + FN) of foreground pixels. F1 nucleus: the same of nuclei matched at
IoU > 0.5. mIOU: mean of the IoU of background and of nuclei. AJI: Kumar et al. 2017; nuclei told apart by the distance channel where
the decoder has one, and “AJI components” as in the source, by the connected components of the foreground. MAE, RMSE, SSIM (Wang et
al. 2004): the normalized image at {MPP} µm/px against its own input, luminance in [0, 1], so they say how much structure is kept; the
source does not name its reference image, so those columns cannot be compared with the published ones."""


@dataclass(frozen=True)
class Row:
    """Scores of one generator: by column, one value an image, and the images' names."""

    images: list[str]
    values: dict[str, list[float]]

    def mean(self, column: str) -> float:
        return float(np.mean(self.values[column]))


def score(generator: Generator, images: list[LabelledImage], device: str = "cpu") -> Row:
    """Every column of the table for each image; the generator is in evaluation mode."""
    values: dict[str, list[float]] = {column: [] for column in COLUMNS}
    for image in images:
        height, width = image.labels.shape
        pixels = box_mean(image.pixels, 2)
        found = predict(generator, pixels, normalized=True, device=device)
        labels, components = (a[:height, :width] for a in (found.labels(), found.components()))
        s = metrics.score(image.labels, labels)
        before, after = luminance(pixels), luminance(found.normalized)
        row = (s.dice, s.f1, mean_iou(image.labels > 0, labels > 0), s.aji, metrics.score(image.labels, components).aji,
               mae(before, after), rmse(before, after), ssim(before, after))
        for column, value in zip(COLUMNS, row, strict=True):
            values[column].append(value)
    return Row([image.name for image in images], values)


def mean_iou(reference: np.ndarray, predicted: np.ndarray) -> float:
    """Mean IoU of background and nuclei, bool H×W; a class that neither side has counts as 1.

    >>> mean_iou(np.array([True, True, False, False]), np.array([True, False, False, False])).__round__(4)
    0.5833
    """
    def iou(a, b):
        union = (a | b).sum()
        return (a & b).sum() / union if union else 1.0

    return float((iou(reference, predicted) + iou(~reference, ~predicted)) / 2)


def scored_images(config: Config, data: Path) -> tuple[str, list[LabelledImage]]:
    """What the table is made on: the zero-shot images, or the validation images where there are none."""
    parts = labelled_parts(config, data)
    names = [name for name in config.zero_shot if name in parts] or list(parts)
    kind = "zero-shot, used for nothing else" if config.zero_shot else "validation, which also chose the epoch"
    images = [image for name in names for image in parts[name]]
    return f"{len(images)} images of {', '.join(names)} ({kind})", images


def as_text(means: dict[str, dict[str, float | None]], images: str) -> str:
    """The table in Markdown, the published rows below."""
    def line(name, values):
        return f"| {name} | " + " | ".join("–" if v is None else f"{v:.4f}" for v in values) + " |"

    lines = [f"Scored on {images}.", "", f"| | {' | '.join(COLUMNS)} |", "|---" * (len(COLUMNS) + 1) + "|"]
    lines += [line(name, (row[column] for column in COLUMNS)) for name, row in means.items()]
    lines += [line(f"published: {name}", row) for name, row in PUBLISHED.items()]
    return "\n".join([*lines, "", DEFINITIONS])


def evaluate_arms(config: Config, data: Path, out: Path, device: str = "cpu", log=print) -> Path | None:
    """Print and write OUT/table.md and table.json for the teacher and the student of a run, as far as they are trained."""
    student = "student with pseudo labels" if config.pseudo else "student without pseudo labels"
    arms = {"teacher": Path(out) / "teacher" / "weights.pt", student: Path(out) / "weights.pt"}
    what, images = scored_images(config, data)
    rows = {name: score(load_generator(path).to(device), images, device) for name, path in arms.items() if path.is_file()}
    text = as_text({name: {column: row.mean(column) for column in COLUMNS} for name, row in rows.items()}, what)
    log(text)
    (Path(out) / "table.json").write_text(json.dumps({name: {"images": row.images, **row.values} for name, row in rows.items()}), encoding="utf-8")
    (Path(out) / "table.md").write_text(text + "\n", encoding="utf-8")
    return Path(out) / "table.md"
