"""The nuclei of one slide, from Python: `python examples/segment.py SLIDE OUT`.

Writes OUT/<stem>.geojson and OUT/<stem>.run.json, as `hemalum segment` does, and prints the largest nuclei.
"""

import json
import sys
from pathlib import Path

from hemalum import find_model, open_slide, segment_slide
from hemalum.runs.events import Parameters
from hemalum.runs.pipeline import Pipeline


def main(path: str, folder: str) -> None:
    model = find_model("nuclei")
    out = Path(folder)
    out.mkdir(parents=True, exist_ok=True)
    with Pipeline() as pipeline, open_slide(path) as slide:
        outcome = segment_slide(slide, model, pipeline, Parameters(), ["geojson"], out)
    print(f"{outcome.summary.nuclei} nuclei, {len(outcome.summary.failed)} tiles failed")

    features = json.loads((out / f"{Path(path).stem}.geojson").read_text(encoding="utf-8"))["features"]
    areas = [feature["properties"]["measurements"]["Nucleus: Area µm^2"] for feature in features]
    print("largest nuclei, µm²:", sorted(areas, reverse=True)[:5])


if __name__ == "__main__":
    main(*sys.argv[1:3])
