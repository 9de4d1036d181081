"""Annotated slides → a training set: images, instance labels, classes, a manifest, and tissue without labels for the teacher.

    SET/manifest.csv  images/*.png  labels/*.png (16-bit)  classes.json  report.json  unlabelled/*.png

Image and labels are both cut at the border of the Complete region; what lies outside it is painted white, so that no pixel that nobody
has looked at is ever taken for background.  Where two outlines share a pixel it goes to the smaller nucleus.  Parts of fewer than 8 px
are dropped.  Slides of one patient, and copies of one slide, lie in one part.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import math
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import shapely

from hemalum.errors import NotWritable, UsageError
from hemalum.projects.annotations import Annotations, read
from hemalum.sinks.base import lost
from hemalum.slides import open_slide
from hemalum.slides.slide import Slide
from hemalum.tiling import Rect, scale_for
from hemalum.tissue import tissue_mask

SIDE, SMALLEST = 1024, 8  # px of an exported image at most; px of a nucleus at least
TILE, TISSUE = 512, 0.5  # side of an unlabelled tile, px; its least share of tissue


@dataclass(frozen=True)
class Source:
    """One slide: its image, its GeoJSON, its patient ("" = the slide itself), µm/px or None, series, and a name."""

    image: Path
    annotations: Path
    patient: str = ""
    mpp: float | None = None
    series: int | None = None
    name: str = ""


def read_list(path: str | Path) -> list[Source]:
    """Sources of a CSV with the columns image, annotations and, where wanted, patient, mpp; paths are relative to it.

    Raises:
        UsageError: no such file or columns, or a number that is none.
    """
    path = Path(path)
    try:
        rows = list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8-sig"))))
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} cannot be read ({error}); give a CSV with the columns image, annotations, patient, mpp") from None
    if not rows or not {"image", "annotations"} <= set(rows[0]):
        raise UsageError(f"{path} has no columns image and annotations, or no rows; give a CSV with the columns image, annotations, patient, mpp")
    try:
        return [
            Source(
                path.parent / row["image"], path.parent / row["annotations"], (row.get("patient") or "").strip(),
                float(row["mpp"]) if row.get("mpp") else None,
            )
            for row in rows
        ]  # fmt: skip
    except ValueError as error:
        raise UsageError(f"{path}: {error}; mpp is a number of µm per pixel, such as 0.25") from None


def export(sources: list[Source], folder: str | Path, mpp: float = 0.25, validation: float = 0.2, unlabelled: int = 20,
           say: Callable[[str], Any] = lambda sentence: None) -> dict:  # fmt: skip
    """Write a training set into `folder`, whole or not at all; returns its report.

    Args:
        mpp: of the exported images.  validation: share of patients kept for validation (at least one of two or more).
        unlabelled: tissue tiles without labels a training slide.

    Raises:
        UsageError: the folder exists; nothing is annotated as Complete; one slide is said to be of two patients.
        UnreadableImage, UnsupportedImage, UnknownResolution: of an image.  NotWritable, DiskFull.
    """
    folder = Path(folder)
    if folder.exists():
        raise UsageError(f"{folder} exists; nothing in it is overwritten, so name another folder")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".export-") as scratch:
            fresh = Path(scratch) / "set"
            for name in ("images", "labels", "unlabelled"):
                (fresh / name).mkdir(parents=True)
            report = _export(sources, fresh, mpp, validation, unlabelled, say)
            fresh.rename(folder)
    except PermissionError as error:
        raise NotWritable(f"{folder} cannot be written ({error.strerror}); choose another folder with -o") from error
    except OSError as error:
        raise lost(folder, error) from error
    return report


def _export(sources, folder: Path, mpp: float, share: float, unlabelled: int, say) -> dict:
    annotations = [read(source.annotations) for source in sources]
    if not any(found.region.area for found in annotations):
        raise UsageError("no annotation of class Complete was found; draw one around tissue in which every nucleus is annotated")
    owner = _patients(sources)
    parts = split(owner, share)
    counts, classes, rows, hashes = Counter(), Counter(), [], {"train": set(), "validation": set()}
    for number, (source, found) in enumerate(zip(sources, annotations, strict=True)):
        part, stem = parts[owner[number]], f"{number:04d}_{source.name or source.image.stem}".replace("/", "_")
        with open_slide(source.image, source.mpp, source.series) as slide:
            scale = scale_for(slide.require_mpp(), mpp)
            to_px = slide.mpp / mpp
            before = len(rows)
            counts.update(found.counts)
            region = found.region.intersection(shapely.box(0, 0, *slide.size))
            if found.region.area and not region.area:
                counts["complete regions outside the image, left out"] += 1
            used = set()
            for piece, window in enumerate(windows(region, to_px)):
                pixels = read_at(slide, window, to_px, scale.n)
                labels, names = draw(found, window, to_px, pixels, region, counts, used)
                name = f"{stem}_{piece}"
                _png(folder / "images" / f"{name}.png", pixels[..., ::-1])
                _png(folder / "labels" / f"{name}.png", labels.astype(np.uint16))
                hashes[part].add(hashlib.sha256(pixels.tobytes()).hexdigest())
                classes.update(names.values())
                rows.append({"stem": name, "width": labels.shape[1], "height": labels.shape[0], "n_nuclei": len(names), "mpp": mpp,
                             "slide": source.image.name, "patient": owner[number], "part": part,
                             "classes": json.dumps(names, ensure_ascii=False)})  # fmt: skip
            counts["nuclei outside Complete regions, left out"] += len(found.nuclei) - len(used)
            tiles = _unlabelled(slide, found.region, to_px, scale.n, folder / "unlabelled", stem, unlabelled) if part == "train" else 0
            counts["unlabelled tiles"] += tiles
            say(f"{source.image.name}: {len(rows) - before} images, {tiles} unlabelled tiles, {part}")
    if hashes["train"] & hashes["validation"]:
        raise UsageError("the same pixels lie in training and validation: two slides are copies in part; give them one patient")
    with open(folder / "manifest.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    held = sorted({row["patient"] for row in rows if row["part"] == "validation"})
    report = {"mpp": mpp, "images": len(rows), "nuclei": sum(row["n_nuclei"] for row in rows), "patient_column": "patient", "validation": held,
              "classes": dict(classes.most_common()), "counts": dict(sorted(counts.items()))}  # fmt: skip
    for name, content in (("classes.json", report["classes"]), ("report.json", report)):
        (folder / name).write_text(json.dumps(content, indent=1, ensure_ascii=False), encoding="utf-8")
    return report


def split(owners: list[str], share: float) -> dict[str, str]:
    """Patient → "train" or "validation"; by a hash of the name, so that it does not depend on the order of slides.

    >>> sorted(split(["a", "b", "c", "a"], 0.3).values()), split(["a"], 0.5)
    (['train', 'train', 'validation'], {'a': 'train'})
    """
    names = sorted(set(owners), key=lambda name: hashlib.sha256(name.encode()).hexdigest())
    kept = min(len(names) - 1, max(1, round(share * len(names)))) if share > 0 else 0
    return {name: "validation" if position < kept else "train" for position, name in enumerate(names)}


def _patients(sources: list[Source]) -> list[str]:
    """The patient of each slide; copies of a slide belong to one."""
    owners, seen = [], {}
    for source in sources:
        with open_slide(source.image, source.mpp, source.series) as slide:
            identity = slide.identity
        name = source.patient or seen.get(identity, ("", ""))[0] or source.name or source.image.stem
        if (other := seen.setdefault(identity, (name, source.image)))[0] != name:
            raise UsageError(f"{other[1]} and {source.image} hold the same pixels, but are said to be of {other[0]!r} and {name!r}; correct the list")
        owners.append(name)
    return owners


def windows(region, to_px: float) -> list[tuple[int, int, int, int]]:
    """Rectangles of at most 1024 px in exported px (x, y, width, height) that cover the parts of a region, each pixel once.

    >>> windows(shapely.box(0, 0, 3000, 100), 0.5)
    [(0, 0, 1024, 50), (1024, 0, 476, 50)]
    """
    found = []
    for x, y in sorted({cell for part in shapely.get_parts(region) if part.area for cell in _cells(part.bounds, to_px)}, key=lambda c: c[::-1]):
        cell = shapely.box(x * SIDE, y * SIDE, (x + 1) * SIDE, (y + 1) * SIDE)
        inside = shapely.transform(region, lambda points: points * to_px).intersection(cell)
        if inside.area < SMALLEST:
            continue
        left, top, right, bottom = inside.bounds
        left, top, right, bottom = math.floor(left), math.floor(top), math.ceil(right), math.ceil(bottom)
        found.append((left, top, right - left, bottom - top))
    return found


def _cells(bounds, to_px: float):
    left, top, right, bottom = (math.floor(value * to_px / SIDE) for value in bounds)
    return [(x, y) for y in range(top, bottom + 1) for x in range(left, right + 1)]


def read_at(slide: Slide, window: tuple[int, int, int, int], to_px: float, n: int) -> np.ndarray:
    """Pixels of a window in exported px, uint8 h×w×3; beyond the image white."""
    x, y, width, height = window
    left, top = math.floor(x / to_px / n) * n, math.floor(y / to_px / n) * n
    right, bottom = min(slide.size[0], math.ceil((x + width) / to_px / n) * n), min(slide.size[1], math.ceil((y + height) / to_px / n) * n)
    boxed = slide.read(Rect(left, top, right - left, bottom - top), n)
    # exported px centre → boxed px: one affine map, so that image and labels keep one frame whatever the ratio
    step = 1 / to_px / n
    matrix = np.array([[step, 0, (x + 0.5) * step - left / n - 0.5], [0, step, (y + 0.5) * step - top / n - 0.5]])
    flags = (cv2.INTER_LINEAR if step >= 1 else cv2.INTER_CUBIC) | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(boxed, matrix, (width, height), flags=flags, borderMode=cv2.BORDER_REPLICATE)


def draw(found: Annotations, window, to_px: float, pixels: np.ndarray, region, counts: Counter, used: set[int]) -> tuple[np.ndarray, dict[int, str]]:
    """Labels of a window (int32 h×w) and the class of each; paints `pixels` white outside the region."""
    x, y, width, height = window
    rows, cols = np.mgrid[:height, :width]
    px, py = (cols + x + 0.5) / to_px, (rows + y + 0.5) / to_px
    inside = shapely.contains_xy(region, px.ravel(), py.ravel()).reshape(height, width)
    pixels[~inside] = 255
    labels, names = np.zeros((height, width), np.int32), {}
    for index in sorted(range(len(found.nuclei)), key=lambda i: -found.nuclei[i].area):
        left, top, right, bottom = np.array(found.nuclei[index].bounds) * to_px - [x, y, x, y]
        part = np.s_[max(0, math.floor(top)) : max(0, math.ceil(bottom)), max(0, math.floor(left)) : max(0, math.ceil(right))]
        if not labels[part].size:
            continue
        mask = inside[part] & shapely.contains_xy(found.nuclei[index], px[part].ravel(), py[part].ravel()).reshape(labels[part].shape)
        if not mask.any():
            continue
        used.add(index)
        counts["nuclei that share pixels, given to the smaller"] += bool(labels[part][mask].any())
        labels[part][mask] = index + 1
    for value, size in zip(*np.unique(labels[labels > 0], return_counts=True), strict=True):
        if size < SMALLEST:
            labels[labels == value] = 0
            counts["nuclei or cut parts of fewer than 8 px, dropped"] += 1
    final = np.zeros_like(labels)
    for new, value in enumerate(np.unique(labels[labels > 0]).tolist(), 1):
        final[labels == value] = new
        names[new] = found.classes[value - 1]
    return final, names


def _unlabelled(slide: Slide, region, to_px: float, n: int, folder: Path, stem: str, most: int) -> int:
    """Write up to `most` tiles of tissue outside the annotated region, chosen by a hash of their place."""
    overview = slide.overview()
    mask = tissue_mask(overview, slide.unread)
    step = slide.size[0] / mask.shape[1]
    found = []
    for y in range(0, int(slide.size[1] * to_px) - TILE + 1, TILE):
        for x in range(0, int(slide.size[0] * to_px) - TILE + 1, TILE):
            left, top, right, bottom = (value / to_px for value in (x, y, x + TILE, y + TILE))
            rows, cols = (slice(int(low / step), max(int(low / step) + 1, int(high / step))) for low, high in ((top, bottom), (left, right)))
            tissue = mask[rows, cols]
            if tissue.size and tissue.mean() >= TISSUE and not shapely.box(left, top, right, bottom).intersects(region):
                found.append((hashlib.sha256(f"{x},{y}".encode()).hexdigest(), x, y))
    for _, x, y in sorted(found)[:most]:
        _png(folder / f"{stem}_{x}_{y}.png", read_at(slide, (x, y, TILE, TILE), to_px, n)[..., ::-1])
    return min(most, len(found))


def _png(path: Path, pixels: np.ndarray) -> None:
    path.write_bytes(cv2.imencode(".png", np.ascontiguousarray(pixels))[1].tobytes())
