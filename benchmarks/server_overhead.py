"""Wall time through a server on loopback ÷ in process, on the bundled slide region; both warm, in turns, the fastest of
each.

Prints one JSON line.

    python benchmarks/server_overhead.py [--models DIR] [--model ID] [--rounds 3]
"""

from __future__ import annotations

import argparse
import json
import time
from contextlib import ExitStack
from pathlib import Path

import hemalum
from hemalum.client.child import local_server
from hemalum.client.client import Client
from hemalum.models import find
from hemalum.runs.events import NucleiFound, Parameters
from hemalum.runs.pipeline import Pipeline, drive, image_info
from hemalum.slides import open_slide

SLIDE = Path(hemalum.__file__).parent / "data" / "CMU-1-Small-Region.svs"


def timed(start) -> tuple[float, list[str]]:
    """Seconds from an open slide to the last event, and the sorted ids of the nuclei; `start(slide)` gives a run and
    its events."""
    with open_slide(SLIDE) as slide:
        began = time.perf_counter()
        run, events = start(slide)
        names = []
        for event in events:
            if isinstance(event, NucleiFound):
                names += run.ids(event.nuclei)
        return time.perf_counter() - began, sorted(names)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", action="append", default=[])
    parser.add_argument("--model", default="nuclei")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    model, parameters = find(arguments.model, arguments.models), Parameters()
    with ExitStack() as stack:
        port, token = stack.enter_context(local_server(arguments.models))
        pipeline = stack.enter_context(Pipeline())
        client = stack.enter_context(Client(f"127.0.0.1:{port}", token=token))

        def here(slide):
            run = pipeline.run(model, image_info(slide), slide.overview(), parameters, slide.unread)
            return run, drive(run, slide.read)

        def there(slide):
            run = client.run(slide, model.id, parameters)
            return run, run.events()

        timed(here)  # models and machine code are loaded
        timed(there)
        rounds = []
        for number in range(arguments.rounds):
            if number % 2:  # who goes first alternates, so that a machine that slows down is fair to both
                served, local = timed(there), timed(here)
            else:
                local, served = timed(here), timed(there)
            rounds.append((local, served))
    fastest = min(local[0] for local, _ in rounds), min(served[0] for _, served in rounds)
    same = all(local[1] == served[1] for local, served in rounds)
    result = {
        "through_server_over_in_process": round(fastest[1] / fastest[0], 3),
        "seconds_in_process": [round(local[0], 2) for local, _ in rounds],
        "seconds_through_server": [round(served[0], 2) for _, served in rounds],
        "nuclei": len(rounds[0][0][1]),
        "same_nuclei": same,
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
