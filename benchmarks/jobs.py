"""What a job costs beside the work itself: its bookkeeping, and two Dask workers of one thread against one.

Prints one JSON line.  Both on a generated slide at 0.25 µm/px.  With --replay each tile takes so many milliseconds of
sleep instead of the network's time, so that the ratio can be told on a machine whose cores are busy; what is left is
the real thing.

    python benchmarks/jobs.py [--models DIR] [--model ID] [--side 8192] [--turns 3] [--replay MS]
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from memory import generate

from hemalum.jobs.cluster import Cluster
from hemalum.jobs.job import begin, work_on
from hemalum.jobs.manifest import Manifest
from hemalum.models import find
from hemalum.slides import stem


def replay(seconds: float) -> None:
    """In a worker: after its first tile the engine sleeps and gives that tile's maps again."""
    import hemalum.jobs.worker as worker

    class Replay:
        def __init__(self, engine):
            self.engine, self.stored = engine, {}

        def maps(self, tiles):
            if tiles.shape not in self.stored:
                self.stored[tiles.shape] = self.engine.maps(tiles)
            time.sleep(seconds)
            return self.stored[tiles.shape]

    made = worker._engine
    engines: dict = {}
    worker._engine = lambda source: engines.setdefault(0, Replay(made(source)))


def seconds(folder: Path, slides: list[Path], model, cluster=None) -> float:
    """Wall time of a job on these slides."""
    options = {
        "formats": ["geojson"],
        "mpp": None,
        "region": None,
        "device": "cpu",
        "threads": 1,
        "precision": "auto",
        "skip_glass": False,
    }
    begin(folder, Manifest.make(slides, model, options))
    began = time.perf_counter()
    work_on(folder, lambda sentence: None, compute=cluster)
    return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", action="append", default=[])
    parser.add_argument("--model", default="nuclei")
    parser.add_argument("--side", type=int, default=8192)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--replay", type=float, metavar="MS")
    arguments = parser.parse_args()
    model = find(arguments.model, arguments.models)
    found = {"benchmark": "jobs", "replay_ms": arguments.replay}
    with tempfile.TemporaryDirectory() as name:
        here = Path(name)
        small, large = here / "small.ome.tif", here / "large.ome.tif"
        generate(small, 3000)
        generate(large, arguments.side)
        if arguments.replay is None:
            seconds(here / "alone", [small], model)
            record = json.loads((here / "alone" / f"{stem(small)}.run.json").read_text(encoding="utf-8"))
            found["bookkeeping"] = round(record["seconds"]["pieces"] / record["seconds"]["total"], 4)
        taken: dict[int, list[float]] = {1: [], 2: []}
        with Cluster(1) as one, Cluster(2) as two:
            for workers, cluster in ((1, one), (2, two)):
                if arguments.replay is not None:
                    cluster.client.run(replay, arguments.replay / 1000)
                seconds(here / f"warm{workers}", [small], model, cluster)  # engines opened, code compiled
            for turn in range(arguments.turns):  # in turn, so that other work on the machine meets both
                for workers, cluster in ((1, one), (2, two)):
                    taken[workers].append(seconds(here / f"job{workers}-{turn}", [large], model, cluster))
        record = json.loads((here / "job2-0" / f"{stem(large)}.run.json").read_text(encoding="utf-8"))
        same = len({path.read_bytes() for path in here.glob(f"job?-?/{stem(large)}.geojson")}) == 1
    found |= {"tiles": record["counts"]["tiles"], "nuclei": record["counts"]["nuclei"]}
    found |= {"same_bytes": same} if arguments.replay is None else {}
    found |= {f"seconds_{workers}": [round(value, 2) for value in values] for workers, values in taken.items()}
    found["ratio"] = round(min(taken[1]) / min(taken[2]), 3)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
