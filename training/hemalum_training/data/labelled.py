"""Labelled images in memory: pixels at 0.25 µm/px, instance labels and the maps a network learns."""

from __future__ import annotations

import glob
import hashlib
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from hemalum.errors import UsageError
from hemalum_training.config.config import Config, LabelledSet
from hemalum_training.store import read_rows

LABEL_MPP = 0.25
LOSSY = ("JPEG", "WEBP")


@dataclass
class LabelledImage:
    """One image of a set.

    Attributes:
        name: `SET/STEM`.
        pixels: uint8 H×W×3 at 0.25 µm/px.
        labels: int32 H×W, 0 = background.
        distance: float16 H×W, see `distance_map`.
        weight: how often it is drawn, relative to the others.
        group: patient, or the image itself where none is known.
        known: bool H×W, where the labels are to be learned from; None: everywhere.
        sure: bool H×W, where an instance is one nucleus, so that its distance is to be learned; None: everywhere.
        foreground: float16 H×W, 0…1, what the foreground is to be where that is not 0 or 1 by `labels`; None where it
            is.
    """

    name: str
    pixels: np.ndarray
    labels: np.ndarray
    distance: np.ndarray
    weight: float = 1.0
    group: str = ""
    known: np.ndarray | None = None
    sure: np.ndarray | None = None
    foreground: np.ndarray | None = None

    def __post_init__(self):
        sizes = [self.pixels.shape[:2], self.labels.shape, self.distance.shape]
        assert len(set(sizes)) == 1, f"{self.name}: pixels, labels and distance of {sizes} px"

    def own(self) -> LabelledImage:
        """Itself: it is in memory already, while a tile on disk is read by this."""
        return self


def distance_map(labels: np.ndarray) -> np.ndarray:
    """Euclidean distance to the border inside each nucleus, divided by its largest value there: 0…1 at any size.

    A target of this kind was introduced by Naylor et al. 2019 (doi 10.1109/TMI.2018.2865709); dividing by the maximum
    is ours.

    >>> distance_map(np.pad(np.ones((3, 3), np.int32), 1))[1:4, 1:4].round(1).tolist()
    [[0.5, 0.5, 0.5], [0.5, 1.0, 0.5], [0.5, 0.5, 0.5]]
    """
    out = np.zeros(labels.shape, np.float32)
    order = np.argsort(labels, axis=None, kind="stable")
    values = labels.ravel()[order]
    starts = np.flatnonzero(np.diff(values, prepend=-1))
    for start, stop in zip(starts, [*starts[1:], len(values)], strict=True):
        if values[start] == 0:
            continue
        ys, xs = np.unravel_index(order[start:stop], labels.shape)
        top, left = ys.min(), xs.min()
        inside = np.zeros((ys.max() - top + 3, xs.max() - left + 3), np.uint8)
        inside[ys - top + 1, xs - left + 1] = 1
        d = cv2.distanceTransform(inside, cv2.DIST_L2, 5)[ys - top + 1, xs - left + 1]
        out[ys, xs] = d / d.max()
    return out


def _is_validation(entry: LabelledSet, row: dict) -> bool:
    key = row.get(entry.patient_column) if entry.patient_column else row["stem"]
    return key in entry.validation


def load_set(folder: Path, entry: LabelledSet, part: str) -> list[LabelledImage]:
    """Images of one part, `train` or `validation`, of a set.

    Raises:
        UsageError: neither manifest nor images; a manifest without the column; an image, a label or an `unsure` mask
            that is missing, damaged or of another size than the others.
    """
    manifest = folder / "manifest.csv"
    rows = read_rows(manifest) or [{"stem": path.stem} for path in sorted((folder / "images").glob("*.*"))]
    if not rows:
        raise UsageError(f"{folder} has neither a manifest.csv with rows nor images; "
                         "--data must be the folder that holds the sets.")
    if lacking := [column for column in ("stem", entry.patient_column) if column and column not in rows[0]]:
        raise UsageError(f"{manifest} has no column {lacking[0]}; correct it or the configuration.")
    known = {row[entry.patient_column] if entry.patient_column else row["stem"] for row in rows}
    if unknown := [name for name in entry.validation if name not in known]:
        raise UsageError(f"{folder.name} has no {entry.patient_column or 'image'} {', '.join(unknown)}, "
                         "which the configuration keeps for validation; correct the name.")
    images = []
    for row in rows:
        if row["stem"] in entry.exclude or _is_validation(entry, row) != (part == "validation"):
            continue
        group = row[entry.patient_column] if entry.patient_column else row["stem"]
        images.append(_load(folder, entry, row["stem"], group))
    for image in images:
        image.weight = entry.weight / len(images)
    return images


