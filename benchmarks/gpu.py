"""On a CUDA machine: agreement of the GPU with the CPU, and seconds per mm² of both, on the bundled slide region.

Ends with 2 and a sentence where CUDA cannot be used.  Prints one JSON line.

    python -m benchmarks.gpu [--models DIR] [--model ID]
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

import numpy as np
import shapely

import hemalum
from hemalum.engine.torch_engine import cuda_problem
from hemalum.models import find
from hemalum.nuclei.nuclei import Nuclei
from hemalum.runs.events import Finished, NucleiFound, Parameters
from hemalum.runs.pipeline import Pipeline, drive, image_info
from hemalum.slides import open_slide

SLIDE = Path(hemalum.__file__).parent / "data" / "CMU-1-Small-Region.svs"


def segmented(pipeline, model, slide) -> tuple[Nuclei, float, str, dict]:
    """Nuclei, wall seconds, device and seconds by stage."""
    started = time.perf_counter()
    run = pipeline.run(model, image_info(slide), slide.overview(), Parameters(skip_glass=False))
    parts, stages = [], {}
    for event in drive(run, slide.read):
        if isinstance(event, NucleiFound):
            parts.append(event.nuclei)
        elif isinstance(event, Finished):
            stages = event.summary.seconds
    return Nuclei.concat(parts), time.perf_counter() - started, run.engine.device, stages


def agreement(a: Nuclei, b: Nuclei) -> float:
    """Share of nuclei matched one to one at IoU > 0.95."""
    first, second = a.polygons(), b.polygons()
    i, j = shapely.STRtree(second).query(first, predicate="intersects")
    both = shapely.area(shapely.intersection(first[i], second[j]))
    ratio = both / (shapely.area(first[i]) + shapely.area(second[j]) - both)
    return 2 * int((ratio > 0.95).sum()) / max(1, len(a) + len(b))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", action="append", default=[])
    parser.add_argument("--model", default="nuclei")
    arguments = parser.parse_args()
    if problem := cuda_problem():
        print(problem, file=sys.stderr)
        sys.exit(2)
    model = find(arguments.model, arguments.models)
    result, nuclei = {"benchmark": "gpu"}, {}
    with open_slide(SLIDE) as slide:
        area = np.prod(slide.size) * slide.mpp**2 / 1e6
        for device, precision in (("cuda", "auto"), ("cpu", "fp32")):
            with Pipeline(device, precision=precision) as pipeline:
                segmented(pipeline, model, slide)  # loads the model and compiles the loops
                nuclei[device], seconds, name, stages = segmented(pipeline, model, slide)
            result[device] = {
                "device": name,
                "s_per_mm2": round(seconds / area, 3),
                "nuclei": len(nuclei[device]),
                "stages": stages,
            }
    result["agreement_iou_0.95"] = round(agreement(nuclei["cuda"], nuclei["cpu"]), 5)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
