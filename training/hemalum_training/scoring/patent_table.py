"""The patent's table (METHOD S4) for the generators of a run: segmentation and normalization scores.

The published ones stand beside them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hemalum.errors import UsageError
from hemalum.files import commit_text
from hemalum.grid.resample import box_mean
from hemalum.nuclei.instances import InstanceParameters
from hemalum.scoring import metrics
from hemalum.stain.estimation import Stain, estimate
from hemalum.stain.tissue import tissue_mask
from hemalum_training.config.config import Config
from hemalum_training.data.domains import style
from hemalum_training.data.labelled import LabelledImage
from hemalum_training.data.tile_store import load_domains
from hemalum_training.networks import Generator
from hemalum_training.networks.deployed import load_generator
from hemalum_training.scoring.packages import labelled_parts
from hemalum_training.scoring.predict import INSTANCES, MPP, fitted_parameters, predict
from hemalum_training.scoring.similarity import luminance, mae, rmse, ssim
from hemalum_training.store import write_json

COLUMNS = ("F1 pixel", "F1 nucleus", "mIOU", "AJI", "AJI components", "MAE", "RMSE", "SSIM", "to Y")
UNCHANGED = "the input itself"
# The patent's own 70 tiles; its F1 is not said to be of pixels or nuclei, its nuclei are connected components.
PUBLISHED = {
    "AttCycle": (0.8095, None, 0.8156, None, 0.6835, 0.1204, 0.1603, 0.7270, None),
    "TransCycle without pseudo labels": (0.7733, None, 0.7888, None, 0.6382, 0.1328, 0.1765, 0.7612, None),
    "TransCycle with pseudo labels": (0.8140, None, 0.8201, None, 0.6915, 0.1233, 0.1598, 0.8224, None),
}
# One paragraph in Markdown; its lines are broken where they always were, for the table is a file of the run.
DEFINITIONS = (
    "Means over images, at 0.25 µm/px, thresholds chosen with the epoch on the validation images. "
    "F1 pixel: 2·TP / (2·TP + FP + FN) of\n"
    "foreground pixels. F1 nucleus: the same of nuclei matched at IoU > 0.5. "
    "mIOU: mean of the IoU of background and of nuclei. AJI:\n"
    "Kumar et al. 2017; nuclei told apart by the distance channel where the decoder has one, and “AJI components” "
    "as in the source, by the connected\n"
    "components of the foreground. "
    f"MAE, RMSE, SSIM (Wang et al. 2004): the normalized image at {MPP} µm/px against its own input, luminance in\n"
    "[0, 1], so they say how much structure is kept; the source does not name its reference image, "
    "so those columns cannot be compared with the\n"
    "published ones. To Y: distance of the image's stain from the reference stain of domain Y "
    "(unit optical densities and amounts of both\n"
    f"stains); a generator that changes nothing keeps all structure and comes no nearer than “{UNCHANGED}”."
)


@dataclass(frozen=True)
class Row:
    """Scores of one generator: by column, one value an image, and the images' names."""

    images: list[str]
    values: dict[str, list[float]]

    def means(self) -> dict[str, float | None]:
        """By column; None where it was not measured."""
        return {column: float(np.mean(self.values[column])) if column in self.values else None for column in COLUMNS}


def score(generator: Generator, images: list[LabelledImage], reference: Stain, device: str = "cpu",
          parameters: InstanceParameters = INSTANCES) -> Row:
    """Every column of the table for each image.

    The generator is in evaluation mode, `reference` is the stain of domain Y.
    """
    values: dict[str, list[float]] = {column: [] for column in COLUMNS}
    for image in images:
        height, width = image.labels.shape
        pixels = box_mean(image.pixels, 2)
        prediction = predict(generator, pixels, normalized=True, device=device)
        labels = prediction.labels(parameters)[:height, :width]
        components = prediction.components(parameters)[:height, :width]
        scores = metrics.score(image.labels, labels)
        before, after = luminance(pixels), luminance(prediction.normalized)
        row = {
            "F1 pixel": scores.dice,
            "F1 nucleus": scores.f1,
            "mIOU": mean_iou(image.labels > 0, labels > 0),
            "AJI": scores.aji,
            "AJI components": metrics.score(image.labels, components).aji,
            "MAE": mae(before, after),
            "RMSE": rmse(before, after),
            "SSIM": ssim(before, after),
            "to Y": stain_distance(prediction.normalized, reference),
        }
        for column in COLUMNS:
            values[column].append(row[column])
    return Row([image.name for image in images], values)


def unchanged(images: list[LabelledImage], reference: Stain) -> Row:
    """The row of the images themselves: nothing segmented, nothing normalized."""
    values = {column: [value] * len(images) for column, value in (("MAE", 0.0), ("RMSE", 0.0), ("SSIM", 1.0))}
    values["to Y"] = [stain_distance(box_mean(image.pixels, 2), reference) for image in images]
    return Row([image.name for image in images], values)


def stain_distance(pixels: np.ndarray, reference: Stain) -> float:
    """How far the stain of an image (uint8 H×W×3 at 0.5 µm/px) is from another, see `domains.style`."""
    return float(np.linalg.norm(style(estimate(pixels, tissue_mask(pixels), "macenko", MPP)) - style(reference)))


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
    kind = "zero-shot, no training saw them" if config.zero_shot else "validation, which also chose the epoch"
    images = []
    for name in names:
        images += parts[name]
    return f"{len(images)} images of {', '.join(names)} ({kind})", images


def as_text(means: dict[str, dict[str, float | None]], images: str) -> str:
    """The table in Markdown, the published rows below."""
    lines = [f"Scored on {images}.", "", f"| | {' | '.join(COLUMNS)} |", "|---" * (len(COLUMNS) + 1) + "|"]
    for name, row in means.items():
        lines.append(_line(name, [row[column] for column in COLUMNS]))
    for name, row in PUBLISHED.items():
        lines.append(_line(f"published: {name}", row))
    return "\n".join([*lines, "", DEFINITIONS])


def _line(name: str, values: Sequence[float | None]) -> str:
    cells = ["–" if value is None else f"{value:.4f}" for value in values]
    return f"| {name} | {' | '.join(cells)} |"


def evaluate_arms(config: Config, data: Path, out: Path, device: str = "cpu", log=print,
                  beside: Sequence[Path] = ()) -> Path | None:
    """Print and write OUT/table.md and table.json for the teacher and the student of a run, as far as they are trained.

    Also for the students of the runs `beside`, for instance the one without pseudo labels.
    """
    student = "student with pseudo labels" if config.pseudo else "student without pseudo labels"
    arms = {"teacher": Path(out) / "teacher" / "weights.pt", student: Path(out) / "weights.pt"}
    arms = {name: path for name, path in arms.items() if path.is_file()}
    for other in beside:
        path = Path(other) / "weights.pt"
        if not path.is_file():
            raise UsageError(f"{path} is missing; run `hemalum train student` there first.")
        arms[f"student of {Path(other).name}"] = path
    title, images = scored_images(config, data)
    reference = load_domains(out).reference
    rows = {}
    for name, path in arms.items():
        generator = load_generator(path).to(device)
        rows[name] = score(generator, images, reference, device, fitted_parameters(path))
    means = {name: row.means() for name, row in rows.items()}
    means[UNCHANGED] = unchanged(images, reference).means()
    text = as_text(means, title)
    log(text)
    write_json(Path(out) / "table.json", {name: {"images": row.images, **row.values} for name, row in rows.items()})
    commit_text(Path(out) / "table.md", text + "\n")
    return Path(out) / "table.md"
