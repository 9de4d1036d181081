"""The examples run as they stand, by their own command lines."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from PIL import Image

from hemalum.client.child import local_server
from hemalum.grid.tiling import Rect
from hemalum.slides import open_slide

REPOSITORY = Path(__file__).parents[1]
SLIDE = REPOSITORY / "server" / "hemalum" / "data" / "CMU-1-Small-Region.svs"


def run_example(name: str, *arguments, **environment) -> str:
    command = [sys.executable, str(REPOSITORY / "examples" / name), *map(str, arguments)]
    ended = subprocess.run(
        command, capture_output=True, encoding="utf-8", timeout=300, check=False, env=os.environ | environment
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def test_segment_writes_the_nuclei_of_a_slide(tmp_path):
    with open_slide(SLIDE) as slide:
        tissue, per_inch = slide.read(Rect(900, 800, 256, 256), 1), 25400 / slide.mpp
    Image.fromarray(tissue).save(tmp_path / "tissue.png", dpi=(per_inch, per_inch))
    said = run_example("segment.py", tmp_path / "tissue.png", tmp_path / "out")
    features = json.loads((tmp_path / "out" / "tissue.geojson").read_text(encoding="utf-8"))["features"]
    assert len(features) > 20 and said.startswith(f"{len(features)} nuclei, 0 tiles failed")
    assert json.loads((tmp_path / "out" / "tissue.run.json").read_text(encoding="utf-8"))["model"]["id"] == "nuclei"


def test_client_finds_the_discs_it_draws():
    with local_server() as (port, token):
        said = run_example("client.py", f"127.0.0.1:{port}", HEMALUM_TOKEN=token)
    assert said.splitlines()[-1].startswith("36 nuclei"), "a 512 px picture with a disc every 80 px"
