"""Annotated slides → a training set: images, instance labels, classes, a manifest, and tissue without labels for the
teacher.

    SET/manifest.csv  images/*.png  labels/*.png (16-bit)  unknown/*.png  classes.json  report.json  unlabelled/*.png

`unknown` is not 0 where nobody knows what a pixel is; no loss may be taken there.

Slides of one patient, and copies of one slide, lie in one part.  How pixels and labels are cut: `hemalum.projects.cut`.
"""

from __future__ import annotations

import csv
import hashlib
import json
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import shapely

from hemalum.errors import NotWritable, UnknownResolution, UsageError
from hemalum.files import commit_json, lost, move
from hemalum.grid.tiling import scale_for
from hemalum.projects.annotations import Annotations, read
from hemalum.projects.cut import draw, read_at, unknown, unlabelled_tiles, windows, write_png
from hemalum.projects.sources import AnnotatedSlide
from hemalum.slides import open_slide

LARGEST_NUCLEUS_UM = 30.0  # side of an outline that may be a nucleus
MOST_SAID, MOST_KEPT = 20, 1000  # sentences on odd features; in the report


def export(
    sources: list[AnnotatedSlide],
    folder: str | Path,
    mpp: float = 0.25,
    validation: float = 0.2,
    unlabelled: int = 20,
    say: Callable[[str], Any] = lambda sentence: None,
) -> dict:
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
        scratch = tempfile.TemporaryDirectory(dir=folder.parent, prefix=".export-")
    except OSError as error:
        raise NotWritable(f"{folder} cannot be written ({error.strerror}); choose another folder with -o") from error
    with scratch:
        fresh = Path(scratch.name) / "set"
        try:
            for name in ("images", "labels", "unknown", "unlabelled"):
                (fresh / name).mkdir(parents=True)
            report = _export(sources, fresh, mpp, validation, unlabelled, say)
            move(fresh, folder)
        except OSError as error:
            raise lost(folder, error) from error
    return report


def _export(sources, folder: Path, mpp: float, share: float, unlabelled: int, say) -> dict:
    annotations = [read(source.annotations) for source in sources]
    owner, parts = assign(sources, annotations, share)
    counts: Counter[str] = Counter()
    classes: Counter[str] = Counter()
    rows: list[dict[str, Any]] = []
    hashes: dict[str, set[str]] = {"train": set(), "validation": set()}
    for number, (source, found) in enumerate(zip(sources, annotations, strict=True)):
        part, stem = parts[owner[number]], f"{number:04d}_{source.name or source.image.stem}".replace("/", "_")
        with open_slide(source.image, source.mpp, source.series) as slide:
            slide.require_size(source.size)
            if slide.mpp is None:
                raise UnknownResolution(
                    f"{source.image} states no resolution; write it into the list's column mpp, or set the pixel size "
                    "in QuPath"
                )
            scale = scale_for(slide.mpp, mpp)
            to_px = slide.mpp / mpp
            before = len(rows)
            counts.update(found.counts)
            region = found.region.intersection(shapely.box(0, 0, *slide.size))
            if found.region.area and not region.area:
                counts["complete regions outside the image, left out"] += 1
            used: set[int] = set()
            for piece, window in enumerate(windows(region, to_px)):
                pixels = read_at(slide, window, to_px, scale.n)
                labels, names = draw(found, window, to_px, pixels, region, counts, used)
                name = f"{stem}_{piece}"
                write_png(folder / "images" / f"{name}.png", pixels[..., ::-1])
                write_png(folder / "labels" / f"{name}.png", labels.astype(np.uint16))
                mask = unknown(found, window, to_px, labels, LARGEST_NUCLEUS_UM / slide.mpp)
                write_png(folder / "unknown" / f"{name}.png", mask.astype(np.uint8) * 255)
                counts["pixels of unknown outlines, left out of the loss"] += int(np.count_nonzero(mask))
                hashes[part].add(hashlib.sha256(pixels.tobytes()).hexdigest())
                classes.update(names.values())
                rows.append(
                    {
                        "stem": name,
                        "width": labels.shape[1],
                        "height": labels.shape[0],
                        "n_nuclei": len(names),
                        "mpp": mpp,
                        "slide": source.image.name,
                        "patient": owner[number],
                        "part": part,
                        "classes": json.dumps(names, ensure_ascii=False),
                    }
                )
            counts["nuclei outside Complete regions, left out"] += len(found.nuclei) - len(used)
            tiles = (
                unlabelled_tiles(slide, found.region, to_px, scale.n, folder / "unlabelled", stem, unlabelled)
                if part == "train"
                else 0
            )
            counts["unlabelled tiles"] += tiles
            say(f"{source.image.name}: {len(rows) - before} images, {tiles} unlabelled tiles, {part}")
    odd = []
    for source, found in zip(sources, annotations, strict=True):
        odd += [f"{source.annotations.name}: {sentence}" for sentence in found.odd]
    for sentence in odd[:MOST_SAID]:
        say(f"left out: {sentence}")
    if len(odd) > MOST_SAID:
        say(f"left out: {len(odd) - MOST_SAID} more features, see report.json")
    if not rows:
        raise UsageError(
            "no Complete region lies inside its image, so there is nothing to export; check that annotations and images"
            " belong together"
        )
    if hashes["train"] & hashes["validation"]:
        raise UsageError(
            "the same pixels lie in training and validation: two slides are copies in part; give them one patient"
        )
    with open(folder / "manifest.csv", "w", newline="", encoding="utf-8", errors="backslashreplace") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    held = sorted({row["patient"] for row in rows if row["part"] == "validation"})
    report = {
        "mpp": mpp,
        "images": len(rows),
        "nuclei": sum(row["n_nuclei"] for row in rows),
        "patient_column": "patient",
        "validation": held,
        "classes": dict(classes.most_common()),
        "counts": dict(sorted(counts.items())),
        "odd": odd[:MOST_KEPT],
    }
    for name, content in (("classes.json", report["classes"]), ("report.json", report)):
        commit_json(folder / name, content)
    return report


