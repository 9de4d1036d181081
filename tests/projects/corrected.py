"""A QuPath project whose images carry corrected nuclei, as QuPath exports them; and the whole loop on one, for real.

    python tests/projects/corrected.py DATA OUT [STEPS]

DATA holds the sets `tnbc` (CC BY 4.0) and `nucls_sample` (CC0).  About 200 corrected nuclei of one CC BY and one CC0 image are learned;
the verdict falls on other fields, of which the model in use learned none of tnbc's; a CC0 slide gives unlabelled tissue.  A second run
learns from labels made worse.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from hemalum.outlines import cracks
from hemalum.projects.export import split
from hemalum.slides import open_slide

UNLABELLED = Path(__file__).parents[2] / "server" / "hemalum" / "data" / "CMU-1-Small-Region.svs"


@dataclass
class Slide:
    """A project's image under a name that begins with its patient; without `labels` nothing is annotated.

    `worse`: its labels are moved, shrunk and thinned out.
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
    found = [{"geometry": {"type": "Polygon", "coordinates": rings}, "type": "Feature",
              "properties": {"objectType": "annotation", "classification": {"name": "Complete", "color": [200, 0, 0]}}}]  # fmt: skip
    rng = np.random.default_rng(0)
    traced = cracks(np.searchsorted(np.unique(labels), labels).astype(np.int32))
    for start, stop in zip(traced.offsets, traced.offsets[1:], strict=False):
        ring = traced.points[start:stop]
        if worse:
            if rng.random() < 0.3:
                continue
            ring = (ring - ring.mean(0)) * 0.6 + ring.mean(0) + 9 * np.array([np.cos(turn := rng.uniform(0, 6.3)), np.sin(turn)])
        ring = ring.round(2).tolist()
        geometry = {"type": "Polygon", "coordinates": [[*ring, ring[0]]]}
        found.append({"type": "Feature", "geometry": geometry, "properties": {"objectType": "detection"}})
    return found


def write_project(folder: Path, slides: list[Slide]) -> tuple[Path, Path]:
    """The project's file and the folder of its GeoJSON."""
    annotations = folder / "annotations"
    annotations.mkdir(parents=True)
    images = []
    for number, slide in enumerate(slides, 1):
        with open_slide(slide.image, slide.mpp) as opened:
            width, height = opened.size
        side = {"value": slide.mpp, "unit": "µm"}
        metadata = {"width": width, "height": height, "isRGB": True, "pixelCalibration": {"pixelWidth": side, "pixelHeight": side}}
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
    parts = split(names, share)
    return tuple([name for name in names if parts[name] == part] for part in ("train", "validation"))


def main(data: Path, out: Path, steps: int) -> None:
    (first, second), (kept,) = patients(2, 1, 0.3)

    def slide(patient: str, name: str, worse: bool = False) -> Slide:
        folder = data / ("tnbc" if name.startswith("tnbc") else "nucls_sample")
        return Slide(f"{patient}_{name}", folder / "images" / f"{name}.png", folder / "labels" / f"{name}.png", worse)

    for run in ("good", "worse"):
        bad = run == "worse"
        slides = [slide(first, "tnbc_05_1", bad), slide(second, "nucls_train_5", bad)]
        slides += [slide(kept, name) for name in ("tnbc_05_2", "tnbc_05_3", "tnbc_05_4", "nucls_test_5")]
        slides.append(Slide(f"{second}_{UNLABELLED.name}", UNLABELLED, None, mpp=0.499))
        path, annotations = write_project(out / run / "lab", slides)
        command = [sys.executable, "-m", "hemalum", "improve", path, "--annotations", annotations, "--patient-pattern", "^(P[0-9]+)_",
                   "--validation", "0.3", "--steps", steps, "--name", f"lab-{run}"]  # fmt: skip
        began = time.monotonic()
        subprocess.run(list(map(str, command)), check=True)
        print(f"{run}: {time.monotonic() - began:.0f} s", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int((sys.argv[3:] or ["400"])[0]))
