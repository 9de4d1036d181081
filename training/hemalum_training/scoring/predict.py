"""A generator in use, without a package: maps, nuclei and normalized tile of an image; scores of many.

What ships is scored by `evaluate` through its package; this is for networks in training and for the arms of an
experiment.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import torch

from hemalum.grid.resample import box_mean
from hemalum.nuclei.instances import InstanceParameters, instances
from hemalum.scoring import metrics
from hemalum_training.config.config import PART_UM2
from hemalum_training.data.labelled import LABEL_MPP, LabelledImage, mean_by_set
from hemalum_training.networks import Generator
from hemalum_training.networks.pixels import to_bytes, to_input

MPP = 0.5
# A low marker, told apart into its parts: on stains that a network has not learned its distances are lower, not its
# nuclei fewer.
INSTANCES = InstanceParameters(
    marker=0.15,
    sigma=1.0,
    min_area=4.0 / LABEL_MPP**2,
    largest=30.0 / LABEL_MPP,
    part=PART_UM2 / LABEL_MPP**2,
)
FOREGROUND = (0.35, 0.45, 0.55)


@dataclass
class Prediction:
    """Of an image that is H×W px at 0.5 µm/px.

    Attributes:
        foreground, distance: float32 2H×2W at 0.25 µm/px; a single-channel decoder has no distance (None).
        normalized: uint8 H×W×3 (a generator that has this decoder reads 0.5 µm/px), or None.
    """

    foreground: np.ndarray
    distance: np.ndarray | None
    normalized: np.ndarray | None

    def labels(self, parameters: InstanceParameters = INSTANCES) -> np.ndarray:
        """int32 2H×2W: nuclei told apart by the distance, or where there is none, connected components."""
        if self.distance is None:
            return self.components(parameters)
        return instances(self.foreground, self.distance, parameters)

    def components(self, parameters: InstanceParameters = INSTANCES) -> np.ndarray:
        """int32 2H×2W: the connected components of the foreground, as in the patent."""
        whole = InstanceParameters(
            foreground=parameters.foreground,
            marker=parameters.foreground,
            sigma=0.0,
            min_area=parameters.min_area,
            largest=4.0 * max(self.foreground.shape),
        )
        return instances(self.foreground, self.foreground, whole)


@torch.no_grad()
def predict(generator: Generator, pixels: np.ndarray, normalized: bool = False, device: str = "cpu") -> Prediction:
    """One pass of a generator in evaluation mode over a whole image, mirrored to whole strides.

    `pixels`: uint8 H×W×3 at the generator's µm/px.
    """
    (height, width), stride, scale = pixels.shape[:2], generator.config.stride, 2 // generator.config.fold
    border = cv2.BORDER_REFLECT_101 if min(height, width) > stride else cv2.BORDER_REPLICATE
    padded = cv2.copyMakeBorder(pixels, 0, -height % stride, 0, -width % stride, border)
    out = generator(to_input(padded[None], device).contiguous(memory_format=torch.channels_last), normalized=normalized)
    logits = out["segmentation"][0].float()
    maps = [logits[0].sigmoid().cpu().numpy()]
    if len(logits) > 1:
        maps.append(logits[1].clamp(0, 1).cpu().numpy())
    if generator.config.output_scale == 1:
        maps = [cv2.resize(m, None, fx=2, fy=2, interpolation=cv2.INTER_LINEAR) for m in maps]
    maps = [np.ascontiguousarray(m[:scale * height, :scale * width]) for m in maps]
    tile = to_bytes(out["normalized"])[0].permute(1, 2, 0).cpu().numpy()[:height, :width] if normalized else None
    return Prediction(maps[0], maps[1] if len(maps) > 1 else None, tile)


def at_mpp_of(generator: Generator, pixels: np.ndarray) -> np.ndarray:
    """Pixels at 0.25 µm/px as the generator reads them."""
    return box_mean(pixels, 2 // generator.config.fold)


def labels_of(generator: Generator, image: LabelledImage, device: str = "cpu") -> np.ndarray:
    """Nuclei found in an image at 0.25 µm/px, int32 of the image's size."""
    height, width = image.labels.shape
    labels = predict(generator, at_mpp_of(generator, image.pixels), device=device).labels()
    return labels[:height, :width]


def score_images(generator: Generator, images: list[LabelledImage], device: str = "cpu") -> list[metrics.Scores]:
    """Scores of each image at 0.25 µm/px with the instance step's standard parameters.

    The generator's mode is left as it was.
    """
    with evaluating(generator):
        return [metrics.score(image.labels, labels_of(generator, image, device)) for image in images]


def fitted_scores(generator: Generator, images: list[LabelledImage],
                  device: str = "cpu") -> tuple[InstanceParameters, list[metrics.Scores]]:
    """The foreground threshold of `FOREGROUND` with the best mean AJI on these images, and each image's scores with it.

    A network that has learned little, or from few nuclei, may be right everywhere and sure nowhere.
    """
    with evaluating(generator):
        predictions = [predict(generator, at_mpp_of(generator, image.pixels), device=device) for image in images]
    trials = []
    for foreground in FOREGROUND:
        parameters = replace(INSTANCES, foreground=foreground)
        scores = []
        for image, prediction in zip(images, predictions, strict=True):
            height, width = image.labels.shape
            scores.append(metrics.score(image.labels, prediction.labels(parameters)[:height, :width]))
        trials.append((np.mean([s.aji for s in scores]), np.mean([s.dice for s in scores]), parameters, scores))
    *_, parameters, scores = max(trials, key=lambda trial: trial[:2])
    return parameters, scores


def fitted_parameters(weights: Path) -> InstanceParameters:
    """The instance step's parameters, the threshold as chosen with the epoch of a `weights.pt` if one was."""
    best = torch.load(weights, weights_only=True, map_location="cpu").get("best", {})
    return replace(INSTANCES, foreground=best.get("foreground", INSTANCES.foreground))


@contextmanager
def evaluating(generator: Generator) -> Iterator[None]:
    """Evaluation mode for a while."""
    training = generator.training
    generator.eval()
    try:
        yield
    finally:
        generator.train(training)


def better(network: Generator, start: dict, end: dict, images: list, device: str, log) -> dict:
    """The trained weights, or those begun from where the trained ones score no higher.

    Compared is the mean of AJI and PQ over `images`, by set.
    """
    means = []
    for state in (start, end):
        network.load_state_dict(state)
        scores = score_images(network, images, device)
        means.append(mean_by_set(images, [(s.aji + s.pq) / 2 for s in scores]))
    before, after = means
    if after > before:
        log(f"validation, mean of AJI and PQ: {before:.4f} → {after:.4f}")
        return end
    log(f"the training did not beat the starting model (validation, mean of AJI and PQ: {after:.4f}, "
        f"before {before:.4f}), which is kept; more steps, more images or a lower learning rate may help")
    return start