def assign(
    sources: list[AnnotatedSlide], annotations: list[Annotations], share: float
) -> tuple[list[str], dict[str, str]]:
    """The patient of each slide, and the part of each patient; of those without a Complete region it is "train".

    Raises:
        UsageError: nothing is annotated as Complete; one slide is said to be of two patients.
    """
    if not any(found.region.area for found in annotations):
        raise UsageError(
            "no annotation of class Complete was found; draw one around tissue in which every nucleus is annotated"
        )
    owners = _patients(sources)
    annotated = [owner for owner, found in zip(owners, annotations, strict=True) if found.region.area]
    return owners, dict.fromkeys(owners, "train") | parts_of(annotated, share)


def parts_of(owners: list[str], share: float) -> dict[str, str]:
    """Patient → "train" or "validation"; by a hash of the name, so that it does not depend on the order of slides.

    >>> sorted(parts_of(["a", "b", "c", "a"], 0.3).values()), parts_of(["a"], 0.5)
    (['train', 'train', 'validation'], {'a': 'train'})
    """
    names = sorted(set(owners), key=lambda name: hashlib.sha256(name.encode()).hexdigest())
    kept = min(len(names) - 1, max(1, round(share * len(names)))) if share > 0 else 0
    return {name: "validation" if position < kept else "train" for position, name in enumerate(names)}


def _patients(sources: list[AnnotatedSlide]) -> list[str]:
    """The patient of each slide; copies of a slide belong to one."""
    owners: list[str] = []
    seen: dict[str, tuple[str, Path]] = {}
    for source in sources:
        with open_slide(source.image, source.mpp, source.series) as slide:
            identity = slide.identity
        name = source.patient or seen.get(identity, ("", ""))[0] or source.name or source.image.stem
        if (other := seen.setdefault(identity, (name, source.image)))[0] != name:
            raise UsageError(
                f"{other[1]} and {source.image} hold the same pixels, but are said to be of {other[0]!r} and "
                f"{name!r}; correct the list"
            )
        owners.append(name)
    return owners
