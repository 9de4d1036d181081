"""`python -m benchmarks`: every benchmark in turn, each in a process of its own; prints the figures and writes
bench.json.

    python -m benchmarks [--models DIR] [--model ID] [--only NAME,NAME] [--peers FILE] [--picture FILE] [-o bench.json]

With `--only`, what bench.json already holds of the others stays.  `--peers` takes the results of a side-by-side timing
(see `benchmarks.report.peers`).

Read ratios rather than seconds: other work on the machine slows both sides of a ratio.  `load` tells how busy it was.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.report import peers, picture, table

FOLDER = Path(__file__).parent
SCRIPTS = (
    "postprocess", "replay", "seams", "odd_shifts", "jobs", "server_overhead", "politeness", "settle_million", "memory",
)
WITHOUT_MODEL = ("settle_million",)


def start_up(model_options: list[str]) -> dict:
    """Seconds of `hemalum --help`, and until a local server answers; medians of three, after one that fills the disk
    cache."""
    from hemalum.client.child import local_server
    from hemalum.client.client import Client

    helps, servers = [], []
    for _ in range(4):
        began = time.perf_counter()
        subprocess.run([sys.executable, "-m", "hemalum", "--help"], check=True, capture_output=True)
        helps.append(time.perf_counter() - began)
        began = time.perf_counter()
        with local_server(model_options[1::2]) as (port, token), Client(f"127.0.0.1:{port}", token=token):
            servers.append(time.perf_counter() - began)
    return {
        "benchmark": "start_up",
        "help_s": round(statistics.median(helps[1:]), 2),
        "server_answers_s": round(statistics.median(servers[1:]), 2),
    }


def whole_command(model_options: list[str], model: str) -> dict:
    """Seconds per mm² of `hemalum segment` on the bundled region, start-up included and not, and where the time
    goes."""
    import hemalum

    slide = Path(hemalum.__file__).parent / "data" / "CMU-1-Small-Region.svs"
    with tempfile.TemporaryDirectory() as folder:
        best = None
        for _ in range(3):
            began = time.perf_counter()
            command = [
                sys.executable,
                "-m",
                "hemalum",
                "segment",
                str(slide),
                "-o",
                folder,
                "--model",
                model,
                "--json",
                *model_options,
            ]
            record = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)[0]
            wall = time.perf_counter() - began
            if best is None or wall < best[0]:
                best = wall, record
    wall, record = best
    width, height = record["image"]["size"]
    area = width * height * record["image"]["mpp"] ** 2 / 1e6
    return {
        "benchmark": "segment",
        "mm2": round(area, 3),
        "s_per_mm2": round(record["seconds"]["total"] / area, 3),
        "s_per_mm2_with_start": round(wall / area, 3),
        "nuclei": record["counts"]["nuclei"],
        "seconds": {"start": round(wall - record["seconds"]["total"], 3), **record["seconds"]},
        "device": record["device"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__.splitlines()[0])
    parser.add_argument("--models", action="append", default=[])
    parser.add_argument("--model", default="nuclei")
    parser.add_argument("--only", default="")
    parser.add_argument("--peers", type=Path, help="results of a side-by-side timing with StarDist")
    parser.add_argument("--picture", type=Path, help="SVG of where the time of `hemalum segment` goes")
    parser.add_argument("-o", "--output", type=Path, default=Path("bench.json"))
    arguments = parser.parse_args()
    options = [part for folder in arguments.models for part in ("--models", folder)]
    wanted = arguments.only.split(",") if arguments.only else ["start_up", "segment", *SCRIPTS]
    found = earlier(arguments.output) if arguments.only else {}
    failed = []
    for name in wanted:
        load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
        try:
            if name == "start_up":
                result = start_up(options)
            elif name == "segment":
                result = whole_command(options, arguments.model)
            else:
                command = [
                    sys.executable,
                    str(FOLDER / f"{name}.py"),
                    *([] if name in WITHOUT_MODEL else ["--model", arguments.model, *options]),
                ]
                result = json.loads(
                    subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()[-1]
                )
        except (subprocess.CalledProcessError, ValueError, IndexError) as error:
            failed.append(name)
            print(f"{name}: failed ({error})", file=sys.stderr)
            continue
        found[name] = {**result, "load": load}
        print(json.dumps(found[name]), file=sys.stderr, flush=True)
    from hemalum.files import commit_json
    from hemalum.models import find
    from hemalum.runs.record import record

    found["card"] = find(arguments.model, arguments.models).card.scores.get("images", {})
    if arguments.peers:
        found["peers"] = peers(arguments.peers)
    content = record("bench", model=arguments.model, results=found, failed=failed)
    del content["peak_memory_mb"]  # of this process, which only starts others
    commit_json(arguments.output, content, waits=())
    if arguments.picture and "segment" in found:
        arguments.picture.write_text(picture(found["segment"]["seconds"]), encoding="utf-8")
    print(table(found))
    sys.exit(1 if failed else 0)


def earlier(path: Path) -> dict:
    """Results by name of an earlier run, if there is one."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))["results"]
    except (OSError, ValueError, KeyError):
        return {}


if __name__ == "__main__":
    main()
