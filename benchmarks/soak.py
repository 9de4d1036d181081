"""Mixed clients at one server on loopback for long: do memory, threads or files grow, do nuclei stay the same?

Whole runs, runs that are cancelled, closed early or abandoned, tiles that cannot be read, slides that the server reads,
normalizations, refusals, all at once. Growth is that of the last third beside the one before it. Prints one JSON
line; exit code 1 where something grew by 2 % or more, a nucleus differed, or a call failed that should not.

    python benchmarks/soak.py [--seconds 600] [--clients 8] [--models DIR --model ID]
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

import numpy as np
import psutil

import hemalum
from hemalum.client.child import LocalServer, local_process
from hemalum.client.client import Client, PixelSource
from hemalum.errors import Cancelled, HemalumError, RunLost, UnknownModel, UnreadableImage
from hemalum.runs.events import Finished, NucleiFound, Parameters
from hemalum.runs.pipeline import image_info
from hemalum.slides import open_slide

SLIDE = Path(hemalum.__file__).parent / "data" / "CMU-1-Small-Region.svs"
SIDE = 700  # px of the crop that every run is on
CORE = 256
GROWTH = 0.02  # share by which nothing may grow
LOOK = 2.0  # s between looks at the server
SMALLEST = {"mb": 16.0, "threads": 4.0, "files": 4.0}  # growth below is noise, whatever share it is


class Soak:
    """Clients that do what clients do, until the time is up.

    Args:
        server: under test.  model: its model.  folder: with `crop.png`, which the server may read.
        until: monotonic time.
    """

    def __init__(self, server: LocalServer, model: str, folder: Path, until: float):
        self.server, self.model, self.folder, self.until = server, model, folder, until
        self.counts: Counter = Counter()
        self.faults: list[str] = []
        self.digests: set[str] = set()
        self._lock = threading.Lock()

    def client(self, number: int) -> None:
        """One client, with a seed of its own."""
        rng = random.Random(number)
        kinds = [self.whole, self.there, self.cancelled, self.closed_early, self.unreadable, self.normalized]
        kinds.append(self.refused)
        while time.monotonic() < self.until:
            kind = kinds[number % 2] if rng.random() < 0.4 else rng.choice(kinds)
            try:
                with (
                    Client(self.server.address, token=self.server.token, timeout=60) as client,
                    open_slide(self.folder / "crop.png", 0.5) as slide,
                ):
                    kind(client, slide, rng)
                self.note(kind.__name__)
            except HemalumError as error:
                self.fault(f"{kind.__name__}: {type(error).__name__}: {error}")

    def note(self, name: str) -> None:
        with self._lock:
            self.counts[name] += 1

    def fault(self, sentence: str) -> None:
        with self._lock:
            self.faults.append(sentence)

    def parameters(self, rng: random.Random) -> Parameters:
        return Parameters(core=CORE, skip_glass=False, interactive=rng.random() < 0.3)

    def whole(self, client: Client, slide, rng: random.Random) -> None:
        run = client.run(slide, self.model, self.parameters(rng), order=lambda tiles: rng.sample(range(tiles), tiles))
        self.compare(run)

    def there(self, client: Client, slide, rng: random.Random) -> None:
        self.compare(client.run_there("crop.png", self.model, self.parameters(rng), mpp=0.5))

    def compare(self, run) -> None:
        rows = []
        for event in run.events():
            if isinstance(event, NucleiFound):
                nuclei = event.nuclei
                for number, name in enumerate(run.ids(nuclei)):
                    outline = nuclei.vertices[nuclei.offsets[number] : nuclei.offsets[number + 1]]
                    rows.append(name + outline.tobytes().hex())
        digest = hashlib.sha256("\n".join(sorted(rows)).encode()).hexdigest()
        with self._lock:
            self.digests.add(digest)

    def cancelled(self, client: Client, slide, rng: random.Random) -> None:
        run = client.run(slide, self.model, self.parameters(rng))
        events = run.events()
        for _ in range(rng.randrange(4)):
            next(events)
        run.cancel()
        try:
            for _ in events:
                continue
        except Cancelled:
            return

    def closed_early(self, client: Client, slide, rng: random.Random) -> None:
        some = rng.randrange(1, 5)
        *_, last = client.run(slide, self.model, self.parameters(rng), order=lambda n: range(some)).events()
        if not isinstance(last, Finished) or not last.summary.failed:
            self.fault("a run that was closed early did not say what was not sent")

    def unreadable(self, client: Client, slide, rng: random.Random) -> None:
        def read(rect, n):
            if rng.random() < 0.5:
                raise UnreadableImage("this tile cannot be decoded; copy the slide again")
            return slide.read(rect, n)

        source = PixelSource(image=image_info(slide), overview=slide.overview(), read=read)
        for _ in client.run_source(source, self.model, self.parameters(rng)).events():
            continue

    def normalized(self, client: Client, slide, rng: random.Random) -> None:
        client.normalize(slide.overview(), rng.choice(("macenko", "reinhard")))

    def refused(self, client: Client, slide, rng: random.Random) -> None:
        def wrong(rect, n):
            return np.zeros((5, 5, 3), np.uint8)

        try:
            if rng.random() < 0.5:
                client.run(slide, "nobody")
            else:
                source = PixelSource(image=image_info(slide), overview=slide.overview(), read=wrong)
                list(client.run_source(source, self.model, self.parameters(rng)).events())
            self.fault("what had to be refused was not")
        except (UnknownModel, RunLost):
            return


def measured(process: psutil.Process) -> dict[str, float]:
    """What must not grow."""
    files = process.num_fds() if hasattr(process, "num_fds") else process.num_handles()
    return {"mb": process.memory_info().rss / 2**20, "threads": float(process.num_threads()), "files": float(files)}


def growth(rows: list[dict[str, float]]) -> dict[str, float]:
    """Share by which each number grew: the median of the last third against that of the middle one, where the first is
    left out as warm-up.

    >>> growth([{"mb": 900.0}] * 3 + [{"mb": 500.0}] * 3 + [{"mb": 550.0}] * 3)
    {'mb': 0.1}
    """
    third = len(rows) // 3
    shares = {}
    for name in rows[0]:
        middle = float(np.median([row[name] for row in rows[third : 2 * third]]))
        last = float(np.median([row[name] for row in rows[2 * third :]]))
        grown = last - middle
        shares[name] = round(grown / middle, 4) if grown >= SMALLEST[name] else 0.0
    return shares


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--models", action="append", default=[])
    parser.add_argument("--model", default="nuclei")
    options = parser.parse_args(arguments)
    from PIL import Image

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with open_slide(SLIDE) as slide:
            Image.fromarray(slide.read((600, 600, SIDE, SIDE), 1)).save(folder / "crop.png")
        with local_process(options.models, slides=[folder]) as server:
            process = psutil.Process(server.process.pid)
            soak = Soak(server, options.model, folder, time.monotonic() + options.seconds)
            threads = [threading.Thread(target=soak.client, args=(number,)) for number in range(options.clients)]
            for thread in threads:
                thread.start()
            rows = []
            while any(thread.is_alive() for thread in threads):
                time.sleep(LOOK)
                if server.process.poll() is not None:
                    soak.faults.append(f"the server ended with code {server.process.returncode}")
                    break
                rows.append(measured(process))
            for thread in threads:
                thread.join()
    grown = growth(rows) if len(rows) >= 3 else {}
    faults = list(soak.faults)
    if len(soak.digests) > 1:
        faults.append(f"{len(soak.digests)} different sets of nuclei")
    faults += [f"{what} grew by {100 * share:.1f} %" for what, share in grown.items() if share >= GROWTH]
    print(
        json.dumps(
            {
                "seconds": options.seconds,
                "calls": dict(soak.counts),
                "growth": grown,
                "last": {what: round(value, 1) for what, value in rows[-1].items()} if rows else {},
                "faults": faults[:20],
            }
        )
    )
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
