"""Verdicts on graphs, remembered: the check against a stored tile costs a third of a second that need not be spent at every start.

A verdict holds for a file (by sha256), a processor, a version of the runtime, and a number of threads.  It lies in the user's cache
folder; where that cannot be read or written the check is simply made again.

>>> import tempfile
>>> folder = tempfile.TemporaryDirectory()
>>> with Verdicts(Path(folder.name)) as first:
...     first[key] = "other maps" if (key := first.key("ab12", "cd34", 2)) in first else ""
>>> with Verdicts(Path(folder.name)) as second:
...     key in second, second[key]
(True, '')
"""

from __future__ import annotations

import json
import os
import platform
import sys
import tempfile
from hashlib import sha256
from pathlib import Path

KEPT = 100


def cache_folder() -> Path:
    """Where the user's caches lie (it need not exist)."""
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "hemalum"


class Verdicts(dict):
    """Sentence ("" = good) by key; a context manager that keeps what was added."""

    def __init__(self, folder: Path | None = None):
        super().__init__()
        try:
            self._path = (folder or cache_folder()) / "verdicts.json"
            self.update({str(k): str(v) for k, v in json.loads(self._path.read_text(encoding="utf-8")).items()})
        except (OSError, ValueError, AttributeError, RuntimeError):  # RuntimeError: there is no home
            pass
        self._before = dict(self)

    def key(self, graph: str, tile: str, threads: int) -> str:
        """Name of a verdict.

        Args:
            graph, tile: sha256 of the graph's file and of the stored tile's.
            threads: of the runtime.
        """
        import onnxruntime

        return sha256(json.dumps([graph, tile, threads, onnxruntime.__version__, processor()]).encode()).hexdigest()[:24]

    def __enter__(self) -> Verdicts:
        return self

    def __exit__(self, kind, *_) -> None:
        if kind is not None or self == self._before:
            return
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile("w", dir=self._path.parent, delete=False, encoding="utf-8") as file:
                json.dump(dict(list(self.items())[-KEPT:]), file)
            os.replace(file.name, self._path)
        except (OSError, AttributeError):
            pass


def processor() -> str:
    """The processor with its instruction sets, as far as the system tells."""
    try:
        lines = Path("/proc/cpuinfo").read_text().split("\n\n")[0].splitlines()
        return "; ".join(line for line in lines if line.startswith(("model name", "flags", "Features", "CPU implementer", "CPU part")))
    except OSError:
        return f"{platform.machine()} {platform.processor()}"
