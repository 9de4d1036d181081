"""Kill jobs of three slides with SIGKILL at random moments and compare every result with the uninterrupted one.

    python tests/jobs/kill_many.py [KILLS] [SEED]

Each child is a process of its own (forked after the imports, so that a kill does not cost seconds of loading) that goes
on with the job; it is killed after a random time, until the job is done; then the next job begins.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import tempfile
import time
import traceback
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))


def compare(folder: Path, reference: Path) -> list[str]:
    """Names of results that differ to the byte, or are missing on one side."""
    names = {
        path.name
        for side in (folder, reference)
        for path in side.iterdir()
        if path.suffix in (".geojson", ".png", ".csv")
    }
    return sorted(
        name
        for name in names
        if not (folder / name).exists() or (folder / name).read_bytes() != (reference / name).read_bytes()
    )


def ids(folder: Path) -> list[str]:
    import json

    return [
        f["id"]
        for path in sorted(folder.glob("*.geojson"))
        for f in json.loads(path.read_text(encoding="utf-8"))["features"]
    ]


def in_child(folder: Path) -> int:
    """Go on with a job in a child; returns its process id."""
    child = os.fork()
    if child:
        return child
    code, said = 1, []
    try:
        from hemalum.jobs.job import work_on

        work_on(folder, said.append)
        code = 0
    except BaseException:
        traceback.print_exc()
        print(*said, sep="\n", file=sys.stderr, flush=True)
    finally:
        os._exit(code)


def manifest(slides: list[Path], models: Path):
    from hemalum.jobs.manifest import Manifest
    from hemalum.models import find

    options = {
        "formats": ["geojson", "labels", "csv"],
        "mpp": 0.5,
        "region": None,
        "device": "cpu",
        "threads": 1,
        "precision": "fp32",
        "core": 256,
        "commit_every": 0.0,
    }
    return Manifest.make(slides, find("toy", [models]), options)


def kill_many(scratch: Path, slides: list[Path], models: Path, kills: int, seed: int = 0) -> dict:
    """Returns counts: `kills`, `jobs`, `differing` (names), `lost` and `doubled` nuclei, `inside` (kills while pieces
    lay there)."""
    from hemalum.jobs import pieces
    from hemalum.jobs.job import begin

    rng, made = random.Random(seed), manifest(slides, models)
    for whole in (scratch / "first", scratch / "whole"):  # the first one may compile; its time says nothing
        begin(whole, made)
        started = time.monotonic()
        assert os.waitpid(in_child(whole), 0)[1] == 0
        usual = time.monotonic() - started
    right = ids(whole)
    found = {"kills": 0, "jobs": 0, "inside": 0, "lost": 0, "doubled": 0, "differing": []}
    found |= {"nuclei": len(right), "seconds_whole": round(usual, 2)}
    while found["kills"] < kills:
        folder = scratch / f"job{found['jobs']}"
        begin(folder, made)
        while True:
            child = in_child(folder)
            until = time.monotonic() + (rng.uniform(0.0, 0.9) * usual if found["kills"] < kills else 1e9)
            while (ended := os.waitpid(child, os.WNOHANG))[0] == 0 and time.monotonic() < until:
                time.sleep(0.002)
            if ended[0]:
                assert ended[1] == 0, f"a resumed job ended with {ended[1]}"
                break
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            found["kills"] += 1
            found["inside"] += any(pieces.count(work) for work in (folder / "job.work").glob("*/pieces"))
        now = ids(folder)
        found["jobs"] += 1
        found["lost"] += len(set(right) - set(now))
        found["doubled"] += len(now) - len(set(now))
        found["differing"] += compare(folder, whole)
    return found


def make_slides(folder: Path, count: int = 3) -> list[Path]:
    from conftest import picture
    from PIL import Image

    folder.mkdir()
    paths = []
    for i in range(count):
        paths.append(folder / f"slide{i}.png")
        Image.fromarray(picture(700, 650, seed=i)).save(paths[-1])
    return paths


if __name__ == "__main__":
    from conftest import write_toy_model

    import hemalum.jobs.slide_run  # noqa: F401 — loaded once, before the forks

    with tempfile.TemporaryDirectory() as name:
        here = Path(name)
        write_toy_model(here / "models")
        kills, seed = (int(given) for given in (sys.argv[1:] + [200, 0][len(sys.argv) - 1 :]))
        result = kill_many(here, make_slides(here / "in"), here / "models", kills, seed)
        print(result)
        sys.exit(bool(result["lost"] or result["doubled"] or result["differing"]))
