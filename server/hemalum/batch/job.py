"""A job: every input once, whatever happens in between.

A folder holds `job.json` (what is to do), the results, and `work/<stem>/` with `state.json` and the pieces of a slide that is not
finished.  A process may be killed at any moment: going on costs what was not committed, about a second of work.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from hemalum.batch import pieces
from hemalum.batch.files import commit_json, read_json
from hemalum.batch.lock import JobLock, holder
from hemalum.batch.manifest import NAME, Manifest
from hemalum.batch.slide_run import run_slide
from hemalum.errors import HemalumError, NotWritable, PartlyFailed, RunLost, UnknownResolution, UnsupportedImage, UsageError
from hemalum.pipeline import Pipeline

FINAL = ("done", "partly", "set aside")
HOPELESS = (UnsupportedImage, UnknownResolution, UsageError)  # the next try would say the same
PAUSE = 2.0  # s before a slide that failed is tried again where no other is left to do


def begin(folder: str | Path, manifest: Manifest) -> None:
    """Write a new job's manifest.

    Raises:
        UsageError: there is a job in the folder already.
        NotWritable: the folder cannot be made.
    """
    folder = Path(folder)
    if (folder / NAME).exists():
        raise UsageError(f"{folder} holds a job already; go on with `hemalum job resume {folder}` or choose another folder")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise NotWritable(f"{folder} cannot be made ({error.strerror}); choose another folder with -o") from error
    manifest.write(folder)


def work_on(
    folder: str | Path,
    say: Callable[[str], Any] = print,
    progress: Callable[[str], Any] | None = None,
    pause: float = PAUSE,
    compute: Callable | None = None,
) -> dict:
    """Do what is left of a job; returns its `status`.

    Args:
        say: takes a sentence for each slide that ends.
        progress: gives a context manager with a function for `Progress` events, from a slide's name.
        compute: see `run_slide`.

    Raises:
        UsageError: another process works on it; or no input could be used.
        VersionMismatch: see `Manifest.find_model`.
        DiskFull, RunLost: at once; what was committed stays.
        PartlyFailed: some slides were set aside or done in part.
    """
    folder = Path(folder)
    manifest = Manifest.read(folder)
    with JobLock(folder):
        model, options = manifest.find_model(), manifest.options
        todo = deque(entry for entry in manifest.inputs if state(folder, entry["stem"]).get("status") != "done")
        if todo:
            with Pipeline(options["device"], options["threads"], options["precision"]) as pipeline:
                tries: dict[str, int] = {}
                while todo:
                    entry = todo.popleft()
                    name = entry["stem"]
                    tries[name] = tries.get(name, 0) + 1
                    if tries[name] > 1 and not any(other["stem"] not in tries for other in todo):
                        time.sleep(pause)
                    if not _one(folder, entry, manifest, model, pipeline, tries[name], say, progress, compute):
                        todo.append(entry)
    found = status(folder)
    counts = found["counts"]
    if not counts["done"] and not counts["partly"]:
        raise UsageError(f"none of the {len(manifest.inputs)} inputs could be used; the reasons are above")
    if counts["partly"] or counts["set aside"]:
        raise PartlyFailed(
            f"{counts['set aside']} of {len(manifest.inputs)} slides were set aside, {counts['partly']} done in part, the rest is done; "
            f"`hemalum job resume {folder}` tries them again"
        )
    return found


def _one(folder, entry, manifest, model, pipeline, tried, say, progress, compute) -> bool:
    """Try one slide; True where it is not to be tried again."""
    name, path = entry["stem"], folder / "work" / entry["stem"]
    path.mkdir(parents=True, exist_ok=True)
    began = time.time()

    def opened(tiles: int) -> None:
        commit_json(path / "state.json", {"status": "running", "tries": tried, "tiles": tiles, "began": began})

    try:
        with progress(name) if progress else nullcontext(lambda event: None) as shown:
            outcome, content = run_slide(entry, manifest, model, pipeline, folder, path / "pieces", shown, opened, compute)
    except RunLost:
        raise
    except HemalumError as error:
        last = tried >= manifest.tries or isinstance(error, HOPELESS)
        commit_json(path / "state.json", {"status": "set aside" if last else "failed", "tries": tried, "reason": str(error)})
        say(f"{name}: {'set aside' if last else 'will be tried again'} (try {tried} of {manifest.tries}): {error}")
        return last
    partly = bool(outcome.summary.failed)
    now = {"status": "partly" if partly else "done", "tries": tried, "began": began, "ended": time.time()}
    commit_json(path / "state.json", {**now, **content})
    if not partly:                                              # of a slide done in part, going on computes only what failed
        for piece in (path / "pieces").glob("*"):
            piece.unlink(missing_ok=True)
        (path / "pieces").rmdir()
    made = ", ".join(content["outputs"])
    say(f"{name}: {content['nuclei']} nuclei in {content['seconds']['total']:.1f} s → {made}" + (" (in part)" if partly else ""))
    return True


def state(folder: Path, stem: str) -> dict:
    """What is known of one slide; {} before its first try."""
    return read_json(folder / "work" / stem / "state.json") or {}


def status(folder: str | Path) -> dict:
    """How a job stands; reads only.

    Returns:
        `state` ("running", "done", "partly", "interrupted", "waiting"), `holder`, `counts` by status, `nuclei`, and per slide
        `stem`, `path`, `status`, `tries`, `tiles`, `tiles_done`, `nuclei`, `reason`, `seconds`.

    Raises:
        UsageError, VersionMismatch: see `Manifest.read`.
    """
    folder = Path(folder)
    manifest, who = Manifest.read(folder), holder(folder)
    slides, counts = [], dict.fromkeys(("waiting", "running", "interrupted", "failed", *FINAL), 0)
    for entry in manifest.inputs:
        known = state(folder, entry["stem"])
        now = known.get("status", "waiting")
        if now == "running" and who is None:
            now = "interrupted"
        counts[now] += 1
        tiles = known.get("tiles")
        done = pieces.count(folder / "work" / entry["stem"] / "pieces") if now in ("running", "interrupted", "failed") else tiles
        slides.append({
            "stem": entry["stem"], "path": entry["path"], "status": now, "tries": known.get("tries", 0), "tiles": tiles, "tiles_done": done,
            "nuclei": known.get("nuclei"), "reason": known.get("reason"), "failed_tiles": len(known.get("failed_tiles", {})),
            "seconds": known.get("seconds", {}).get("total"),
        })  # fmt: skip
    if who is not None:
        overall = "running"
    elif counts["done"] == len(slides):
        overall = "done"
    elif sum(counts[name] for name in FINAL) == len(slides):
        overall = "partly"
    else:
        overall = "waiting" if counts["waiting"] == len(slides) else "interrupted"
    return {
        "job": str(folder), "state": overall, "holder": who, "hemalum": manifest.hemalum, "created": manifest.created,
        "model": manifest.model, "counts": counts, "nuclei": sum(slide["nuclei"] or 0 for slide in slides), "slides": slides,
    }  # fmt: skip
