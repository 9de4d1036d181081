"""How a job stands, read from its folder; nothing is written, so that it can be asked while the job runs."""

from __future__ import annotations

from pathlib import Path

from hemalum.files import read_json
from hemalum.jobs import pieces
from hemalum.jobs.manifest import Manifest
from hemalum.lock import holder

FINAL = ("done", "partly", "set aside")
WORK = "job.work"  # beside job.json and job.lock; of each slide its state and what is computed of it


def state(folder: Path, stem: str) -> dict:
    """What is known of one slide; {} before its first try."""
    return read_json(folder / WORK / stem / "state.json") or {}


def status(folder: str | Path) -> dict:
    """How a job stands; reads only.

    Returns:
        `state` ("running", "done", "partly", "interrupted", "waiting"), `holder`, `counts` by status, `nuclei`, and per
        slide `stem`, `path`, `status`, `tries`, `tiles`, `tiles_done`, `nuclei`, `reason`, `seconds`.

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
        done = (
            pieces.count(folder / WORK / entry["stem"] / "pieces")
            if now in ("running", "interrupted", "failed")
            else tiles
        )
        slides.append(
            {
                "stem": entry["stem"],
                "path": entry["path"],
                "status": now,
                "tries": known.get("tries", 0),
                "tiles": tiles,
                "tiles_done": done,
                "nuclei": known.get("nuclei"),
                "reason": known.get("reason"),
                "failed_tiles": len(known.get("failed_tiles", {})),
                "seconds": known.get("seconds", {}).get("total"),
            }
        )
    if who is not None:
        overall = "running"
    elif counts["done"] == len(slides):
        overall = "done"
    elif sum(counts[name] for name in FINAL) == len(slides):
        overall = "partly"
    else:
        overall = "waiting" if counts["waiting"] == len(slides) else "interrupted"
    return {
        "job": str(folder),
        "state": overall,
        "holder": who,
        "hemalum": manifest.hemalum,
        "created": manifest.created,
        "model": manifest.model,
        "counts": counts,
        "nuclei": sum(slide["nuclei"] or 0 for slide in slides),
        "slides": slides,
    }