def _load(folder: Path, entry: LabelledSet, stem: str, group: str) -> LabelledImage:
    pixels, labels = _opened(folder / "images", stem, "RGB"), _opened(folder / entry.labels, stem).astype(np.int32)
    unsure, unknown = (
        _opened(folder / masks, stem) > 0 if masks else np.zeros(labels.shape, bool)
        for masks in (entry.unsure, entry.unknown)
    )
    if labels.min() < 0:
        raise UsageError(f"{folder.name}/{stem}: the label holds numbers below 0, a nucleus's begin at 1.")
    others = ("label", labels), ("mask of what is unsure", unsure), ("mask of what is unknown", unknown)
    for kind, other in others:
        if pixels.shape[:2] != other.shape:
            raise UsageError(f"{folder.name}/{stem}: {kind} {other.shape[::-1]} and image {pixels.shape[1::-1]} "
                             "differ in size.")
    zoom = entry.zoom * entry.mpp / LABEL_MPP
    if abs(zoom - 1) > 0.03:
        size = (round(labels.shape[1] * zoom), round(labels.shape[0] * zoom))
        pixels = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA if zoom < 1 else cv2.INTER_CUBIC)
        labels = cv2.resize(labels, size, interpolation=cv2.INTER_NEAREST)
        unsure, unknown = (
            cv2.resize(mask.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST) > 0 for mask in (unsure, unknown)
        )
    return LabelledImage(
        f"{folder.name}/{stem}",
        pixels,
        labels,
        distance_map(labels).astype(np.float16),
        group=group,
        known=~unknown if entry.unknown else None,
        sure=~unsure if entry.unsure else None,
    )


def _opened(folder: Path, stem: str, mode: str = "") -> np.ndarray:
    """An image by its stem, whatever its kind: uint8 H×W×3 with the mode “RGB”, else one channel as it is stored."""
    paths = [path for path in sorted(folder.glob(f"{glob.escape(stem)}.*")) if path.stem == stem]
    if not paths:
        raise UsageError(f"{folder / stem} is named in the manifest but missing.")
    path, *others = paths
    if others:
        raise UsageError(f"{folder} holds both {path.name} and {others[0].name}, and one image has one of each; "
                         "take one away.")
    try:
        with Image.open(path) as picture:
            kind, mode_there = picture.format, picture.mode
            pixels = np.array(picture.convert(mode) if mode else picture)
    except (OSError, SyntaxError) as error:     # the latter is what Pillow raises for a PNG with broken chunks
        raise UsageError(f"{path} cannot be read ({error}); "
                         f"replace it or put {stem} on the set's `exclude` list.") from None
    if mode and mode_there[0] in "IF":          # converting would cut everything above 255 off
        raise UsageError(f"{path} has more than 8 bits a channel; save it with 8 bits, in colours.")
    if not mode and pixels.ndim != 2:
        raise UsageError(f"{path} has {pixels.shape[2]} channels, "
                         "a label image has one: the number of the nucleus, 0 for background.")
    if not mode and kind in LOSSY:
        raise UsageError(f"{path} is a {kind} file, which changes the numbers of nuclei; save labels as PNG or TIFF.")
    if not mode and pixels.dtype.kind == "f" and not (np.isfinite(pixels) & (pixels == np.round(pixels))).all():
        raise UsageError(f"{path} holds fractions, a label image the number of the nucleus, 0 for background.")
    return pixels


def load_labelled(config: Config, data: Path, part: str = "train") -> list[LabelledImage]:
    """All images of one part of the configuration's sets; an image never lies in both parts.

    Raises:
        UsageError: no image is left to learn from; see also `load_set`.
    """
    images = [image for name, entry in config.sets.items() for image in load_set(Path(data) / name, entry, part)]
    if part == "train" and config.sets and not images:
        raise UsageError("no labelled image is left to learn from, all are kept for validation or excluded; "
                         "add images or keep fewer.")
    return images


def digest_of(images: list[LabelledImage]) -> str:
    """What a training learned from: names, pixels, labels and what of them is learned; the order does not matter."""
    total = hashlib.sha256()
    for image in sorted(images, key=lambda image: image.name):
        total.update(f"{image.name} {image.pixels.shape}".encode())
        for part in (image.pixels, image.labels, image.sure, image.known):
            total.update(b"" if part is None else np.ascontiguousarray(part))
    return total.hexdigest()[:16]


def mean_by_set(images: list[LabelledImage], values: list[float]) -> float:
    """Mean of one value an image, averaged over sets, so that a large set does not decide alone."""
    sets: dict[str, list[float]] = {}
    for image, value in zip(images, values, strict=True):
        sets.setdefault(image.name.split("/")[0], []).append(value)
    return float(np.mean([np.mean(of_set) for of_set in sets.values()]))


def load_zero_shot(config: Config, data: Path) -> list[LabelledImage]:
    """The images that are scored and that no training sees."""
    images = []
    for name, entry in config.zero_shot.items():
        images += load_set(Path(data) / name, entry, "validation")
    return images
