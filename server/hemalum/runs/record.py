"""The run record: what was done, with what, to what, and what it cost — `<stem>.run.json` beside each output.

>>> watch = Stopwatch()
>>> with watch("read"):
...     pass
>>> sorted(watch.seconds), record("normalize", image={"file": "a.png"})["command"]
(['read', 'total'], 'normalize')
"""

from __future__ import annotations

import datetime
import platform
import threading
import time
from contextlib import contextmanager
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version

from hemalum import __version__

LIBRARIES = (
    "numpy",
    "numba",
    "opencv-python-headless",
    "pillow",
    "openslide-python",
    "openslide-bin",
    "tifffile",
    "onnxruntime",
    "shapely",
)


class Stopwatch:
    """Seconds per stage, added up over threads; "total" is wall time since it was made."""

    def __init__(self):
        self._start, self._lock, self._stages = time.perf_counter(), threading.Lock(), {}

    @contextmanager
    def __call__(self, stage: str):
        start = time.perf_counter()
        try:
            yield
        finally:
            self.add(stage, time.perf_counter() - start)

    def add(self, stage: str, seconds: float) -> None:
        with self._lock:
            self._stages[stage] = self._stages.get(stage, 0.0) + seconds

    @property
    def seconds(self) -> dict[str, float]:
        with self._lock:
            stages = {name: round(value, 3) for name, value in self._stages.items()}
        return {**stages, "total": round(time.perf_counter() - self._start, 3)}


@lru_cache(maxsize=1)
def versions() -> dict[str, str]:
    """Versions of Hemalum, Python, the system and the libraries that touch pixels."""
    found = {"hemalum": __version__, "python": platform.python_version(), "system": platform.platform()}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def peak_memory() -> int:
    """Largest resident size of this process so far, in bytes."""
    try:
        import resource
    except ImportError:  # Windows
        import psutil

        return psutil.Process().memory_info().peak_wset
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if platform.system() == "Darwin" else peak * 1024  # bytes there, KiB elsewhere


def record(command: str, **parts) -> dict:
    """A run record: `parts` (image, parameters, stain, counts, failed, seconds, …) and what every run states."""
    return {
        "command": command,
        **parts,
        "peak_memory_mb": round(peak_memory() / 2**20, 1),
        "written": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "versions": versions(),
        "note": "For research use only.",
    }
