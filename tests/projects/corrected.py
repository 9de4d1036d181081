"""A QuPath project whose images carry corrected nuclei, as QuPath exports them; and the whole loop on one, for real.

    python tests/projects/corrected.py DATA OUT [options of improve]

DATA holds the set `dsb2018_purple` (CC0).  The laboratory's nuclei are large, purple on lavender, with coarse
chromatin, and the model in use takes many for several, although it has learned these very images, with little weight.
The images of the group purple_on_purple with a median nucleus of 75 µm² or more, in order of that size, fall in turns
to what is learned (192 corrected nuclei) and to the verdict (182); the others of the group are tissue without labels.
A second run learns from labels made worse.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import shapely
from PIL import Image
from shapely.affinity import translate

from hemalum.nuclei.outlines import cracks
from hemalum.projects.export import parts_of
from hemalum.slides import open_slide

LEARNED = (
    "dsb_a7f6194ddbea",
    "dsb_7798ca1ddb31",
    "dsb_a90401357d50",
    "dsb_33a5b0ff232b",
    "dsb_ebc18868864a",
    "dsb_45f059cf21d8",
)
APART = (
    "dsb_0bf33d3db428",
    "dsb_a31deaf0ac27",
    "dsb_abd8dde78f8d",
    "dsb_c0152b1a260e",
    "dsb_b0e35e06b85d",
    "dsb_a7f767ca9770",
)
TISSUE = (
    "dsb_673baf65ae5c",
    "dsb_24a20f2a529c",
    "dsb_5ef4442e5b8b",
    "dsb_cbff60361ded",
    "dsb_6c67b78e8164",
    "dsb_f952cc653760",
)
UNLABELLED = Path(__file__).parents[2] / "server" / "hemalum" / "data" / "CMU-1-Small-Region.svs"


@dataclass
class Slide:
    """A project's image under a name that begins with its patient; without `labels` nothing is annotated.

    `worse`: its labels are cut, moved and thinned out.
    """

    name: str
    image: Path
    labels: Path | None
    worse: bool = False
    mpp: float = 0.25


def features(labels: np.ndarray, worse: bool = False) -> list[dict]:
    """GeoJSON as QuPath writes it: one Complete annotation over the whole image, and a detection for each nucleus."""
    height, width = labels.shape
    rings = [[[0, 0], [width, 0], [width, height], [0, height], [0, 0]]]
    found = [
        {
            "geometry": {"type": "Polygon", "coordinates": rings},
            "type": "Feature",
            "properties": {"objectType": "annotation", "classification": {"name": "Complete", "color": [200, 0, 0]}},
        }
    ]
    rng = np.random.default_rng(0)
    traced = cracks(np.searchsorted(np.unique(labels), labels).astype(np.int32))
    for start, stop in zip(traced.offsets, traced.offsets[1:], strict=False):
        ring = traced.points[start:stop]
        for outline in _spoiled(shapely.Polygon(ring), rng) if worse else [shapely.Polygon(ring)]:
            geometry = json.loads(shapely.to_geojson(outline))
            found.append({"type": "Feature", "geometry": geometry, "properties": {"objectType": "detection"}})
    return found


def _spoiled(nucleus: shapely.Polygon, rng: np.random.Generator) -> list[shapely.Geometry]:
    """Its quarters, three in ten of them missing, the others moved by 9 px."""
    (x, y), far = nucleus.centroid.coords[0], 1e4
    quarters = [
        nucleus.intersection(shapely.box(x, y, x + across, y + down)) for across in (-far, far) for down in (-far, far)
    ]
    moved = []
    for part in quarters:
        if part.area and rng.random() > 0.3:
            turn = rng.uniform(0, 6.3)
            moved.append(translate(part, 9 * np.cos(turn), 9 * np.sin(turn)))
    return moved


def write_project(folder: Path, slides: list[Slide]) -> tuple[Path, Path]:
    """The project's file and the folder of its GeoJSON."""
    annotations = folder / "annotations"
    annotations.mkdir(parents=True)
    images = []
    for number, slide in enumerate(slides, 1):
        with open_slide(slide.image, slide.mpp) as opened:
            width, height = opened.size
        side = {"value": slide.mpp, "unit": "µm"}
        metadata = {
            "width": width,
            "height": height,
            "isRGB": True,
            "pixelCalibration": {"pixelWidth": side, "pixelHeight": side},
        }
        builder = {"builderType": "uri", "uri": slide.image.resolve().as_uri(), "args": [], "metadata": metadata}
        images.append({"serverBuilder": builder, "entryID": number, "imageName": slide.name, "metadata": {}})
        objects = features(np.asarray(Image.open(slide.labels)).astype(np.int32), slide.worse) if slide.labels else []
        collection = {"type": "FeatureCollection", "features": objects}
        (annotations / f"{slide.name}.geojson").write_text(json.dumps(collection), encoding="utf-8")
    path = folder / "project.qpproj"
    path.write_text(json.dumps({"version": "0.7.0", "uri": path.as_uri(), "images": images}), encoding="utf-8")
    return path, annotations


def patients(learned: int, kept: int, share: float) -> tuple[list[str], list[str]]:
    """Names of patients of which exactly `kept` fall to validation."""
    names = [f"P{number}" for number in range(learned + kept)]
    parts = parts_of(names, share)
    return tuple([name for name in names if parts[name] == part] for part in ("train", "validation"))


def main(data: Path, out: Path, options: list[str]) -> None:
    (first, second), (kept,) = patients(2, 1, 0.3)

    def slide(patient: str, stem: str, labelled: bool = True, worse: bool = False) -> Slide:
        images, labels = (data / "dsb2018_purple" / part / f"{stem}.png" for part in ("images", "labels"))
        return Slide(f"{patient}_{stem}", images, labels if labelled else None, worse, mpp=0.5)

    for run in ("good", "worse"):
        bad = run == "worse"
        slides = [slide(first if i else second, name, worse=bad) for i, name in enumerate(LEARNED)]
        slides += [slide(kept, name) for name in APART]
        slides += [slide(first, name, labelled=False) for name in TISSUE]
        path, annotations = write_project(out / run / "lab", slides)
        command = [
            sys.executable,
            "-m",
            "hemalum",
            "improve",
            path,
            "--annotations",
            annotations,
            "--patient-pattern",
            "^(P[0-9]+)_",
            "--validation",
            "0.3",
            "--name",
            f"lab-{run}",
            "--no-install",
            *options,
        ]
        began, before = time.monotonic(), os.times()
        subprocess.run(list(map(str, command)), check=True)
        after = os.times()
        seconds = after.children_user + after.children_system - before.children_user - before.children_system
        print(f"{run}: {time.monotonic() - began:.0f} s, {seconds:.0f} s of computing", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:])
