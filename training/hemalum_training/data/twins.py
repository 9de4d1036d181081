"""No image may be learned from and scored, nor learned from with labels in two conventions.

Images are compared by 16×16 means, so copies at another scale or as JPEG are found.
"""

from __future__ import annotations

import cv2
import numpy as np

from hemalum.errors import UsageError
from hemalum_training.data.labelled import LabelledImage

SIDE = 16
ALIKE = 3.0     # grey levels on the means below which two images are one
SAME = 0.02     # share of the foreground, or of the nuclei, by which two labels of one image may differ
FLAT = 2.0      # grey levels of deviation below which an image shows nothing to be known by


def thumbnail(pixels: np.ndarray) -> np.ndarray:
    """uint8 H×W×3 → float32 16×16×3."""
    return cv2.resize(pixels, (SIDE, SIDE), interpolation=cv2.INTER_AREA).astype(np.float32)


def refuse_twins(learned: dict[str, np.ndarray], kept: list[LabelledImage]) -> None:
    """Compare what is learned from (thumbnails by name) with the images kept for validation or scored.

    Raises:
        UsageError: one is among the other; names both.
    """
    names, pictures = list(learned), np.array(list(learned.values()))
    for image in kept if names else []:
        own = thumbnail(image.pixels)
        near = np.abs(pictures - own).mean((1, 2, 3))
        if own.std() > FLAT and near.min() < ALIKE:
            raise UsageError(
                f"{names[int(near.argmin())]} is the same image as {image.name}, which is kept for validation; "
                "put it on the set's `exclude` list."
            )


def refuse_shared(learned: list[LabelledImage], kept: list[LabelledImage]) -> None:
    """`refuse_twins` for labelled images."""
    refuse_twins({image.name: thumbnail(image.pixels) for image in learned}, kept)


def refuse_conflicts(images: list[LabelledImage]) -> None:
    """No image may be learned from with labels in two conventions; the same labels twice only weigh more.

    Raises:
        UsageError: two images are one and their labels differ; names both.
    """
    pictures = np.array([thumbnail(image.pixels) for image in images])
    for number, image in enumerate(images):
        if pictures[number].std() <= FLAT:
            continue
        near = np.abs(pictures[number + 1:] - pictures[number]).mean((1, 2, 3)) < ALIKE
        for place in np.flatnonzero(near):
            other = images[number + 1 + int(place)]
            if _differ(image.labels, other.labels):
                raise UsageError(
                    f"{image.name} and {other.name} are one image with labels in two conventions; "
                    "put one of them on its set's `exclude` list, or name one folder by the set's `labels`."
                )


def _differ(first: np.ndarray, second: np.ndarray) -> bool:
    """Whether foreground or number of nuclei differ by more than another scale or file format explains."""
    counts = [len(np.unique(labels)) - 1 for labels in (first, second)]
    second = cv2.resize(second, first.shape[::-1], interpolation=cv2.INTER_NEAREST)
    other = np.count_nonzero((first > 0) != (second > 0))
    return other > SAME * np.count_nonzero(first) or abs(counts[0] - counts[1]) > SAME * max(counts)
